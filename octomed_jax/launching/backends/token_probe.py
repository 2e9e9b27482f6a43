"""Asks the vLLM on this machine for one real token: ready means that it answers, not that it lists a model.

It runs inside the teacher's container, where only Python's own library is sure to be there:
``python3 token_probe.py PORT [MODEL]``. Exit code 0: it answers.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

TOKEN_SECONDS = 45.0  # for the token; the probe's own limit is 60 seconds
WATCH_SECONDS = 5.0
COUNTER = "vllm:generation_tokens_total"


def probe(
    port: str, model: str = "", token_seconds: float = TOKEN_SECONDS, watch_seconds: float = WATCH_SECONDS
) -> str:
    """Return an empty string where tokens come, else what is wrong.

    A server under load may let a new question wait. As long as others get their tokens, it works.

    Args:
        port: of the server.
        model: its name there; empty: the first that the server lists.
        token_seconds: that a token may take.
        watch_seconds: in which others must get one, where this one was not given any.
    """
    try:
        before = generated(port)
        model = model or json.loads(ask(port, "/v1/models", 5.0))["data"][0]["id"]
        reply = ask(port, "/v1/completions", token_seconds, {"model": model, "prompt": "1, 2, 3,", "max_tokens": 1})
        if json.loads(reply)["usage"]["completion_tokens"] >= 1:
            return ""
        return "a reply without a token"
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except TimeoutError:
        pass
    except (OSError, ValueError, LookupError, TypeError) as error:
        if not isinstance(getattr(error, "reason", None), TimeoutError):
            return f"{type(error).__name__}: {error}"
    try:
        time.sleep(watch_seconds)
        return "" if generated(port) > before else f"no token in {token_seconds:g} s, and none for anybody else"
    except OSError as error:
        return f"no token in {token_seconds:g} s, then {error}"


def generated(port: str) -> float:
    """Return how many tokens the server has generated so far."""
    lines = ask(port, "/metrics", 5.0).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(COUNTER))


def ask(port: str, path: str, seconds: float, body: object = None) -> str:
    """Return the reply to a GET, or to a POST of ``body``."""
    headers = {"Content-Type": "application/json"}
    if os.environ.get("VLLM_API_KEY"):
        headers["Authorization"] = "Bearer " + os.environ["VLLM_API_KEY"]
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    with urllib.request.urlopen(request, timeout=seconds) as reply:
        return reply.read().decode()


if __name__ == "__main__":
    sys.exit(probe(sys.argv[1], "".join(sys.argv[2:3])) or 0)
