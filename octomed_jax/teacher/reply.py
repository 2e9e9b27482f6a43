"""What comes back from a chat endpoint, in one spelling whatever the server's: choices, thoughts, tokens."""

import dataclasses
import itertools
import json
from collections.abc import Mapping
from typing import Any

from octomed_jax.verification.candidates import THINK_END, THINK_START
from octomed_jax.verification.check import TRUNCATED_FINISHES


@dataclasses.dataclass(frozen=True)
class Choice:
    """One response: the text with its thought as ``<think>...</think>``, the thought alone, and why it ended."""

    response: str
    reasoning: str
    finish_reason: str
    completion_tokens: int


@dataclasses.dataclass(frozen=True)
class Completion:
    """The answer to one request.

    Attributes:
        choices: in order.
        prompt_tokens: as the endpoint counts them; 0 where it does not.
        contents: of each choice the text as it came, without what the server took out of it as the thought.
        model: as the endpoint names it; empty where it does not.
    """

    choices: tuple[Choice, ...]
    prompt_tokens: int
    contents: tuple[str, ...] = ()
    model: str = ""


MOST_TOKENS = 2**31 - 1
MOST_MESSAGE = 4096  # bytes of an error reply that is no JSON
OVERLOAD_STATUS = (408, 425, 429, 502, 503, 504)


class RequestFailed(Exception):
    """A request that did not succeed.

    Attributes:
        transient: whether another try can help.
        status: of HTTP, 0 where there was none.
        connection: it failed before a reply was read.
        wait: seconds that the server asks to wait.
    """

    def __init__(self, reason: str, transient: bool, status: int = 0, connection: bool = False, wait: float = 0.0):
        super().__init__(reason)
        self.transient, self.status, self.connection, self.wait = transient, status, connection, wait

    @property
    def of_endpoint(self) -> bool:
        """Whether it tells of the endpoint (gone, restarting, overloaded) rather than of this request."""
        return self.connection or self.status in OVERLOAD_STATUS

    @property
    def of_settings(self) -> bool:
        """Whether the key or the model's name is refused: by an endpoint that restarts, or by a mistake."""
        return self.status in (401, 403, 404)

    @property
    def of_request(self) -> bool:
        """Whether such a request is refused, and another one may not be."""
        return not self.transient and not self.of_settings

    @property
    def kind(self) -> str:
        """What failures are counted by: the status, or the first words."""
        return f"HTTP {self.status}" if self.status else str(self).partition(" (")[0][:60]


class WrongChoices(RequestFailed):
    """Not as many choices as were asked for."""

    def __init__(self, reason: str):
        super().__init__(f"{reason} (if always: --config.distill.samples_per_request=1)", transient=True)


def message_of(data: bytes) -> str:
    """Return the message of an error reply, in any of the usual shapes."""
    text = data[:MOST_MESSAGE].decode("utf-8", "replace")
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError):
        return text
    error = reply.get("error", reply) if isinstance(reply, dict) else reply
    if isinstance(error, dict):
        error = error.get("message") or text
    return _clean(str(error))


def read_completion(reply: Any, n: int) -> Completion:
    """Read a chat completion, or a plain one, whose choices hold ``text`` in the place of a message.

    ``usage`` counts all choices together; each choice is given its share by length, so that the sum is kept.

    Raises:
        RequestFailed: it is no chat completion.
        WrongChoices: it has not ``n`` choices.
    """
    try:
        raw = sorted(reply["choices"], key=lambda choice: choice.get("index") or 0)
        places = [choice["index"] for choice in raw if isinstance(choice.get("index"), int)]
        messages = [{"content": choice["text"]} if "text" in choice else choice["message"] for choice in raw]
        ends = [_clean(str(choice.get("finish_reason") or "")) for choice in raw]
        texts = [(*read_message(message, end), end) for message, end in zip(messages, ends, strict=True)]
        contents = tuple(_clean(_content(message)) for message in messages)
        model = _clean(str(reply.get("model") or ""))
        usage = reply.get("usage")
        usage = usage if isinstance(usage, Mapping) else {}
        prompt, total = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise RequestFailed(f"the reply is no chat completion{_error_in(reply)}", transient=True) from None
    if not texts:
        raise RequestFailed("the reply holds no choice", transient=True)
    if len(texts) != n:
        raise WrongChoices(f"{len(texts)} choices came back for n={n}")
    if len(set(places)) != len(places):
        raise WrongChoices("a choice came back twice")
    shares = _shares(total, [len(response) for response, _, _ in texts])
    choices = tuple(Choice(*text, tokens) for text, tokens in zip(texts, shares, strict=True))
    return Completion(choices, prompt, contents, model)


def _error_in(reply: Any) -> str:
    """Return what a reply says in place of choices: a gateway may pass an error on as a success."""
    error = reply.get("error") if isinstance(reply, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else error
    return f": {_clean(' '.join(str(message)[:1000].split()))[:200]}" if message else ""


def _clean(text: str) -> str:
    """Return text that can be written: JSON may spell half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode()


def _count(value: Any) -> int:
    """Return a count of tokens, 0 where it is none."""
    count = int(value or 0)
    return count if 0 <= count <= MOST_TOKENS else 0


def _shares(total: int, sizes: list[int]) -> list[int]:
    whole = sum(sizes) or 1
    ends = [0]
    done = 0
    for size in sizes:
        done += size
        ends.append(total * done // whole)
    return [right - left for left, right in itertools.pairwise(ends)]


def read_message(message: Mapping[str, Any], finish_reason: str) -> tuple[str, str]:
    """Return (response, reasoning) of a message, in one spelling whatever the server's.

    A server with a reasoning parser puts the thought into ``reasoning`` (vLLM since 0.11.2) or ``reasoning_content``
    (before; DeepSeek); one without leaves ``<think>`` in the text, and where the chat template opened the thought only
    ``</think>`` is there. A thought cut at the token limit stays unclosed.
    """
    content = _content(message)
    thought = message.get("reasoning") or message.get("reasoning_content") or ""
    if not isinstance(content, str) or not isinstance(thought, str):
        raise TypeError("a message holds text")
    content, thought = _clean(content), _clean(thought)
    if not content.strip() and THINK_END in thought:  # a reasoning parser that took all of it
        content, thought = thought, ""
    if THINK_END in content:
        before, answer = content.rsplit(THINK_END, 1)
        thought = before.strip().removeprefix(THINK_START).strip()
        return f"{THINK_START}{thought}{THINK_END}\n\n{answer.strip()}", thought
    if content.lstrip().startswith(THINK_START):
        thought = content.strip().removeprefix(THINK_START).strip()
        return f"{THINK_START}{thought}", thought
    if not thought:
        return content.strip(), ""
    thought = thought.strip().removeprefix(THINK_START).removesuffix(THINK_END).strip()
    if not content.strip() and finish_reason in TRUNCATED_FINISHES:
        return f"{THINK_START}{thought}", thought
    return f"{THINK_START}{thought}{THINK_END}\n\n{content.strip()}", thought


def reasoning_place(message: Mapping[str, Any]) -> str:
    """Return where a message has its thought.

    That is the field ``reasoning`` or ``reasoning_content``; ``<think>`` if the text begins with that; ``</think>`` if
    only the end is marked; or an empty string where no thought can be told from the answer.
    """
    for field in ("reasoning", "reasoning_content"):
        if message.get(field):
            return field
    content = _content(message)
    if content.lstrip().startswith(THINK_START):
        return THINK_START
    return THINK_END if THINK_END in content else ""


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
    return content
