"""The programmatic teacher: an HTTP server on loopback that speaks the OpenAI chat protocol.

It answers questions of a folder that it was started with, from the sources' own worked explanations, and spoils a
given share on purpose (``script.py``). Started as ``python -m octomed_jax.teacher.scripted --questions DIR``; prints
one JSON line with its port when it is ready.
"""

import argparse
import asyncio
import base64
import binascii
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from etils import epath

from octomed_jax import progress, storage
from octomed_jax.errors import StopAndLook, TryAgain, UserError
from octomed_jax.teacher.knowledge import Knowledge
from octomed_jax.teacher.prompts import PROMPTS
from octomed_jax.teacher.requests import LIVENESS, user_messages
from octomed_jax.teacher.script import NAME, Rates, write_response
from octomed_jax.traces import lake

MODEL = "scripted"
IMAGE_TOKENS = 64  # counted in usage for each image
MAX_CHOICES = 128
_WORDS = re.compile(r"\S+\s*")


class BadRequest(Exception):
    """A request that the teacher cannot answer; becomes HTTP 400 with one clear line."""


def answer(knowledge: Knowledge, rates: Rates, request: Any) -> dict[str, Any]:
    """Return the chat completion for a parsed request.

    Raises:
        BadRequest: it is malformed, or asks what the teacher was not given.
    """
    if not isinstance(request, dict):
        raise BadRequest("the request is no JSON object")
    n = _number(request, "n", 1, int, 1, MAX_CHOICES)
    seed = _number(request, "seed", 0, int, -(2**63), 2**63 - 1)
    temperature = _number(request, "temperature", 1.0, float, 0.0, 100.0)
    limit = _number(request, "max_tokens", 2**31, int, 1, 2**31)
    text, images = read_messages(request.get("messages"))
    if text == LIVENESS and limit == 1:
        message = {"role": "assistant", "content": "2"}
        choices = [{"index": index, "message": message, "finish_reason": "length"} for index in range(n)]
        return {"object": "chat.completion", "model": MODEL, "choices": choices}
    try:
        question = knowledge.find(text, images)
    except UserError as error:
        raise BadRequest(str(error)) from error
    if question is None:
        shown = " ".join(text.split())[:60]
        raise BadRequest(f"the {NAME} was not given this question: {shown!r} with {len(images)} image(s)")
    choices, total = [], 0
    for index in range(n):
        response, finish = write_response(question, rates, seed, index, temperature, knowledge.pool(question))
        words = _WORDS.findall(response)
        if len(words) > limit:
            words, finish = words[:limit], "length"
        total += len(words)
        message = {"role": "assistant", "content": "".join(words).rstrip()}
        choices.append({"index": index, "message": message, "finish_reason": finish})
    prompt = len(text.split()) + IMAGE_TOKENS * len(images)
    usage = {"prompt_tokens": prompt, "completion_tokens": total, "total_tokens": prompt + total}
    return {"id": f"scripted-{seed}", "object": "chat.completion", "model": MODEL, "choices": choices, "usage": usage}


def _number(request: dict[str, Any], name: str, default: Any, kind: type, low: float, high: float) -> Any:
    value = request.get(name)
    value = default if value is None else value
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not low <= value <= high
        or kind(value) != value
    ):
        raise BadRequest(f"{name}={value!r} is no {kind.__name__} between {low} and {high}")
    return kind(value)


def read_messages(messages: Any) -> tuple[str, list[bytes]]:
    """Return the text and the images of the last user turn.

    Raises:
        BadRequest: there is none, or an image is not a data URL.
    """
    turns = messages if isinstance(messages, list) else []
    users = [turn for turn in turns if isinstance(turn, dict) and turn.get("role") == "user"]
    if not users:
        raise BadRequest("messages holds no user turn")
    content = users[-1].get("content")
    if isinstance(content, str):
        return content, []
    texts, images = [], []
    for part in content if isinstance(content, list) else []:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "image_url" and isinstance(part.get("image_url"), dict):
            images.append(_decode_url(part["image_url"].get("url")))
        else:
            raise BadRequest(f"a content part of type {kind!r} is not understood")
    return "".join(texts), images


def _decode_url(url: Any) -> bytes:
    match = re.match(r"data:image/(?:png|jpeg);base64,", url) if isinstance(url, str) else None
    if not match:
        raise BadRequest("an image must be a PNG or JPEG data URL; this teacher fetches nothing")
    try:
        return base64.b64decode(url[match.end() :], validate=True)
    except binascii.Error as error:
        raise BadRequest("an image is not valid base64") from error


def application(knowledge: Knowledge, rates: Rates) -> web.Application:
    """Return the server's two routes."""

    async def chat(request: web.Request) -> web.Response:
        try:
            return web.json_response(answer(knowledge, rates, json.loads(await request.read())))
        except BadRequest as error:
            return _refuse(str(error))
        except (ValueError, RecursionError):
            return _refuse("the request is not JSON")

    async def models(_: web.Request) -> web.Response:
        model = {"id": MODEL, "object": "model", "owned_by": "octomed_jax", "description": NAME}
        return web.json_response({"object": "list", "data": [model]})

    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/v1/models", models)
    return app


def _refuse(message: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "code": 400}
    return web.json_response({"error": error}, status=400)


@contextlib.contextmanager
def scripted_teacher(
    questions: storage.PathLike, rates: Rates, max_pixels: int = 2**31, start_seconds: float = 120.0
) -> Iterator[str]:
    """Start the programmatic teacher as a process of its own, yield its URL, and end it.

    It is ready when it has given one real token. It ends with this process, however that ends.

    Raises:
        TryAgain: it did not start.
        UserError: the questions cannot be read.
    """
    words = [sys.executable, "-m", "octomed_jax.teacher.scripted", f"--questions={questions}", "--end-with-stdin"]
    words += [f"--{name}={value}" for name, value in vars(rates).items()] + [f"--max-pixels={max_pixels}"]
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment)
        timer = threading.Timer(start_seconds, process.kill)
        timer.start()
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                code = process.wait()
                log.seek(0)
                said = (log.read().decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
                kind = UserError if code == 2 else TryAgain
                raise kind(f"the {NAME} did not start: {said.removeprefix('octomed: ')}")
            about = json.loads(line)
            url = f"http://127.0.0.1:{about['port']}"
            if about["rivals"]:
                rivals = about["rivals"]
                progress.say(f"{rivals} questions read like an earlier one with another answer, and get its answer")
            _one_token(url, epath.Path(questions), max_pixels)
            timer.cancel()
            yield url
        finally:
            timer.cancel()
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()


def _one_token(url: str, questions: epath.Path, max_pixels: int) -> None:
    question = next(lake.iterate_questions(questions / "questions.parquet"), None)
    if question is None:
        return
    body = {
        "model": MODEL,
        "messages": user_messages(question, PROMPTS["boxed"], max_pixels),
        "max_tokens": 1,
        "temperature": 0,
    }
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
    try:
        with opener.open(request, timeout=30) as reply:
            json.load(reply)["choices"][0]
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise TryAgain(f"the {NAME} at {url} gives no token ({error}); run the same command again") from error


def main(arguments: Sequence[str]) -> int:
    """Serve until ended; print the port as one JSON line."""
    parser = argparse.ArgumentParser(
        prog="python -m octomed_jax.teacher.scripted",
        description=f"The {NAME}: serves worked explanations over the OpenAI chat protocol on loopback.",
        epilog="example: python -m octomed_jax.teacher.scripted --questions=runs/demo/questions --wrong=0.1",
    )
    parser.add_argument("--questions", required=True, metavar="DIR", help="a folder with questions.parquet")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free port")
    parser.add_argument("--max-pixels", type=int, default=2**31, help="size to which the client shrinks larger images")
    for name in ("wrong", "malformed", "truncated"):
        parser.add_argument(f"--{name}", type=float, default=0.0, metavar="R", help=f"share of {name} responses")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when standard input is closed")
    options = parser.parse_args(arguments)
    try:
        rates = Rates(options.wrong, options.malformed, options.truncated)
        knowledge = Knowledge(epath.Path(options.questions) / "questions.parquet", options.max_pixels)
    except (UserError, StopAndLook) as error:
        print(f"octomed: {error}", file=sys.stderr)
        return error.exit_code
    if options.end_with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    app = application(knowledge, rates)
    return _serve(app, options.port, {"questions": len(knowledge), "rivals": knowledge.rivals, "rates": vars(rates)})


def _serve(app: web.Application, port: int, about: dict[str, Any]) -> int:
    async def serve() -> None:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
        await site.start()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print(json.dumps({"port": runner.addresses[0][1], **about}), flush=True)
        await stop.wait()
        await runner.cleanup()

    try:
        asyncio.run(serve())
    except OSError as error:
        print(f"octomed: port {port} cannot be used: {error.strerror}; choose another --port", file=sys.stderr)
        return 2
    return 0


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
