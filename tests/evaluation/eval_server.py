"""A fake chat server on loopback, in a thread: it computes nothing, and is told what it can do.

A question whose text has "endless" is thought about until the tokens are spent; every other one is answered at once,
with an option that depends on the seed. That the real vLLM does what is played here is what test_eval_with_vllm.py
tests.
"""

import contextlib
import dataclasses
import hashlib
import json
import time

from tests.loopback_server import LoopbackHandler, serving

MODEL = "made/model"
TURN = 5  # tokens that close a message and open the next


@dataclasses.dataclass
class Behaviour:
    """How it is.

    Attributes:
        models: that it lists; None: it has no such page.
        name: under which it answers.
        length: of its context, as it says.
        chat: of a message to go on with: "continues", "ignores" or "refuses".
        completions: whether it has plain completions.
        field: in which it puts a thought; empty: into the text.
        fault: from a request to a status that it fails with, or 0.
        thought: before an answer.
        finish: why an answer ended.
        cut: how it says that the tokens are spent.
        usage: whether it counts tokens.
        seconds: that an answer takes.
    """

    models: tuple[str, ...] | None = (MODEL,)
    name: str = MODEL
    length: int | None = 4096
    chat: str = "continues"
    completions: bool = True
    field: str = ""
    fault: object = None
    thought: str = "so"
    finish: str = "stop"
    cut: str = "length"
    usage: bool = True
    seconds: float = 0.0


def tokens(messages):
    return sum(TURN + len(json.dumps(message["content"]).split()) for message in messages)


class Handler(LoopbackHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        how = self.server.how
        if how.models is None:
            return self.reply(404, {"detail": "Not Found"})
        told = {"max_model_len": how.length} if how.length else {}
        return self.reply(200, {"data": [{"id": name, **told} for name in how.models]})

    def do_POST(self):
        how = self.server.how
        body = self.body()
        with self.server.lock:
            self.server.asked.append(body)
        time.sleep(how.seconds)
        status = how.fault(body) if how.fault else 0
        if status:
            return self.reply(status, {"error": {"message": f"fault {status}"}})
        if self.path.endswith("/v1/completions"):
            if not how.completions:
                return self.reply(404, {"detail": "Not Found"})
            return self.say({"text": " B"}, "stop", len(body["prompt"]))
        messages = body["messages"]
        going_on = body.get("continue_final_message", False) and how.chat != "ignores"
        if going_on and how.chat == "refuses":
            return self.reply(400, {"error": {"message": "extra field continue_final_message"}})
        if going_on:
            return self.say({"message": self.message("", " B", going_on)}, "stop", tokens(messages))
        prompt = tokens(messages) + TURN
        if how.length and prompt + body["max_tokens"] > how.length:
            return self.reply(400, {"error": {"message": f"maximum context length is {how.length}"}})
        if "endless" in json.dumps(messages[0]) and body["max_tokens"] > 1:
            return self.say({"message": self.message("on and on", "", going_on)}, how.cut, prompt)
        letter = "AB"[hashlib.sha256(str(body["seed"]).encode()).digest()[0] % 2]
        return self.say({"message": self.message(how.thought, f"\\boxed{{{letter}}}", going_on)}, how.finish, prompt)

    def message(self, thought, answer, going_on):
        """Spell a thought and an answer; a reasoning parser takes what it goes on with for the thought."""
        if self.server.how.field:
            return {
                self.server.how.field: answer if going_on else f"\n{thought}\n",
                "content": "" if going_on else answer,
            }
        closed = f"\n</think>\n\n{answer}" if answer else ""
        return {"content": answer if going_on else f"<think>\n{thought}{closed}"}

    def say(self, choice, finish, prompt):
        usage = {"prompt_tokens": prompt, "completion_tokens": 7}
        choice = {"index": 0, "finish_reason": finish, **choice}
        self.reply(
            200, {"model": self.server.how.name, "choices": [choice], "usage": usage if self.server.how.usage else None}
        )


@contextlib.contextmanager
def eval_server(**how):
    """Yield the server: its ``url``, ``how`` it is, and what it was ``asked``."""
    with serving(Handler, Behaviour(**how)) as server:
        yield server
