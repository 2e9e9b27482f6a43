"""A judge on loopback, over real HTTP: notes what it is asked, and says what a test tells it to."""

import base64
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from octomed_jax import manifests
from octomed_jax.traces import lake


class JudgeEndpoint(ThreadingHTTPServer):
    """``say(text, times)`` is its reply to a text that comes for the nth time, or a status.

    Attributes:
        asked: text to how often it came.
        images: text to the images that came with it.
        headers: of the last request.
        left: how many more replies it gives before it holds what comes; None: all.
    """

    request_queue_size = 128
    daemon_threads = True

    def __init__(self, say):
        super().__init__(("127.0.0.1", 0), Handler)
        self.say, self.asked, self.images, self.headers, self.left = say, {}, {}, {}, None
        self.probes = 0
        self.held, self.released, self.lock = threading.Event(), threading.Event(), threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, body):
        text, images = parts_of(body["messages"][0]["content"])
        with self.lock:
            if body["max_tokens"] == 1:
                self.probes += 1
                return "ok"
            self.asked[text] = self.asked.get(text, 0) + 1
            self.images[text] = images
            held = self.left == 0
            if self.left:
                self.left -= 1
        if held:
            self.held.set()
            self.released.wait(60)
        return self.say(text, self.asked[text])


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers = dict(self.headers)
        said = self.server.answer(body)
        status, reply = (said, {"error": {"message": "not that one"}}) if isinstance(said, int) else (200, spell(said))
        data = json.dumps(reply).encode()
        with contextlib.suppress(OSError):  # the client was killed
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *_):
        pass


def spell(text):
    return {"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}], "usage": {}}


def parts_of(content):
    if isinstance(content, str):
        return content, []
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    return content[-1]["text"], [base64.b64decode(url.partition(",")[2]) for url in urls]


def pair_of(text):
    """Return what stands between the lines of equals signs."""
    before, pair, after = text.split("==========\n")
    assert before
    assert after
    return pair


@contextlib.contextmanager
def judging(say):
    server = JudgeEndpoint(say)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


def write_folder(folder, questions, held_out=()):
    """Write a finished folder of questions."""
    folder.mkdir(parents=True)
    lake.write_questions(folder / "questions.parquet", sorted(questions, key=lambda one: one.id))
    lake.write_questions(folder / "heldout.parquet", sorted(held_out, key=lambda one: one.id))
    counts = {"train": len(questions), "test": len(held_out)}
    manifests.write_manifest(folder, manifests.Manifest(stage="questions", config={"of": folder.name}, counts=counts))
    return folder
