"""Scores files of samples without a model: every response is judged by the verifier of today, and only numbers stay."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import orjson

from octomed_jax import progress
from octomed_jax.errors import UserError
from octomed_jax.evaluation.columns import CODES, NO_LENGTH, Columns
from octomed_jax.evaluation.resampling import DRAWS, METHOD, SEED
from octomed_jax.evaluation.scoring import TOKENS, WORDS, is_failed, partial_length, results_of, vote_of
from octomed_jax.evaluation.text_overlap import SIMPLE, Tokens
from octomed_jax.schema import Question
from octomed_jax.verification.candidates import THINK_END, THINK_START
from octomed_jax.verification.check import Checker, Rules
from octomed_jax.verification.rows import question_of

ENDINGS = (".jsonl", ".ndjson")
LEVEL = 0.95
_SHOWN_EVERY = 1000  # rows
_BLANK = 32  # the code of a space; line breaks and tabs have lower ones
_CHECKERS = 16384  # that are held at once
_QUESTION = ("task", "question", "answer", "options", "aliases", "lower_limit", "upper_limit", "cluster")

Row = Mapping[str, Any]


def find_files(given: Sequence[Path]) -> list[Path]:
    """Return the sample files that are named, and those in folders that are.

    A folder is one of samples, or one with a folder ``samples`` in it, as ``octomed eval run`` writes.

    Raises:
        UserError: there is none, it is no file of JSON lines, or one is named twice.
    """
    files: list[Path] = []
    for path in given:
        if path.is_dir():
            folder = path / "samples" if (path / "samples").is_dir() else path
            inside = sorted(file for file in folder.iterdir() if file.suffix in ENDINGS)
            if not inside:
                raise UserError(f"no samples in {folder}; give a folder with .jsonl files, or a file")
            files += inside
        elif not path.is_file():
            raise UserError(f"no such file: {path}; give files of samples, or their folder")
        elif path.suffix not in ENDINGS:
            raise UserError(f"{path} is no .jsonl file; samples are JSON lines, one a response")
        else:
            files.append(path)
    seen: set[Path] = set()
    for file in files:
        if file.resolve() in seen:
            raise UserError(f"{file} is given twice; name it once")
        seen.add(file.resolve())
    return files


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
            for place, row in read_rows(file, digest.update, line.advance):
                scorer.add(row, number, place)
            digests.append({"name": file.name, "sha256": digest.hexdigest()})
    settings = {
        "verifier": scorer.rules.name,
        "samples": digests,
        "level": LEVEL,
        "bootstrap": {"method": METHOD, "draws": DRAWS, "seed": SEED},
    } | ({"votes": votes} if votes else {})
    return {**scorer.results(votes, seen), "settings": settings}


def read_rows(
    file: Path, see: Callable[[bytes], None] = lambda _: None, advance: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a file of JSON lines with their line numbers; 1 is the first.

    Args:
        file: the file.
        see: called with every line.
        advance: called now and then with the number of bytes that were read since.

    Raises:
        UserError: a line holds no row, or the file ends in the middle of one.
    """
    read = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            see(line)
            read += len(line)
            if not number % _SHOWN_EVERY:
                advance(read)
                read = 0
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                if not line.strip():
                    continue
                row = _read_otherwise(line, file, number)
            if type(row) is not dict:
                raise UserError(f"{file} line {number} is no row but {type(row).__name__}; every line is one sample")
            yield number, row
    advance(read)


def _read_otherwise(line: bytes, file: Path, number: int) -> Any:
    """Read what Python's own writer spells and the fast reader refuses: halves of an emoji, NaN."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        if not line.endswith(b"\n"):
            raise UserError(
                f"{file} line {number} is cut off in the middle; get the file again, or remove that line"
            ) from error
        raise UserError(f"{file} line {number} is no JSON ({error}); every line must be one sample") from error


@dataclasses.dataclass(slots=True)
class _Open:
    """A question whose samples are being judged."""

    key: int
    number: int
    task: str
    check: Callable[[str, str], Any]
    columns: Columns


class Scorer:
    """Judges rows one by one and keeps their numbers by benchmark."""

    def __init__(self, files: Sequence[Path], tokens: Tokens = SIMPLE):
        self.rules = Rules()
        self._files, self._tokens = files, tokens
        self._columns: dict[str, Columns] = {}
        self._open: dict[tuple[str, str], _Open] = {}

    def results(self, votes: int, seen: Mapping[str, bool] | None) -> dict[str, Any]:
        """Return the figures of results.json; see ``scoring.results_of``.

        Raises:
            UserError: there were no rows, or a question is not in ``seen``.
        """
        if not self._columns:
            raise UserError(f"{', '.join(file.name for file in self._files)}: no samples; give files with rows")
        return results_of(self._columns, {}, votes, seen)

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
        key = _key_of(row)
        opened = self._open.get((benchmark, name))
        if opened is None or opened.key != key:
            opened = self._opened(row, key, file, line)
        columns = opened.columns
        seed = row.get("seed") or 0
        if type(seed) is not int:
            self._refuse(file, line, f"has the seed {seed!r}; a seed is a whole number")
        if is_failed(row):
            code, vote, thinking, partial = CODES["failed"], 0, NO_LENGTH, NO_LENGTH
        else:
            code, vote, thinking, partial = self._judge(row, opened, file, line)
        if not columns.add(opened.number, seed, code, vote, thinking, partial):
            self._refuse(file, line, f"is a second sample of question {name!r} with seed {seed}; give each one once")

    def _judge(self, row: Row, opened: _Open, file: int, line: int) -> tuple[int, int, int, int]:
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
        columns = self._columns.get(benchmark)
        if columns is None:
            columns = self._columns[benchmark] = Columns(benchmark, self._tokens)
        number = columns.find(name)
        if number is not None and not columns.same(number, key):
            first_file, first_line = divmod(columns.first_row(number), 2**40)
            self._refuse(
                file, line,
                f"asks question {name!r} of {benchmark} with another text, options, answer, task, limits or cluster "
                f"than {self._files[first_file]} line {first_line}; one id is one question",
            )  # fmt: skip
        question = self._question_of(row, file, line)
        checker = Checker(question, self.rules)
        if number is None:
            if checker.has_broken_gold:
                self._refuse(file, line, f"has the answer {question.answer!r}, which is {_unfit(question)}")
            number = columns.open(name, str(row.get("cluster") or ""), key, file * 2**40 + line, question.task)
            try:
                columns.constant.add(vars(question))
            except ValueError as error:
                self._refuse(file, line, f"cannot be scored: {error}")
        if len(self._open) >= _CHECKERS:
            self._open.clear()
        opened = self._open[benchmark, name] = _Open(key, number, question.task, checker.check, columns)
        return opened

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
        return value

    def _refuse(self, file: int, line: int, problem: str) -> NoReturn:
        raise UserError(f"{self._files[file]} line {line} {problem}")


def _unfit(question: Question) -> str:
    return "no text to compare with" if question.task == "short_answer" else "none of its options"


def _key_of(row: Row) -> int:
    """Return a hash of all of a row that belongs to its question."""
    options = row.get("options")
    try:
        return hash(
            (
                row.get("question"),
                tuple(options) if type(options) is list else options,
                row.get("answer"),
                row.get("task"),
                row.get("cluster"),
                row.get("lower_limit"),
                row.get("upper_limit"),
                tuple(row.get("aliases") or ()),
            )
        )
    except TypeError:  # a column that holds a table
        return hash(json.dumps([row.get(name) for name in _QUESTION], sort_keys=True))


def count_words(response: str) -> int:
    """Return how many words, parted by ASCII blanks, a response's thought has; NO_LENGTH where it has no end."""
    end = response.find(THINK_END)
    if end < 0:
        return NO_LENGTH
    thought = response[:end].lstrip().removeprefix(THINK_START).encode("utf-8", "replace")
    blank = np.frombuffer(b" " + thought, np.uint8) <= _BLANK
    return int(np.count_nonzero(blank[:-1] > blank[1:]))
