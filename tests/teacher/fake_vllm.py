"""A fake ``vllm`` executable, for injecting faults: a small HTTP server that dies, hangs or is slow when told to.

It computes nothing. That the real vLLM serves a folder is what tests/hf/test_verify_vllm.py and
tests/teacher/test_real_vllm.py test. Told by the variable VLLM_FAKE_VLLM, as JSON: ``die`` (text to print before it
ends), ``deaf`` (never listens), ``hang`` (listens, never answers), ``answers`` (HTTP status and body of the first
replies), ``blind`` (refuses images), ``stubborn`` (its worker ignores SIGTERM). ``replies`` is the number of chat
requests that it answers before the fault ``then``: a text to print before it ends, ``hang``, or ``busy``, where it
answers no more and yet counts tokens, at six looks, before it ends. Notes in the folder of VLLM_FAKE_NOTES what it was
started with.
"""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WORKER = "import signal, sys, time; signal.signal(signal.SIGTERM, getattr(signal, sys.argv[1])); time.sleep(300)"
LOOKS = 6


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        plan = self.server.plan
        with self.server.lock:
            number = next(self.server.chats)
        if plan.get("hang"):
            time.sleep(300)
        if number >= plan.get("replies", 1 << 30):
            if plan["then"] not in ("hang", "busy"):
                print(plan["then"], flush=True)
                os._exit(7)
            time.sleep(300)
        answers = plan.get("answers") or []
        token = {"choices": [{"message": {"content": "2"}}], "asked": [self.path, request]}
        status, body = answers.pop(0) if answers else (200, json.dumps(token))
        if plan.get("blind") and "image_url" in json.dumps(request):
            status, body = 400, "no multimodal model"
        self.reply(status, body)

    def do_GET(self):
        with self.server.lock:
            looks = next(self.server.looks)
        busy = self.server.plan.get("then") == "busy"
        if busy and looks == LOOKS:
            print("OSError: looked at often enough", flush=True)
            os._exit(7)
        if self.path == "/metrics":
            tokens = looks if busy else 5
            text = "# HELP vllm:generation_tokens_total Number of generation tokens processed.\n"
            text += f'vllm:generation_tokens_total{{engine="0",model_name="m"}} {tokens}.0\n'
            self.reply(200, text)
        else:
            length = int(self.server.words["--max-model-len"])
            model = {"id": self.server.words["--served-model-name"], "max_model_len": length}
            self.reply(200, json.dumps({"data": [model]}))

    def reply(self, status, body):
        key = os.environ.get("VLLM_API_KEY")
        if key and self.path.startswith("/v1") and self.headers.get("Authorization") != f"Bearer {key}":
            status, body = 401, json.dumps({"error": "Unauthorized"})
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def main(words):
    plan = json.loads(os.environ.get("VLLM_FAKE_VLLM", "{}"))
    if words == ["--version"]:
        if "die" in plan:
            sys.exit(plan["die"])
        print("a line about the platform\n1.2.3+cpu")
        return
    worker = subprocess.Popen([sys.executable, "-c", WORKER, "SIG_IGN" if plan.get("stubborn") else "SIG_DFL"])
    noted = {"arguments": words, "environment": dict(os.environ), "pids": [os.getpid(), worker.pid]}
    note = Path(os.environ["VLLM_FAKE_NOTES"]) / f"{os.getpid()}.json"
    note.with_suffix(".partial").write_text(json.dumps(noted))
    note.with_suffix(".partial").rename(note)  # the test that waits for it reads all of it
    if "die" in plan:
        print(plan["die"], flush=True)
        os._exit(9)  # and leaves its worker behind
    if plan.get("deaf"):
        time.sleep(300)
    print("INFO 11-23 04:38:48 [launcher.py:282] serving", flush=True)
    options = dict(itertools.pairwise(words))
    server = ThreadingHTTPServer(("127.0.0.1", int(options["--port"])), Handler)
    server.plan, server.words, server.lock = plan, options, threading.Lock()
    server.chats, server.looks = itertools.count(), itertools.count(1)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
