"""A teacher on loopback, in a thread, that misbehaves in a planned way before it answers as the programmatic one."""

import asyncio
import contextlib
import json
import threading

from aiohttp import web

from octomed_jax.teacher.knowledge import Knowledge
from octomed_jax.teacher.script import Rates
from octomed_jax.teacher.scripted import BadRequest, answer


class Faults:
    """Serves ``Knowledge``; ``plan(request, times)`` names a fault for the nth time a request comes, or None."""

    def __init__(self, folder, rates=None, plan=None, delay=0.0, spelling="content"):
        self.knowledge = Knowledge(folder / "questions.parquet", 2**31)
        self.rates, self.plan, self.delay, self.spelling = rates or Rates(0.1, 0.1, 0.05), plan, delay, spelling
        self.seen, self.faults, self.most_at_once, self._now = {}, {}, 0, 0
        self.held = False  # while true, what comes waits
        self.answered = {}  # request to how many good replies have gone out

    async def chat(self, request):
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            return await self._chat(request)
        finally:
            self._now -= 1

    async def _chat(self, request):
        body = json.loads(await request.read())
        key = json.dumps(body, sort_keys=True)
        self.seen[key] = self.seen.get(key, 0) + 1
        fault = self.plan(body, self.seen[key]) if self.plan else None
        if self.delay:
            await asyncio.sleep(self.delay)
        while self.held:
            await asyncio.sleep(0.02)
        if fault:
            self.faults[fault] = self.faults.get(fault, 0) + 1
            if fault == "slow":
                await asyncio.sleep(0.2)
            elif fault != "other field":
                return await self._fail(fault, request, body)
        try:
            reply = answer(self.knowledge, self.rates, body)
        except BadRequest as error:
            return web.json_response({"error": {"message": str(error)}}, status=400)
        for choice in reply["choices"]:
            other = "reasoning" if fault == "other field" and choice["finish_reason"] == "stop" else self.spelling
            choice["message"] = spell(choice["message"]["content"], other)
        reply["choices"].reverse()  # the client must go by index
        if body["max_tokens"] > 1:
            self.answered[key] = self.answered.get(key, 0) + 1
        return web.json_response(reply)

    async def _fail(self, fault, request, body):
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "empty choices":
            return web.json_response({"choices": [], "usage": {}})
        if fault == "duplicate choices":
            reply = answer(self.knowledge, self.rates, body)
            return web.json_response({**reply, "choices": reply["choices"][:1] * body["n"]})
        if fault == "cut":
            request.transport.close()
            return web.Response()
        if fault == "garbage":
            return web.Response(text='{"choices": [')
        if fault == "wrong n":
            choice = {"index": 0, "message": {"content": "B"}, "finish_reason": "stop"}
            return web.json_response({"choices": [choice], "usage": {}})
        if fault == "echo":
            told = f"bad key {request.headers.get('Authorization')}"
            return web.json_response({"error": {"message": told}}, status=400)
        return web.json_response(
            {"error": {"message": f"fault {fault}"}}, status=int(fault), headers={"Retry-After": "0"}
        )


def spell(content, spelling):
    """Return the message as servers of different kinds would."""
    if spelling == "content" or "</think>" not in content:
        return {"role": "assistant", "content": content}
    thought, rest = content.removeprefix("<think>").split("</think>")
    if spelling == "opened":  # the chat template opened the thought
        return {"role": "assistant", "content": f"\n{thought}\n</think>\n{rest}"}
    return {"role": "assistant", spelling: f"\n{thought}\n", "content": rest}


@contextlib.contextmanager
def serving(faults):
    """Serve in a thread; yield the URL."""
    loop = asyncio.new_event_loop()
    ready, address = threading.Event(), []
    stop = asyncio.Event()

    async def serve():
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", faults.chat)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(runner.addresses[0][1])
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"http://127.0.0.1:{address[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
