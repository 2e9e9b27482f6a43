"""The requests with which a server is tried: prompts of our own, made here. No question of a data set is among them."""

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any

from PIL import Image

from octomed_jax.errors import TryAgain
from octomed_jax.images.decode import encode_png
from octomed_jax.teacher.reply import OVERLOAD_STATUS, read_message
from octomed_jax.teacher.requests import Sampling, data_url
from octomed_jax.teacher.server.blocking import CHAT, MODELS, Address, RequestRefused, ask, one_line, why_none
from octomed_jax.verification.candidates import THINK_END

SIDE = 224  # a usual size, and 64 tokens of Qwen2.5-VL
COLOUR, RGB = "orange", (255, 140, 0)  # not the first that comes to a mind without a picture
ONE_TOKEN = {"messages": [{"role": "user", "content": "1+1="}], "max_tokens": 1, "temperature": 0}

Messages = list[dict[str, Any]]


def text_messages(text: str) -> Messages:
    """Return one user turn of text."""
    return [{"role": "user", "content": text}]


def image_messages(text: str, images: int = 1) -> Messages:
    """Return one user turn with so many pictures of one colour before the text."""
    part = {"type": "image_url", "image_url": {"url": _picture()}}
    return [{"role": "user", "content": [*[part] * images, {"type": "text", "text": text}]}]


@cache
def _picture() -> str:
    return data_url(encode_png(Image.new("RGB", (SIDE, SIDE), RGB)))


@dataclasses.dataclass(frozen=True)
class Reply:
    """A chat completion: messages and their ends, and what ``usage`` counts (0 where it does not)."""

    messages: list[Mapping[str, Any]]
    ends: list[str]
    prompt_tokens: int
    completion_tokens: int

    def texts(self) -> list[str]:
        """Return the responses as distill keeps them."""
        return [read_message(message, end)[0] for message, end in zip(self.messages, self.ends, strict=True)]

    def answer(self) -> str:
        """Return the first response without its thought; of a thought that was cut, what there is."""
        return self.texts()[0].rsplit(THINK_END, 1)[-1].strip()


@dataclasses.dataclass(frozen=True)
class Prober:
    """Asks one endpoint, once for each request.

    Raises:
        RequestRefused: an HTTP error.
        ValueError: the reply is not what was asked for.
        TryAgain: no reply in ``timeout_s`` seconds, or the server is busy.
    """

    address: Address
    timeout_s: float

    def models(self) -> dict[str, Mapping[str, Any]]:
        """Return what the server tells of its models, by name."""
        try:
            return {str(entry["id"]): entry for entry in self._ask(MODELS, None)["data"]}
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ValueError("the reply is no list of models") from None

    def chat(self, model: str, messages: Messages, sampling: Sampling) -> Reply:
        """Send a prompt of our own with all the fields that distill sends."""
        try:
            return _read(self._ask(CHAT, {"model": model, "messages": messages, **dataclasses.asdict(sampling)}))
        except (ValueError, OverflowError, LookupError, TypeError, AttributeError):
            raise ValueError("the reply is no chat completion") from None

    def later(self, error: RequestRefused) -> TryAgain:
        """Return what to raise where a server answers with an error of its own."""
        return TryAgain(f"{self.address.base} is busy, not up yet or broken ({error}); run it again later")

    def _ask(self, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            return ask(self.address, path, body, self.timeout_s)
        except RequestRefused as error:
            if error.status in OVERLOAD_STATUS:
                raise self.later(error) from error
            raise
        except OSError as error:
            where, why = f"{self.address.base}{path}", why_none(error)
            raise TryAgain(f"no answer from {where} ({why}); start the server or mend the URL") from error


def _read(reply: Any) -> Reply:
    choices = sorted(reply["choices"], key=lambda choice: choice.get("index", 0))
    usage = reply.get("usage") or {}
    read = Reply(
        [choice["message"] for choice in choices],
        [one_line(str(choice.get("finish_reason") or "")) for choice in choices],
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
    )
    if not read.texts():
        raise ValueError("no choice")
    return read
