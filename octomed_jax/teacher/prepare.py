"""Messages for requests. Large images are shrunk in other processes, so that requests go on meanwhile."""

import asyncio
import multiprocessing
import os
from collections import OrderedDict
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType

from octomed_jax.schema import Question
from octomed_jax.teacher.client import Messages
from octomed_jax.teacher.prompts import Prompt
from octomed_jax.teacher.requests import data_url, is_too_large, messages_with, prepare_image

KEPT = 64  # questions whose images are kept for their other requests


class Preparer:
    """Makes messages. Use as a block; its processes begin with the first image that is too large, and end with it."""

    def __init__(self, prompt: Prompt, max_pixels: int):
        self._prompt, self._max_pixels = prompt, max_pixels
        self._pool: ProcessPoolExecutor | None = None
        self._urls: OrderedDict[str, asyncio.Future[list[str]]] = OrderedDict()

    def __enter__(self) -> "Preparer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    async def messages(self, question: Question) -> Messages:
        """Return the messages of a question, as it is shown.

        Raises:
            UserError: an image that cannot be read.
        """
        if not question.images:
            return messages_with(self._prompt.text(question), [])
        if question.id not in self._urls:
            self._urls[question.id] = asyncio.ensure_future(self._prepare(question))
            if len(self._urls) > KEPT:
                self._urls.popitem(last=False)
        return messages_with(self._prompt.text(question), await asyncio.shield(self._urls[question.id]))

    async def _prepare(self, question: Question) -> list[str]:
        return [data_url(await self._image(data, question.id)) for data in question.images]

    async def _image(self, data: bytes, name: str) -> bytes:
        if not is_too_large(data, self._max_pixels, name):
            return data
        if self._pool is None:
            workers = max(1, (os.cpu_count() or 2) - 1)
            self._pool = ProcessPoolExecutor(min(16, workers), multiprocessing.get_context("spawn"))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, prepare_image, data, self._max_pixels, name)
