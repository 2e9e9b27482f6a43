"""The answers of an evaluation that is not finished, so that a killed one is gone on with.

A line for what came back together: where a kill cuts it, all of it is asked again. It lies in the folder that is being
made. Requests that failed are not in it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from octomed_jax.evaluation.backends.base import Answer, Answers
from octomed_jax.evaluation.protocol import PROTOCOL_VERSION, Protocol
from octomed_jax.os_errors import explain_os_error, making
from octomed_jax.progress import say
from octomed_jax.schema import Question
from octomed_jax.storage import fingerprint, sha256_bytes

NAME = "journal.jsonl"


def key_of(identity: str, question: Question, protocol: Protocol, draw: int) -> str:
    """Return the name of a sample: equal for equal model, prompt, images, sampling, seed and protocol version."""
    known = len(question.image_hashes) == len(question.images)
    images = list(question.image_hashes) if known else [sha256_bytes(data) for data in question.images]
    prompt = sha256_bytes(protocol.text_of(question).encode())
    return fingerprint([PROTOCOL_VERSION, identity, prompt, images, protocol.sampling, draw])


class Journal:
    """The answers that have come back so far. Use as ``with Journal(path) as journal``; one process has it.

    Attributes:
        held: key of a sample to its answer.
    """

    def __init__(self, path: Path):
        self.path = path
        self.held: dict[str, Answer] = {}
        self._file = -1

    def __enter__(self) -> "Journal":
        with making(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        whole = self._read()
        if whole < os.fstat(self._file).st_size:
            say(f"{self.path} is cut or damaged after {len(self.held)} answers; what followed is asked again")
            os.ftruncate(self._file, whole)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def add(self, answers: Answers) -> None:
        """Keep answers that came back together; those that failed are left out.

        Raises:
            TryAgain: the disk is full.
        """
        good = {asked.key: answer for asked, answer in answers if not answer.error}
        if not good:
            return
        line = json.dumps({key: _to_plain(answer) for key, answer in good.items()}, ensure_ascii=False).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        self.held |= good

    def _read(self) -> int:
        """Read the whole lines; return how many bytes they are."""
        whole = 0
        with self.path.open("rb") as file:
            for line in file:
                answers = _answers_of(line)
                if answers is None:
                    break
                self.held |= answers
                whole += len(line)
        return whole


def _to_plain(answer: Answer) -> list[Any]:
    return [answer.text, answer.finish_reason, answer.completion_tokens, answer.forced]


def _answers_of(line: bytes) -> dict[str, Answer] | None:
    """Return the answers of a line; None for one that is cut or damaged."""
    try:
        fields: Mapping[str, Sequence[Any]] = json.loads(line) if line.endswith(b"\n") else {}
        return {key: Answer(*values) for key, values in fields.items()} or None
    except (ValueError, TypeError, AttributeError):
        return None
