"""One chat endpoint of the OpenAI protocol: vLLM, a gateway, or the scripted teacher. Each request is sent once."""

import asyncio
import dataclasses
import json
import os
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from octomed_jax.errors import TryAgain, UserError
from octomed_jax.teacher.reply import Completion, RequestFailed, WrongChoices, message_of, read_completion
from octomed_jax.teacher.requests import Sampling

READ_SECONDS = 1800.0  # that a reply may take
MAX_BODY = 64 * 2**20  # bytes of one reply
RETRY_STATUS = (408, 409, 425, 429)  # and every 5xx
ONE = Sampling(n=1, seed=0, temperature=0.0, top_p=1.0, max_tokens=1)

CHAT, COMPLETIONS = "/chat/completions", "/completions"

Messages = list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Body:
    """A request as it is sent, and the page below the endpoint to which it goes."""

    data: bytes
    page: str = CHAT


def chat_url(endpoint: str) -> str:
    """Return the URL of the chat completions of an endpoint (``http://host:port`` with or without ``/v1``).

    Raises:
        UserError: it is no http(s) URL, or holds a user name or password.
    """
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError as error:
        raise UserError(f"endpoint {endpoint!r} is no URL ({error}); write it like http://localhost:8000") from error
    if port == 0 or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"endpoint {endpoint!r} is no URL; write it like http://localhost:8000")
    if parts.username or parts.password or parts.query or parts.fragment:
        what = "a password" if parts.username or parts.password else "a query"
        raise UserError(f"the endpoint at {parts.hostname} holds {what}; name the key's variable in api_key_env")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    base = base.removesuffix(CHAT)
    return f"{base if base.endswith('/v1') else base + '/v1'}{CHAT}"


def api_key(name: str, settings: str = "config.distill") -> str:
    """Return the value of the environment variable that holds the key; empty for an empty name.

    Raises:
        UserError: that is no name, or the variable is not set.
    """
    if not name:
        return ""
    if not re.fullmatch("[A-Z_][A-Z0-9_]*", name, re.IGNORECASE):
        raise UserError(f"{settings}.api_key_env is to be the NAME of a variable that holds the key, not the key")
    key = os.environ.get(name, "").strip()
    if not key:
        shown = f" {name}" if name.isupper() else ""  # else it may be the key
        raise UserError(f"the variable{shown} that {settings}.api_key_env names is not set; export it first")
    if not key.isprintable() or " " in key or not key.isascii():
        raise UserError(f"the key in {name} holds characters that no key has; export it again")
    return key


class ChatClient:
    """Sends chat requests to one endpoint, each once. Use as ``async with ChatClient(...) as client``."""

    def __init__(
        self,
        endpoint: str,
        model: str,
        api_key_env: str = "",
        read_seconds: float = READ_SECONDS,
        settings: str = "config.distill",
    ):
        """Begin; ``settings`` is the part of the config that an error names."""
        self.url, self.model = chat_url(endpoint), model
        self._key_name, self._key, self._settings = api_key_env, api_key(api_key_env, settings), settings
        self._read_seconds = read_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "ChatClient":
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=self._read_seconds)
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session
        await self._session.close()

    def body(self, messages: Messages, sampling: Sampling, more: Mapping[str, Any] | None = None) -> Body:
        """Return a request as it is sent; the same for all endpoints of a model.

        ``more`` are further fields of it. With a ``prompt`` among them, a text or ids that are rendered already, it is
        a plain completion of that, and ``messages`` are left out.
        """
        fields = {"model": self.model, **vars(sampling), **(more or {})}
        if "prompt" in fields:
            return Body(json.dumps(fields).encode(), COMPLETIONS)
        return Body(json.dumps({"messages": messages, **fields}).encode())

    async def send(self, body: Body, n: int) -> Completion:
        """Send a request and read ``n`` responses.

        Raises:
            RequestFailed: it did not succeed; it says whether another try can help.
        """
        return read_completion(await self._post(body), n)

    async def probe(self, messages: Messages, seconds: float, sampling: Sampling = ONE) -> None:
        """Ask for one real token: a server that lists its models, or calls itself healthy, may still not generate.

        ``sampling`` is how requests are made otherwise, to find out whether it accepts that.

        Raises:
            RequestFailed: none came back in time.
        """
        try:
            async with asyncio.timeout(seconds):
                await self.send(self.body(messages, dataclasses.replace(sampling, max_tokens=1)), sampling.n)
        except TimeoutError:
            raise RequestFailed(f"no token in {seconds:g} s", transient=True, connection=True) from None

    def explain(self, failure: RequestFailed) -> Exception:
        """Return what a failure of a probe means to the user: ``TryAgain`` or ``UserError``."""
        if isinstance(failure, WrongChoices):
            return UserError(f"{self.url} does not give several choices at once: {failure}")
        if failure.transient:
            field = self._field("endpoints" if ".teachers." in self._settings else "endpoint")
            return TryAgain(f"no answer from {self.url} ({failure}); start it, or set {field}, and run again")
        if failure.status in (401, 403):
            cure = f"check the key in {self._key_name}" if self._key_name else f"set {self._field('api_key_env')}"
            return UserError(f"the endpoint at {self.url} refuses the key ({failure}); {cure}")
        if failure.status == 404:
            return UserError(f"{self.url} knows no model {self.model!r} ({failure}); set {self._field('model')}")
        return UserError(f"{self.url} refuses the request ({failure}); check {self._settings}")

    def _field(self, name: str) -> str:
        """Return a field of the settings, and the option that sets it where there is one."""
        option = f"--{name.removesuffix('s').replace('_', '-')} or " if ".teachers." in self._settings else ""
        return f"{option}{self._settings}.{name}"

    async def _post(self, body: Body) -> Any:
        """Send one request and return the parsed reply."""
        assert self._session
        headers, url = {"Content-Type": "application/json"}, self.url.removesuffix(CHAT) + body.page
        try:
            async with self._session.post(url, data=body.data, headers=headers, allow_redirects=False) as response:
                data = await _read_limited(response)
                status, wait = response.status, response.headers.get("Retry-After", "")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise RequestFailed(self._hide(type(error).__name__), transient=True, connection=True) from None
        data = self._without_key(data)
        if status != 200:
            transient = status in RETRY_STATUS or status >= 500
            seconds = min(60.0, float(wait)) if wait.isdecimal() else 0.0
            reason = self._hide(f"HTTP {status}: {message_of(data)}".rstrip(": "))
            raise RequestFailed(reason, transient, status, wait=seconds)
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise RequestFailed("the reply is not JSON", transient=True) from None

    def _without_key(self, data: bytes) -> bytes:
        """Return a reply without the key: what a server echoes is written into files."""
        for spelling in {self._key, json.dumps(self._key)[1:-1], self._key.replace("/", "\\/")} if self._key else ():
            data = data.replace(spelling.encode(), b"***")
        return data

    def _hide(self, text: str) -> str:
        """Return ``text`` on one line without the key, whatever the server echoed."""
        text = " ".join(text.split())
        return (text.replace(self._key, "***") if self._key else text)[:200]


async def _read_limited(response: aiohttp.ClientResponse) -> bytes:
    pieces, size = [], 0
    async for piece in response.content.iter_chunked(1 << 16):
        size += len(piece)
        if size > MAX_BODY:
            raise RequestFailed(f"the reply is larger than {MAX_BODY} bytes", transient=False)
        pieces.append(piece)
    return b"".join(pieces)
