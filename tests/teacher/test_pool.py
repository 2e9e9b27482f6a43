"""A pool of endpoints under faults: what is sent again, to whom, and what is given up. Real HTTP on loopback."""

import asyncio
import contextlib
import json
import time

import pytest
from aiohttp import web

from octomed_jax.errors import TryAgain, UserError
from octomed_jax.teacher import pool as module
from octomed_jax.teacher.endpoint import BREAK_AFTER, FIRST_LIMIT, Endpoint
from octomed_jax.teacher.pool import Pool
from octomed_jax.teacher.reply import RequestFailed
from octomed_jax.teacher.requests import Sampling

MESSAGES = [{"role": "user", "content": "q"}]


def sampling(seed, n=1):
    return Sampling(n=n, seed=seed, temperature=0.6, top_p=0.9, max_tokens=50)


class Server:
    """Answers with its name and the seed; ``plan(seed, times, now_in_flight)`` names a fault or None."""

    def __init__(self, name="a", plan=lambda *_: None, delay=0.0):
        self.name, self.plan, self.delay = name, plan, delay
        self.now, self.most, self.seen, self.probes, self.times = 0, 0, [], 0, {}

    async def chat(self, request):
        body = json.loads(await request.read())
        probe = body["max_tokens"] == 1
        seed = "probe" if probe else body["seed"]
        self.probes += probe
        self.now += not probe
        self.most = max(self.most, self.now)
        try:
            if not probe:
                self.seen.append(seed)
            self.times[seed] = self.times.get(seed, 0) + 1
            fault = self.plan(seed, self.times[seed], self.now)
            if fault == "hang":
                await asyncio.sleep(3600)
            if fault == "cut":
                request.transport.close()
                return web.Response()
            if fault:
                return web.json_response({"error": {"message": "no"}}, status=int(fault))
            await asyncio.sleep(self.delay)
            choices = [{"index": i, "message": {"content": f"{self.name} {seed} {i}"}} for i in range(body["n"])]
            return web.json_response({"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 7}})
        finally:
            self.now -= not probe


@contextlib.asynccontextmanager
async def serving(*servers):
    runners, urls = [], []
    for server in servers:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", server.chat)
        runners.append(web.AppRunner(app, access_log=None, shutdown_timeout=0.1))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runners[-1].addresses[0][1]}")
    try:
        yield urls
    finally:
        for runner in runners:
            await runner.cleanup()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.05)


async def complete(pool, seed):
    async with pool.completing(MESSAGES, sampling(seed)) as completion:
        return completion


def ask(servers, seeds, in_flight=64, patience=5.0, check=True, after=None):
    """Ask for all seeds at once; return the texts or errors, and the pool."""

    async def work():
        async with serving(*servers) as urls, Pool(urls, "m", "", in_flight, patience) as pool:
            if check:
                await pool.check(MESSAGES, sampling(0))
            asked = [complete(pool, seed) for seed in seeds]
            results = await asyncio.gather(*asked, return_exceptions=True)
            if after:
                await after(pool)
            assert not any(endpoint.in_flight for endpoint in pool.endpoints)
        return [one if isinstance(one, BaseException) else one.choices[0].response for one in results], pool

    return asyncio.run(work())


def test_endpoints_share_the_work_and_the_cap_holds():
    servers = [Server("a", delay=0.01), Server("b", delay=0.01)]
    texts, _ = ask(servers, range(100), in_flight=10)
    assert sorted(texts, key=lambda text: int(text.split()[1])) == [
        f"{text[0]} {seed} 0" for seed, text in enumerate(texts)
    ]
    assert all(30 <= len(server.seen) <= 70 for server in servers)
    assert 8 <= sum(server.most for server in servers) <= 10


def test_the_cap_grows_while_it_is_used_and_is_cut_by_overload(monkeypatch):
    """A server that takes 20 at a time: the cap swings about what it takes, and never comes near the 256 allowed.

    It takes the next when a reply has arrived, not when it has gone out: else, where this process gets little of the
    processor, the requests come one by one to a server that has replied to all before, and it takes many more.
    """
    limits, taken = [], set()
    succeeded = Endpoint.succeeded

    def noted(self, completion, wanted):
        succeeded(self, completion, wanted)
        limits.append(self.limit)
        taken.discard(int(completion.choices[0].response.split()[1]))

    monkeypatch.setattr(Endpoint, "succeeded", noted)

    def plan(seed, _times, _now):
        if seed == "probe":
            return None
        if len(taken) == 20:
            return "429"
        taken.add(seed)
        return None

    server = Server(plan=plan, delay=0.005)
    texts, pool = ask([server], range(600), in_flight=256)
    assert len(set(texts)) == 600
    assert 15 <= sorted(limits)[len(limits) // 2] <= 60
    assert max(limits) < 128
    assert pool.endpoints[0].failures["HTTP 429"] > 0
    assert pool.endpoints[0].trusted  # too much is not broken
    calm = Server(delay=0.005)
    _, pool = ask([calm], range(600), in_flight=100)
    assert pool.endpoints[0].limit == 100
    assert calm.most > 2 * FIRST_LIMIT


def test_an_endpoint_that_is_gone_is_left_alone_and_comes_back():
    gone = [True]

    def plan(_seed, _times, _now):
        return "cut" if gone[0] else None

    broken, well = Server("a", plan), Server("b", delay=0.002)
    probes = []

    async def after(pool):
        assert not pool.endpoints[0].trusted
        probes.append(broken.probes)
        gone[0] = False
        limit = time.monotonic() + 5
        while not pool.endpoints[0].trusted:
            assert time.monotonic() < limit
            await asyncio.sleep(0.01)
        assert (await complete(pool, 999)).choices[0].response

    texts, pool = ask([broken, well], range(200), after=after)
    assert {text[0] for text in texts} == {"b"}
    assert len(broken.seen) < 5  # the check had found it gone
    assert pool.endpoints[0].told()["state"] == "up"


def test_one_that_breaks_on_the_way_gets_no_more_until_a_token_comes_back():
    def plan(seed, times, _now):
        return "500" if seed != "probe" or times > 1 else None  # the first probe alone succeeds

    broken = Server("a", plan)
    texts, pool = ask([broken, Server("b", delay=0.002)], range(300))
    assert {text[0] for text in texts} == {"b"}
    assert len(broken.seen) <= FIRST_LIMIT + BREAK_AFTER
    assert not pool.endpoints[0].trusted
    assert pool.endpoints[0].told()["failures"]["HTTP 500"] == len(broken.seen)


def test_nobody_there_is_try_again_after_patience():
    start = time.monotonic()
    down = [False]

    def plan(seed, _times, _now):
        down[0] = down[0] or (seed != "probe" and seed > 20)
        return "cut" if down[0] else None

    results, _ = ask([Server(plan=plan)], range(60), in_flight=4, patience=0.3)
    assert all(isinstance(one, TryAgain) for one in results[30:])
    assert "no answer from http" in str(results[-1])
    assert time.monotonic() - start > 0.3
    with pytest.raises(TryAgain, match=r"no answer from http.*start it, or set config\.distill\.endpoint"):
        ask([Server(plan=lambda *_: "503")], [1])


def test_a_refusal_is_the_users():
    for status, message in (("401", "refuses the key"), ("404", "knows no model 'm'"), ("400", "refuses the request")):
        with pytest.raises(UserError, match=message):
            ask([Server("a"), Server("b", lambda *_, status=status: status)], [1])


def test_only_what_can_succeed_is_tried_again():
    server = Server(plan=lambda seed, *_: "400" if seed == 3 else None)
    results, _ = ask([server], range(6))
    assert isinstance(results[3], RequestFailed)
    assert server.times[3] == 1
    poison = Server(plan=lambda seed, *_: "500" if seed == 3 else None, delay=0.001)
    results, _ = ask([poison], range(60))
    assert str(results[3]) == "HTTP 500: no"
    assert poison.times[3] == module.TRIES
    assert sum(isinstance(one, Exception) for one in results) == 1


def test_a_request_that_is_stuck_is_sent_again_elsewhere(monkeypatch):
    monkeypatch.setattr(module, "STUCK_LEAST", 0.1)

    def plan(seed, times, _now):
        return "hang" if seed in (50, 51) and times == 1 else None

    servers = [Server("a", plan, 0.002), Server("b", plan, 0.002)]
    start = time.monotonic()
    texts, pool = ask(servers, range(100))
    assert time.monotonic() - start < 5
    assert len(set(texts)) == 100
    # The other one hangs at its first sight of it too: then both are given up.
    assert sum(one.counts["hedged"] for one in pool.endpoints) >= 2


def test_a_server_that_hangs_is_found_out_by_a_real_token(monkeypatch):
    monkeypatch.setattr(module, "STUCK_LEAST", 0.05)
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.1)
    dead = [False]

    def plan(seed, _times, _now):
        dead[0] = dead[0] or (seed != "probe" and seed > 100)
        return "hang" if dead[0] else None

    hung, well = Server("a", plan, 0.002), Server("b", delay=0.002)

    async def after(pool):
        limit = time.monotonic() + 10
        while pool.endpoints[0].trusted:
            assert time.monotonic() < limit
            await asyncio.sleep(0.01)

    texts, _ = ask([hung, well], range(300), after=after)
    assert len({text.split()[1] for text in texts}) == 300


def test_a_try_that_waits_holds_no_slot(monkeypatch):
    """One slot and one request that waits long for its next try: the others are not kept waiting."""
    monkeypatch.setattr(module, "FIRST_WAIT", 1.0)
    monkeypatch.setattr(module, "LONGEST_WAIT", 1.0)
    server = Server(plan=lambda seed, times, _now: "500" if seed == 0 and times == 1 else None)
    order = []

    async def work():
        async with serving(server) as urls, Pool(urls, "m", "", 1, 5.0) as pool:
            await pool.check(MESSAGES, sampling(0))

            async def one(seed):
                await complete(pool, seed)
                order.append(seed)

            await asyncio.gather(*[one(seed) for seed in range(5)])

    asyncio.run(work())
    assert order[-1] == 0
    assert sorted(order) == list(range(5))


def test_a_request_is_in_flight_until_its_reply_is_kept():
    server = Server("a")

    async def work():
        async with serving(server) as urls, Pool(urls, "m", "", 1, 5.0) as pool:
            await pool.check(MESSAGES, sampling(0))
            async with pool.completing(MESSAGES, sampling(0)):
                other = asyncio.create_task(complete(pool, 1))
                await asyncio.sleep(0.1)
                assert not other.done()
                assert server.seen == [0]
            await other
            with pytest.raises(KeyError):  # what is raised while it is kept frees the slot too
                async with pool.completing(MESSAGES, sampling(2)):
                    raise KeyError
            assert pool.endpoints[0].in_flight == 0

    asyncio.run(work())


def test_a_cancelled_request_gives_its_slot_back():
    server = Server(delay=0.05)

    async def work():
        async with serving(server) as urls, Pool(urls, "m", "", 2, 5.0) as pool:
            await pool.check(MESSAGES, sampling(0))
            tasks = [asyncio.create_task(complete(pool, seed)) for seed in range(6)]
            await asyncio.sleep(0.02)
            for task in tasks[:5]:
                task.cancel()
            assert (await asyncio.wait_for(tasks[5], 5)).choices[0].response == "a 5 0"
            assert pool.endpoints[0].in_flight == 0

    asyncio.run(work())
