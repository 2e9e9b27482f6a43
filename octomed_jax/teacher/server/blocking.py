"""One request at a time to an OpenAI-compatible server, without asyncio: to start a server of ours, and to check one.

Like the distill stage it follows no redirect and uses no proxy, so that what works here works there.
"""

import dataclasses
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from octomed_jax.teacher.client import chat_url
from octomed_jax.teacher.reply import message_of

CHAT = "/chat/completions"
MODELS = "/models"
MAX_REPLY = 16 * 2**20  # bytes
MAX_ERROR = 1 << 16
MAX_MESSAGE = 300  # characters of what a server says


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a server is, and the key it asks for.

    Attributes:
        base: its URL, which ends with ``/v1``.
        key: sent as bearer token; empty for none. It is in no message.
    """

    base: str
    key: str = dataclasses.field(default="", repr=False)


class RequestRefused(Exception):
    """The server answered with an HTTP error."""

    def __init__(self, status: int, reason: str):
        super().__init__(f"HTTP {status}: {reason}".rstrip(": "))
        self.status = status


def address_of(endpoint: str, key: str = "") -> Address:
    """Return the address of an endpoint (``http://host:port`` with or without ``/v1``).

    Raises:
        UserError: it is no http(s) URL, or holds a user name or password.
    """
    return Address(chat_url(endpoint).removesuffix(CHAT), key)


def ask(address: Address, path: str, body: Mapping[str, Any] | None, timeout_s: float) -> Any:
    """Post ``body`` below the address, or get the page where there is none, and return the parsed reply.

    Raises:
        RequestRefused: an HTTP error, or a redirect.
        OSError: no connection, or no whole reply in time.
        ValueError: the reply is not JSON, or too large.
    """
    data = _fetch(address, address.base + path, body, timeout_s)
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("the reply is nested too deep") from None


def read_page(address: Address, url: str, timeout_s: float) -> str:
    """Return a page as text.

    Raises:
        RequestRefused: an HTTP error, or a redirect.
        OSError: no connection, or no whole page in time.
        ValueError: the page is too large.
    """
    return _fetch(address, url, None, timeout_s).decode("utf-8", "replace")


def why_none(error: OSError) -> str:
    """Return in a few words why there was no reply."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return "no reply in time"
    return one_line(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__)


def one_line(text: str) -> str:
    """Return what a server said as a piece of one line, without what a terminal would obey."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:MAX_MESSAGE]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: a key would go along."""


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def _fetch(address: Address, url: str, body: Mapping[str, Any] | None, timeout_s: float) -> bytes:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if address.key:
        headers["Authorization"] = f"Bearer {address.key}"
    data = None if body is None else json.dumps(body).encode()
    try:
        return _open(urllib.request.Request(url, data, headers), address.key, timeout_s)
    except http.client.HTTPException as error:
        raise ConnectionError(f"the reply broke off ({type(error).__name__})") from None


def _open(request: urllib.request.Request, key: str, timeout_s: float) -> bytes:
    deadline = time.monotonic() + timeout_s
    try:
        with _OPENER.open(request, timeout=timeout_s) as reply:
            return _read_limited(reply, deadline)
    except urllib.error.HTTPError as error:
        with error:
            redirect = 300 <= error.code < 400
            said = "a redirect, which is not followed" if redirect else message_of(error.read(MAX_ERROR))
        raise RequestRefused(error.code, one_line(said.replace(key, "***") if key else said)) from None


def _read_limited(reply: http.client.HTTPResponse, deadline: float) -> bytes:
    pieces, size = [], 0
    while piece := reply.read1(1 << 16):
        size += len(piece)
        if size > MAX_REPLY:
            raise ValueError(f"the reply is larger than {MAX_REPLY} bytes")
        if time.monotonic() > deadline:  # of one that comes in drops
            raise TimeoutError
        pieces.append(piece)
    return b"".join(pieces)
