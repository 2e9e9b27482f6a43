"""A fake ``vllm`` executable, for injecting faults: a small HTTP server that dies, hangs or is slow when told to.

It computes nothing. That the real vLLM serves a folder is what tests/hf/test_verify_vllm.py tests. Told by the variable
VLLM_FAKE_VLLM, as JSON: ``die`` (text to print before it ends), ``deaf`` (never listens), ``hang`` (listens, never
answers), ``answers`` (HTTP status and body of the first replies), ``stubborn`` (its worker ignores SIGTERM). Notes in
the folder of VLLM_FAKE_NOTES what it was started with.
"""

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WORKER = "import signal, sys, time; signal.signal(signal.SIGTERM, getattr(signal, sys.argv[1])); time.sleep(300)"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.plan.get("hang"):
            time.sleep(300)
        answers = self.server.plan.get("answers") or []
        token = {"choices": [{"message": {"content": "2"}}], "asked": [self.path, request]}
        status, body = answers.pop(0) if answers else (200, json.dumps(token))
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
    (Path(os.environ["VLLM_FAKE_NOTES"]) / f"{os.getpid()}.json").write_text(json.dumps(noted))
    if "die" in plan:
        print(plan["die"], flush=True)
        os._exit(9)  # and leaves its worker behind
    if plan.get("deaf"):
        time.sleep(300)
    server = ThreadingHTTPServer(("127.0.0.1", int(words[words.index("--port") + 1])), Handler)
    server.plan = plan
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
