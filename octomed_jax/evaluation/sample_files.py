"""Scores files of samples without a model: every response is judged by the verifier of today, and only numbers stay."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from octomed_jax import progress
from octomed_jax.errors import UserError
from octomed_jax.evaluation.columns import CODES, NO_LENGTH, Columns
from octomed_jax.evaluation.resampling import DRAWS, LEVEL, METHOD, SEED
from octomed_jax.evaluation.sample_rows import Row, find_files, first_difference, key_of, read_rows, row_at
from octomed_jax.evaluation.scoring import TOKENS, WORDS, is_failed, partial_length, results_of, vote_of
from octomed_jax.evaluation.text_overlap import SIMPLE, Tokens
from octomed_jax.schema import VERDICTS, Question
from octomed_jax.verification.candidates import THINK_END, THINK_START
from octomed_jax.verification.check import Checker, Rules
from octomed_jax.verification.rows import question_of

__all__ = ["Scorer", "count_words", "find_files", "read_rows", "score_files"]

_BLANK = 32  # the code of a space; line breaks and tabs have lower ones
_CHECKERS = 16384  # that are held at once
_LINES = 2**40  # more than a file has


def score_files(
    files: Sequence[Path], votes: int = 0, tokens: Tokens = SIMPLE, seen: Mapping[str, bool] | None = None
) -> dict[str, Any]:
    """Return the content of results.json for files of samples, which are read once, row by row.

    Args:
        files: JSON lines, of one benchmark or several, whose questions may lie in more than one of them.
        votes: of how many samples of a question a majority is taken; 0: of none.
        tokens: of which token F1 is counted.
        seen: id of a question to whether it was seen in training; None: nobody looked.

    Raises:
        UserError: a row cannot be scored; file and line are named.
    """
    scorer, digests = Scorer(files, tokens), []
    with progress.bar("scoring", sum(file.stat().st_size for file in files), "bytes") as line:
        for number, file in enumerate(files):
            digest = hashlib.sha256()
            scorer.read(number, digest.update, line.advance)
            digests.append({"name": file.name, "sha256": digest.hexdigest()})
    settings = {
        "verifier": scorer.rules.name,
        "samples": digests,
        "level": LEVEL,
        "bootstrap": {"method": METHOD, "draws": DRAWS, "seed": SEED},
    } | ({"votes": votes} if votes else {})
    return {**scorer.results(votes, seen), "settings": settings}


@dataclasses.dataclass(slots=True)
class _Open:
    """A question whose samples are being judged."""

    key: int
    number: int
    task: str
    check: Callable[[str, str], Any] | None  # None: no response had to be judged
    columns: Columns


class Scorer:
    """Judges rows one by one and keeps their numbers by benchmark.

    Attributes:
        rules: what responses are judged by.
        columns: benchmark to its samples.
        judged: whether responses were judged here, of those that were not failed requests; of two kinds of rows both.
        images: benchmark and id to a hash of the question's images, of rows with the column ``image_hash``.
    """

    def __init__(self, files: Sequence[Path], tokens: Tokens = SIMPLE, believe: bool = False):
        """Begin with no rows.

        Args:
            files: where the rows come from.
            tokens: how texts are cut into tokens, where they are compared.
            believe: a verdict that a row carries counts as it is; of such rows the verdicts are kept and nothing else.
        """
        self.rules = Rules()
        self.columns: dict[str, Columns] = {}
        self.judged: set[bool] = set()
        self.images: dict[tuple[str, str], int] = {}
        self._files, self._tokens, self._believe = files, tokens, believe
        self._open: dict[tuple[str, str], _Open] = {}

    def results(self, votes: int, seen: Mapping[str, bool] | None) -> dict[str, Any]:
        """Return the figures of results.json; see ``scoring.results_of``.

        Raises:
            UserError: there were no rows, or a question is not in ``seen``.
        """
        if not self.columns:
            raise UserError(f"{', '.join(file.name for file in self._files)}: no samples; give files with rows")
        return results_of(self.columns, None, votes, seen)

    def first_row(self, benchmark: str, name: str) -> Row:
        """Return the first row of a question, read again."""
        columns = self.columns[benchmark]
        number = columns.find(name)
        assert number is not None, f"{name} of {benchmark} was not read"
        file, line = divmod(columns.first_row(number), _LINES)
        return row_at(self._files[file], line)

    def read(
        self,
        number: int,
        see: Callable[[bytes], None] = lambda _: None,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Add the rows of the file with that number.

        Args:
            number: from 0.
            see, advance: as ``read_rows`` takes them.

        Raises:
            UserError: a row cannot be scored; file and line are named.
        """
        for line, row in read_rows(self._files[number], see, advance):
            self.add(row, number, line)

    def add(self, row: Row, file: int, line: int) -> None:
        """Judge a row.

        Args:
            row: in the form of docs/evaluation.md.
            file: the number of its file.
            line: the line it stands in.

        Raises:
            UserError: it cannot be scored.
        """
        name, benchmark = self._text(row, "id", file, line), self._text(row, "benchmark", file, line)
        key = key_of(row)
        opened = self._open.get((benchmark, name))
        if opened is None or opened.key != key:
            opened = self._opened(row, key, file, line)
        columns = opened.columns
        seed = row.get("seed") or 0
        if type(seed) is not int:
            self._refuse(file, line, f"has the seed {seed!r}; a seed is a whole number")
        if is_failed(row):
            code, vote, thinking, partial = CODES["failed"], 0, NO_LENGTH, NO_LENGTH
        elif self._believe and row.get("verdict") is not None:
            code, vote, thinking, partial = self._believed(row, file, line), 0, NO_LENGTH, NO_LENGTH
        else:
            code, vote, thinking, partial = self._judge(row, opened, file, line)
        if not columns.add(opened.number, seed, code, vote, thinking, partial):
            self._refuse(file, line, f"is a second sample of question {name!r} with seed {seed}; give each one once")

    def _believed(self, row: Row, file: int, line: int) -> int:
        self.judged.add(False)
        if row["verdict"] not in VERDICTS:
            self._refuse(file, line, f"has the verdict {row['verdict']!r}; one of {', '.join(VERDICTS)}")
        return CODES[row["verdict"]]

    def _judge(self, row: Row, opened: _Open, file: int, line: int) -> tuple[int, int, int, int]:
        self.judged.add(True)
        if opened.check is None:
            checker = self._checker(row, file, line)
            opened.task, opened.check = checker.question.task, checker.check
        response = row.get("response")
        if type(response) is not str:
            if "response" not in row or response is not None:
                self._refuse(file, line, "has no response as text; a failed request has finish_reason error")
            response = ""
        verdict = opened.check(response, row.get("finish_reason") or "")
        columns = opened.columns
        if (before := row.get("verdict")) is not None:
            columns.changed = (columns.changed or 0) + (before != verdict.verdict)
        if columns.overlaps:
            try:
                columns.overlaps.add(opened.number, row, response, verdict.extracted, row.get("finish_reason") or "")
            except ValueError as error:
                self._refuse(file, line, f"cannot be scored: {error}")
        vote = hash(vote_of(opened.task, verdict.verdict, verdict.extracted))
        partial = partial_length(row) if verdict.verdict == "truncated" else NO_LENGTH
        return CODES[verdict.verdict], vote, self._length(row, response, columns, file, line), partial

    def _length(self, row: Row, response: str, columns: Columns, file: int, line: int) -> int:
        """Return the length of a thought: as the row says, in tokens, or in words where it says nothing."""
        if "thinking_tokens" not in row:
            columns.units.add(WORDS)
            return count_words(response)
        columns.units.add(TOKENS)
        length = row["thinking_tokens"]
        if length is None:
            return NO_LENGTH
        if type(length) is not int or length < 0:
            self._refuse(
                file, line, f"has thinking_tokens {length!r}; it is a count, or null for a thought that was cut"
            )
        return length

    def _opened(self, row: Row, key: int, file: int, line: int) -> _Open:
        """Return a question ready to be judged: a new one, or one that came before, which must be the same."""
        benchmark, name = row["benchmark"], row["id"]
        columns = self.columns.get(benchmark)
        if columns is None:
            columns = self.columns[benchmark] = Columns(benchmark, self._tokens)
        number = columns.find(name)
        if number is not None and not columns.same(number, key):
            first_file, first_line = divmod(columns.first_row(number), _LINES)
            self._refuse(
                file, line,
                f"asks question {name!r} of {benchmark} with another "
                f"{first_difference(self.first_row(benchmark, name), row)} than {self._files[first_file]} line "
                f"{first_line}; one id is one question",
            )  # fmt: skip
        if number is None and "image_hash" in row:
            self.images[benchmark, name] = hash(str(row["image_hash"] or []))
        if self._believe:
            checker = None
            for column in ("question", "answer"):
                if column not in row:
                    self._refuse(file, line, f"has no {column}, so that nobody knows what was asked")
        else:
            checker = self._checker(row, file, line)
        task, check = (checker.question.task, checker.check) if checker else ("", None)
        if number is None:
            number = columns.open(name, str(row.get("cluster") or ""), key, file * _LINES + line, task)
            try:
                if checker:
                    columns.constant.add(vars(checker.question))
                else:
                    columns.constant.tasks[str(row.get("task") or "")] += 1
            except ValueError as error:
                self._refuse(file, line, f"cannot be scored: {error}")
        if len(self._open) >= _CHECKERS:
            self._open.clear()
        opened = self._open[benchmark, name] = _Open(key, number, task, check, columns)
        return opened

    def _checker(self, row: Row, file: int, line: int) -> Checker:
        question = self._question_of(row, file, line)
        checker = Checker(question, self.rules)
        if checker.broken_gold:
            self._refuse(file, line, f"has the answer {question.answer!r}, which is {checker.broken_gold}")
        return checker

    def _question_of(self, row: Row, file: int, line: int) -> Question:
        where = f"{self._files[file]} line {line} (question {row['id']!r})"
        answer = row.get("answer")
        if answer is None or (row.get("task") != "multi_label" and not str(answer).strip()):
            raise UserError(f"{where} has no gold; a sample needs its question's answer")
        return question_of(row, where)

    def _text(self, row: Row, column: str, file: int, line: int) -> str:
        value = row.get(column)
        if type(value) is not str or not value:
            self._refuse(file, line, f"has no {column}; a sample needs it, as text")
        if not value.isascii() and value.encode("utf-8", "replace") != value.encode("utf-8", "surrogatepass"):
            self._refuse(file, line, f"has the {column} {value!r}, which holds half of a character")
        return value

    def _refuse(self, file: int, line: int, problem: str) -> NoReturn:
        raise UserError(f"{self._files[file]} line {line} {problem}")


def count_words(response: str) -> int:
    """Return how many words, parted by ASCII blanks, a response's thought has; NO_LENGTH where it has no end."""
    end = response.find(THINK_END)
    if end < 0:
        return NO_LENGTH
    thought = response[:end].lstrip().removeprefix(THINK_START).encode("utf-8", "replace")
    blank = np.frombuffer(b" " + thought, np.uint8) <= _BLANK
    return int(np.count_nonzero(blank[:-1] > blank[1:]))
