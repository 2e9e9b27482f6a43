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
from octomed_jax.images.decode import decode_image
from octomed_jax.prompts import LETTERS
from octomed_jax.schema import Question, with_option_order
from octomed_jax.storage import sha256_bytes
from octomed_jax.teacher.prompts import PROMPTS
from octomed_jax.teacher.requests import LIVENESS, prepare_image, user_messages
from octomed_jax.teacher.script import NAME, Rates, spoken, write_response
from octomed_jax.traces import lake

MODEL = "scripted"
IMAGE_TOKENS = 64  # counted in usage for each image
MAX_CHOICES = 128
_WORDS = re.compile(r"\S+\s*")
_LETTER = re.compile(r"^[A-Z]\. ")

Key = tuple[str, tuple[str, ...]]


class Knowledge:
    """The questions the teacher can answer, by their text and images."""

    def __init__(self, path: storage.PathLike, max_pixels: int):
        self._path, self._max_pixels = path, max_pixels
        self._by_key: dict[Key, Question] = {}
        self._pixels: dict[str, str] | None = None  # hash of pixels -> hash of the file, made when first needed
        answers: dict[str, set[str]] = {}
        self.rivals = 0
        for question in lake.iterate_questions(path):
            spoken(question, question.answer)
            images = tuple(sha256_bytes(prepare_image(data, max_pixels, question.id)) for data in question.images)
            answers.setdefault(question.benchmark, set()).add(question.answer)
            bare = Question(**{**vars(question), "images": ()})
            for prompt in PROMPTS.values():
                known = self._by_key.setdefault((_orderless(prompt.text(question)), images), bare)
            self.rivals += known.answer != bare.answer
        self._pools = {name: sorted(found) for name, found in answers.items()}

    def __len__(self) -> int:
        return len({question.id for question in self._by_key.values()})

    def find(self, text: str, images: Sequence[bytes]) -> Question | None:
        """Return the question with this text and these images (same file, or same pixels in another file).

        Its options come in the order in which the text shows them.
        """
        names, lines = tuple(sha256_bytes(data) for data in images), _orderless(text)
        question = self._by_key.get((lines, names))
        if question is None and images:
            known = self._known_pixels()
            question = self._by_key.get((lines, tuple(known.get(_pixel_hash(data), "") for data in images)))
        return _as_shown(question, text) if question and question.task == "mcq" else question

    def pool(self, question: Question) -> Sequence[str]:
        """Return the answers given anywhere in the question's benchmark."""
        return self._pools[question.benchmark]

    def _known_pixels(self) -> dict[str, str]:
        if self._pixels is None:
            files = (
                prepare_image(data, self._max_pixels)
                for question in lake.iterate_questions(self._path)
                for data in question.images
            )
            self._pixels = {_pixel_hash(data): sha256_bytes(data) for data in files}
        return self._pixels


def _orderless(text: str) -> str:
    """Return what is the same for a question whatever the order of its options: the sorted lines without letters."""
    return "\n".join(sorted(_LETTER.sub("", line) for line in text.split("\n")))


def _as_shown(question: Question, text: str) -> Question:
    """Return a question of lettered options in the order in which ``text`` shows them."""
    rest = text.removeprefix(f"{question.question}\n")
    left, order = dict(enumerate(question.options)), []
    for letter, _ in zip(LETTERS, question.options, strict=False):
        # The longest first: an option may begin like another one.
        for place in sorted(left, key=lambda place: -len(left[place])):
            if rest.startswith(line := f"{letter}. {left[place]}\n"):
                rest = rest[len(line) :]
                order.append(place)
                del left[place]
                break
    return with_option_order(question, order) if not left else question


def _pixel_hash(data: bytes) -> str:
    try:
        image = decode_image(data)
    except UserError as error:
        raise BadRequest(str(error)) from error
    return sha256_bytes(f"{image.size}".encode() + image.tobytes())


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
    question = knowledge.find(text, images)
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
