"""A chat server for benchmarks of clients: OpenAI's protocol on loopback, with a fixed latency and a fixed capacity.

    .venv/bin/python benchmarks/chat_server.py --latency 0.05 --capacity 200

Prints one JSON line with its URL when it is ready, and ends with its standard input. At most ``capacity`` requests
start in a second, one at a time and evenly spaced: what comes sooner waits in a queue, and a place that nobody asked
for in time is lost. The reply is there ``latency`` seconds after the start. ``GET /figures`` says what was served.

It makes no faults. A choice is a thought and an answer, drawn by the request's seed (its number, where it has none)
and the choice's index: 900 to 8,000 characters, 3,400 on average, which is the paper's 840 tokens at 4 characters each.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

from aiohttp import web

CHARACTERS_PER_TOKEN = 4
TEXTS = 1024
FINDINGS = (
    "The fever began {n} days ago and has not answered to paracetamol",
    "The film shows an infiltrate in the lower lobe, and no effusion",
    "A lactate of {n}.{m} mmol/l with a mean pressure of 6{m} mmHg speaks for poor perfusion",
    "The rash spares the palms, which makes the second option less likely",
    "Creatinine rose from 0.{n} to 1.{m} mg/dl in two days",
    "There is no family history, and the examination of the other systems is unremarkable",
    "Sodium is 13{m} mmol/l, so the confusion has another cause",
    "The murmur is loudest at the apex and radiates to the axilla",
    'One option would need an "alarm" sign, and none of the {n} is described',
    "The guideline asks for imaging first where the score is {n} or more",
)
LINKS = ("Therefore", "However", "On the other hand", "Besides", "Still", "Taken together", "First", "Next")


def make_texts(count: int) -> list[tuple[bytes, int]]:
    """Return thoughts with answers, each as a piece of JSON and with its tokens."""
    rng = random.Random(0)
    texts = []
    for _ in range(count):
        wanted, sentences = min(7800, max(900, rng.lognormvariate(7.98, 0.55))), []
        while sum(map(len, sentences)) < wanted:
            finding = rng.choice(FINDINGS).format(n=rng.randint(2, 9), m=rng.randint(0, 9))
            sentences.append(f"{rng.choice(LINKS)}: {finding}.{rng.choice((' ', ' ', chr(10) * 2))}")
        text = f"<think>{''.join(sentences)}</think>\n\nThe answer is \\boxed{{{rng.choice('ABCD')}}}"
        texts.append((json.dumps(text)[1:-1].encode(), len(text) // CHARACTERS_PER_TOKEN))
    return texts


class ChatServer:
    """Answers chat requests, and counts them; ``capacity`` 0: no limit."""

    def __init__(self, latency: float, capacity: float):
        self.latency, self.capacity = latency, capacity
        self._texts = make_texts(TEXTS)
        self._next_start, self._begun = 0.0, time.process_time()
        self.requests = self.choices = self.characters = self._now = self.most_at_once = 0
        self.first_seen = self.first_start = self.last_start = self.last_reply = 0.0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if request.path == "/figures":
            return web.json_response(self.figures())
        if request.path == "/v1/models":
            return web.json_response({"object": "list", "data": [{"id": "teacher", "object": "model"}]})
        if request.path != "/v1/chat/completions":
            return web.json_response({"error": {"message": f"nothing at {request.path}"}}, status=404)
        body = json.loads(await request.read())
        if not body.get("messages"):  # some clients ask so for the headers of a rate limit
            return web.json_response({"error": {"message": "no messages"}}, status=400)
        return web.Response(body=await self.chat(body), content_type="application/json")

    async def chat(self, body: dict[str, Any]) -> bytes:
        """Wait for a place and for the latency, and return the reply."""
        seen = time.monotonic()
        start = max(seen, self._next_start)
        if self.capacity:
            self._next_start = start + 1 / self.capacity
        if not self.requests:
            self.first_seen = self.first_start = seen
        self.requests += 1
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        self.last_start = start
        reply = self.reply(body, self.requests)
        if self.latency or start > seen:
            await asyncio.sleep(start + self.latency - time.monotonic())
        self._now -= 1
        self.last_reply = time.monotonic()
        return reply

    def reply(self, body: dict[str, Any], number: int) -> bytes:
        """Return the chat completion of a request."""
        seed, count = body.get("seed") or number, body.get("n") or 1
        at = zlib.crc32(f"{seed} {body['messages'][-1]['content']}".encode())
        choices, tokens = [], 0
        for index in range(count):
            text, size = self._texts[(at + index * 7) % TEXTS]
            tokens += size
            self.characters += len(text)
            choices.append(
                b'{"index":%d,"message":{"role":"assistant","content":"Sample %d of %d. %s"},"finish_reason":"stop"}'
                % (index, index, seed, text)
            )
        self.choices += count
        asked = len(body["messages"][-1]["content"]) // CHARACTERS_PER_TOKEN
        return (
            b'{"id":"chatcmpl-%d","object":"chat.completion","created":1700000000,"model":"teacher","choices":[%s],'
            b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}'
            % (number, b",".join(choices), asked, tokens, asked + tokens)
        )

    def figures(self) -> dict[str, Any]:
        """Return what was served so far; times are of the machine's monotonic clock."""
        places = int((self.last_start - self.first_start) * self.capacity + 1.5)
        return {
            "requests": self.requests,
            "choices": self.choices,
            "mean_characters": round(self.characters / max(1, self.choices)),
            "first_seen": self.first_seen,
            "last_reply": self.last_reply,
            "most_at_once": self.most_at_once,
            # Of the places to start between the first request and the last.
            "busy": self.requests / places if self.capacity and self.requests else None,
            "server_cpu_seconds": time.process_time() - self._begun,
        }


async def serve(server: ChatServer, port: int) -> None:
    """Serve until standard input ends."""
    runner = web.ServerRunner(web.Server(server.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    await asyncio.Event().wait()


def end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


@contextlib.contextmanager
def serving(latency: float, capacity: float) -> Iterator[str]:
    """Start the server in a process of its own, for the time of the block; yield its URL."""
    command = [sys.executable, __file__, f"--latency={latency}", f"--capacity={capacity}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.stdin.close()


def served(url: str) -> dict[str, Any]:
    """Return the server's figures."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
    with opener.open(f"{url}/figures", timeout=30) as reply:
        return json.load(reply)


async def _load(url: str, samples: int, requests: int) -> float:
    """Send small requests over 32 connections; return how many were answered in a second."""
    host, port = url.removeprefix("http://").split(":")
    left = list(range(1, requests + 1))

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while left:
            body = json.dumps({"messages": [{"role": "user", "content": "?"}], "n": samples, "seed": left.pop()})
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write((head + body).encode())
            reply = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(reply.split("content-length: ")[1].split("\r\n")[0]))
        writer.close()
        await writer.wait_closed()

    start = time.monotonic()
    await asyncio.gather(*(connection() for _ in range(32)))
    return requests / (time.monotonic() - start)


def server_alone() -> dict[str, float]:
    """Return the requests a second that the server answers where nothing limits it, by the choices of each."""
    rates = {}
    for samples in (1, 4, 16):
        with serving(0, 0) as url:
            rates[f"{samples} choices"] = asyncio.run(_load(url, samples, 4000))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds from the start of a request to its reply")
    parser.add_argument("--capacity", type=float, default=200.0, help="requests that start in a second; 0: no limit")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free port")
    options = parser.parse_args()
    threading.Thread(target=end_with_stdin, daemon=True).start()
    asyncio.run(serve(ChatServer(options.latency, options.capacity), options.port))


if __name__ == "__main__":
    main()
