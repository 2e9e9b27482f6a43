"""A chat client for any endpoint that speaks the OpenAI protocol: vLLM, a gateway, or the scripted teacher."""

import asyncio
import dataclasses
import json
import os
import random
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from octomed_jax.errors import TryAgain, UserError
from octomed_jax.teacher.reply import Completion, RequestFailed, read_completion
from octomed_jax.teacher.requests import Sampling

TRIES = 8
FIRST_WAIT = 0.5  # seconds, doubled with every further try
MAX_BODY = 64 * 2**20  # bytes of one reply
RETRY_STATUS = (408, 409, 425, 429)  # and every 5xx


def chat_url(endpoint: str) -> str:
    """Return the URL of the chat completions of an endpoint (``http://host:port`` with or without ``/v1``).

    Raises:
        UserError: it is no http(s) URL, or holds a user name or password.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"endpoint {endpoint!r} is no URL; write it like http://localhost:8000")
    if parts.username or parts.password:
        raise UserError(f"the endpoint at {parts.hostname} holds a password; name its variable in api_key_env")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    base = base.removesuffix("/chat/completions")
    return f"{base if base.endswith('/v1') else base + '/v1'}/chat/completions"


def api_key(name: str, settings: str = "config.distill") -> str:
    """Return the value of the environment variable that holds the key; empty for an empty name.

    Raises:
        UserError: the variable is not set.
    """
    if not name:
        return ""
    if not os.environ.get(name):
        raise UserError(f"{settings}.api_key_env names the variable {name}, which is not set; export it first")
    return os.environ[name]


class ChatClient:
    """Sends chat requests, tries again where that can help, and keeps at most ``in_flight`` of them going.

    Use as ``async with ChatClient(...) as client``.
    """

    def __init__(
        self,
        endpoint: str,
        model: str,
        api_key_env: str = "",
        in_flight: int = 64,
        read_seconds: float = 1800.0,
        settings: str = "config.distill",
    ):
        """Begin; ``settings`` is the part of the config that an error names."""
        self.url, self.model = chat_url(endpoint), model
        self._key_name, self._key, self._settings = api_key_env, api_key(api_key_env, settings), settings
        self._slots = asyncio.Semaphore(in_flight)
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

    async def complete(self, messages: list[dict[str, Any]], sampling: Sampling) -> Completion:
        """Ask for ``sampling.n`` responses.

        A slot is held while a try is under way and freed while waiting for the next.

        Raises:
            RequestFailed: for good, or after all tries.
        """
        body = {"model": self.model, "messages": messages, **dataclasses.asdict(sampling)}
        for attempt in range(TRIES):
            try:
                async with self._slots:
                    reply = await self._post(body)
                return read_completion(reply, sampling.n)
            except RequestFailed as failure:
                if not failure.transient or attempt == TRIES - 1:
                    raise
                wait = max(failure.wait, min(30.0, FIRST_WAIT * 2**attempt) * random.uniform(0.5, 1.0))
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def probe(self, messages: list[dict[str, Any]]) -> None:
        """Ask for one real token: a server that lists its models may still not generate.

        Raises:
            TryAgain: it does not answer, or not yet.
            UserError: it answers, and will never accept such a request.
        """
        sampling = Sampling(n=1, seed=0, temperature=0.0, top_p=1.0, max_tokens=1)
        failure: RequestFailed | None = None
        for attempt in range(3):
            if attempt:
                await asyncio.sleep(min(1.0, FIRST_WAIT) * attempt)
            try:
                read_completion(
                    await self._post({"model": self.model, "messages": messages, **dataclasses.asdict(sampling)}), 1
                )
                return
            except RequestFailed as error:
                failure = error
                if not error.transient:
                    break
        assert failure
        raise self._explain(failure)

    def _explain(self, failure: RequestFailed) -> Exception:
        if failure.transient:
            return TryAgain(
                f"no answer from {self.url} ({failure}); start it, or set {self._settings}.endpoint, and run again"
            )
        if failure.status in (401, 403):
            cure = f"check the key in {self._key_name}" if self._key_name else f"set {self._settings}.api_key_env"
            return UserError(f"the endpoint at {self.url} refuses the key ({failure}); {cure}")
        if failure.status == 404:
            return UserError(f"{self.url} knows no model {self.model!r} ({failure}); set {self._settings}.model")
        return UserError(f"{self.url} refuses the request ({failure}); check {self._settings}")

    async def _post(self, body: Mapping[str, Any]) -> Any:
        """Send one request and return the parsed reply."""
        assert self._session
        try:
            async with self._session.post(self.url, json=body, allow_redirects=False) as response:
                data = await _read_limited(response)
                status, wait = response.status, response.headers.get("Retry-After", "")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise RequestFailed(self._hide(type(error).__name__), transient=True, connection=True) from None
        if status != 200:
            transient = status in RETRY_STATUS or status >= 500
            seconds = min(60.0, float(wait)) if wait.isdigit() else 0.0
            reason = self._hide(f"HTTP {status}: {_message_of(data)}".rstrip(": "))
            raise RequestFailed(reason, transient, status, wait=seconds)
        try:
            return json.loads(data)
        except ValueError:
            raise RequestFailed("the reply is not JSON", transient=True) from None

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


def _message_of(data: bytes) -> str:
    """Return the message of an error reply, in any of the usual shapes."""
    text = data[:2000].decode("utf-8", "replace")
    try:
        reply = json.loads(data)
    except ValueError:
        return text
    if isinstance(reply, dict):
        error = reply.get("error", reply)
        if isinstance(error, dict):
            return str(error.get("message") or text)
        return str(error)
    return text
