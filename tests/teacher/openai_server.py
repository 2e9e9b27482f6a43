"""A chat server on loopback, in a thread, that lacks what it is told to: for `octomed teacher check`.

It computes nothing: a sample is a hash of its seed and number, and of every picture it says the same.
"""

import contextlib
import dataclasses
import hashlib
import threading

from tests.loopback_server import LoopbackHandler, serving

MODEL = "made/teacher"
KEY = "sk-planted"
THOUGHT, ANSWER = "two and three", "five"


@dataclasses.dataclass
class Behaviour:
    """How the server is; the defaults lack nothing.

    Attributes:
        models: that it lists; None: it has no such page.
        asks_for_key: refuses requests without ``KEY``.
        most_n: choices that it returns at most.
        place: where its thought is (``reply.reasoning_place``).
        fixed: what it draws alike whatever is asked: "choices", "seeds", or nothing.
        random: draws anew even at the same seed.
        images: how many a prompt may have; -1: drops them silently.
        sees: what it says of a picture.
        usage, finish: whether it counts tokens, and says that an answer was cut.
        fault: of every chat request: "hang", "garbage", "500", "redirect", "echo" (the key), "huge", or nothing.
    """

    models: tuple[str, ...] | None = (MODEL,)
    asks_for_key: bool = False
    most_n: int = 128
    place: str = "reasoning"
    fixed: str = ""
    random: bool = False
    images: int = 100
    sees: str = "Orange."
    usage: bool = True
    finish: bool = True
    fault: str = ""


class Handler(LoopbackHandler):
    def do_GET(self):
        how = self.server.how
        if not self.allowed():
            self.reply(401, {"error": "Unauthorized"})
        elif how.models is None:
            self.reply(404, {"detail": "Not Found"})
        else:
            self.reply(200, {"data": [{"id": name, "max_model_len": 4096} for name in how.models]})

    def do_POST(self):
        how = self.server.how
        body = self.body()
        self.server.asked.append(body)
        content = body["messages"][0]["content"]
        images = sum(part["type"] == "image_url" for part in content) if isinstance(content, list) else 0
        if not self.allowed():
            self.reply(401, {"error": {"message": "Unauthorized"}})
        elif how.fault:
            self.fail(how.fault)
        elif how.models is not None and body["model"] not in how.models:
            self.reply(404, {"error": {"message": f"The model `{body['model']}` does not exist."}})
        elif images > how.images >= 0:
            self.reply(400, {"error": {"message": f"At most {how.images} image(s)\nmay be provided"}})
        else:
            self.answer(body, images)

    def answer(self, body, images):
        how = self.server.how
        choices = [self.choice(body, number, images) for number in range(min(body["n"], how.most_n))]
        words = min(body["max_tokens"], 40)
        counts = {"prompt_tokens": 10 + 64 * images * (how.images > 0), "completion_tokens": words * len(choices)}
        self.reply(200, {"choices": choices[::-1], "usage": counts if how.usage else None})

    def choice(self, body, number, images):
        how = self.server.how
        seed = {"seeds": 0}.get(how.fixed, body["seed"] + len(self.server.asked) * how.random)
        text = ANSWER
        if body["temperature"]:
            drawn = (seed, 0 if how.fixed == "choices" else number)
            text = hashlib.sha256(str(drawn).encode()).hexdigest()
        if images:
            text = how.sees
        message = {"content": text}
        if how.place.startswith("reasoning"):
            message[how.place] = THOUGHT
        elif how.place:
            message["content"] = f"{'<think>' * (how.place == '<think>')}{THOUGHT}</think>\n{text}"
        cut = body["max_tokens"] < 40 and how.finish
        return {"index": number, "message": message, "finish_reason": "length" if cut else "stop"}

    def fail(self, fault):
        if fault == "hang":
            self.server.let_go.wait(60)
        elif fault == "garbage":
            self.reply(200, "<html>It works!</html>")
        elif fault == "huge":
            self.reply(200, " " * (17 * 2**20))
        elif fault == "echo":
            self.reply(400, {"error": {"message": f"bad \x1b[31mkey {self.headers['Authorization']}"}})
        elif fault == "redirect":
            self.reply(307, {}, {"Location": f"http://127.0.0.1:{self.server.server_port}/v1/elsewhere"})
        else:
            self.reply(int(fault), {"error": {"message": "engine dead"}})

    def allowed(self):
        return not self.server.how.asks_for_key or self.headers.get("Authorization") == f"Bearer {KEY}"


@contextlib.contextmanager
def openai_server(**how):
    """Yield the URL of a server, and the list of what it has been asked."""
    with serving(Handler, Behaviour(**how)) as server:
        server.let_go = threading.Event()
        try:
            yield server.url, server.asked
        finally:
            server.let_go.set()
