"""Where the questions of a large data set lie until all are known: a scratch database, so that memory stays small.

It finds rows that stand twice and what stands in both splits, and gives the questions back sorted by id. Every image
lies in it once, however many questions show it. It is thrown away at the end: what a killed process leaves of it goes
with the unfinished folder.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from octomed_jax import storage
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.questions.reading.folder import Place
from octomed_jax.questions.reading.responses import Responses
from octomed_jax.questions.reading.rows import Given
from octomed_jax.schema import Question, question_from_row, question_to_row

FILE = 2**40  # places of a file; its number counts in these
# No space; a write that failed, as over a limit on the size of files; a file that cannot be made or written.
_OF_THE_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_TABLES = """
CREATE TABLE images (hash TEXT PRIMARY KEY, data BLOB);
CREATE TABLE files (hash TEXT PRIMARY KEY, image TEXT) WITHOUT ROWID;
CREATE TABLE questions (
    id TEXT, content TEXT, split TEXT, number INTEGER, own_id INTEGER, row TEXT, PRIMARY KEY (id, content)
);
CREATE TABLE responses (
    id TEXT, content TEXT, digest TEXT, number INTEGER, texts INTEGER, given TEXT, PRIMARY KEY (id, content, digest)
);
CREATE TABLE left_out (number INTEGER PRIMARY KEY, about TEXT, reason TEXT);
CREATE TABLE shown (what BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID;
"""


class Store:
    """The questions of a data set while it is read. Use as ``with Store(folder) as store``.

    Attributes:
        twice, again: rows that stood before just as they are, and the first of them: ``line 7 is line 3 again``.
        respelt, spelling: ids that later stages would not take, and the first of them: ``'A 1' is a_1-559aead08264``.
        unseen: how many characters were taken out of texts that nobody sees.
        keeps_responses: whether the responses of rows are wanted.
        held_out_responses: how many there are to held-out questions; these are not kept.
    """

    def __init__(self, folder: Path, keeps_responses: bool = False):
        """Begin in an empty folder.

        Raises:
            TryAgain: the disk is full, or takes no such file; also from any other call, when the block ends.
        """
        self.keeps_responses = keeps_responses
        self.held_out_responses = 0
        self.twice, self.again = 0, ""
        self.respelt, self.spelling = 0, ""
        self.unseen = 0
        self._folder = folder.parent
        self._files: list[tuple[str, str]] = []  # name, and what is counted in it
        # No other process looks at it, so nothing needs a lock: some network mounts have none.
        name = f"{(folder / 'questions.db').absolute().as_uri()}?nolock=1"
        try:
            self._database = sqlite3.connect(name, uri=True, isolation_level=None)
            self._database.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN;" + _TABLES)
        except sqlite3.Error as error:
            _explain(error, self._folder)
            raise

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        if isinstance(error, sqlite3.Error):
            _explain(error, self._folder)

    def image_of(self, digest: str) -> bytes | None:
        """Return the image that became of the file with this hash, if a question with it was added."""
        found = "SELECT data FROM files JOIN images ON image = images.hash WHERE files.hash = ?"
        row = self._database.execute(found, (digest,)).fetchone()
        return row[0] if row else None

    def _number(self, place: Place) -> int:
        """Return a number for a place; they are in the order in which places were read."""
        if not self._files or self._files[-1] != (place.file, place.counts):
            self._files.append((place.file, place.counts))
        return (len(self._files) - 1) * FILE + place.number

    def _spelt(self, number: int) -> str:
        """Return a place as a person would name it."""
        file, counts = self._files[number // FILE]
        return f"{file} {counts} {number % FILE}" if len(self._files) > 1 else f"{counts} {number % FILE}"

    def add(self, given: Given, place: Place, responses: Responses | None = None) -> None:
        """Add a question; one that is there already, just as it is, is counted only. Its responses are kept."""
        number = self._number(place)
        question = given.question
        self.unseen += given.unseen
        if given.own_id not in ("", question.id):
            self.respelt += 1
            self.spelling = self.spelling or f"{given.own_id[:60]!r} is {question.id}"
        row = question_to_row(question)
        row.pop("image")
        text = storage.canonical_json(row)
        key = (question.id, storage.sha256_bytes(text.encode()))
        self._database.executemany(
            "INSERT OR IGNORE INTO images VALUES (?, ?)", zip(question.image_hashes, question.images, strict=True)
        )
        self._database.executemany(
            "INSERT OR IGNORE INTO files VALUES (?, ?)", zip(given.read, question.image_hashes, strict=True)
        )
        added = self._database.execute(
            "INSERT OR IGNORE INTO questions VALUES (?, ?, ?, ?, ?, ?)",
            (*key, question.split, number, bool(given.own_id), text),
        )
        if responses and responses.texts:
            self._add_responses(key, number, question.split, responses)
        if added.rowcount or given.option_order:  # one that is shown in several orders stands in as many rows
            return
        self.twice += 1
        if not self.again:
            before = self._database.execute("SELECT number FROM questions WHERE id = ? AND content = ?", key).fetchone()
            self.again = f"{self._spelt(number)} is {self._spelt(before[0])} again"

    def _add_responses(self, key: tuple[str, str], number: int, split: str, responses: Responses) -> None:
        """Keep responses under the question's key; rows that stand twice just as they are give them once."""
        if split != "train":
            self.held_out_responses += len(responses.texts)
            return
        given = storage.canonical_json([responses.option_order, responses.texts])
        digest = storage.sha256_bytes(given.encode())
        row = (*key, digest, number, len(responses.texts), given)
        self._database.execute("INSERT OR IGNORE INTO responses VALUES (?, ?, ?, ?, ?, ?)", row)

    def count(self) -> int:
        """Return how many questions there are."""
        return self._database.execute("SELECT count(*) FROM questions").fetchone()[0]

    def count_responses(self) -> int:
        """Return how many responses there are to questions to learn from."""
        return self._database.execute("SELECT coalesce(sum(texts), 0) FROM responses").fetchone()[0]

    def answered(self) -> Iterator[tuple[Question, list[Responses]]]:
        """Yield the questions to learn from, without their images, sorted by id, each with its responses, if any.

        Where several rows asked the same, theirs are in the order in which the rows stood.
        """
        rows = self._database.execute("SELECT id, content, row FROM questions WHERE split = 'train' ORDER BY id")
        for *key, text in rows:
            found = self._database.execute(
                "SELECT given FROM responses WHERE id = ? AND content = ? ORDER BY number", key
            )
            groups = [json.loads(given) for (given,) in found]
            yield (
                question_from_row(json.loads(text)),
                [Responses(tuple(map(tuple, texts)), tuple(order)) for order, texts in groups],
            )

    def leave_out(self, place: Place, about: str, reason: str) -> None:
        """Note that what stands at a place is left out; ``about`` is its column."""
        self._leave_out(self._number(place), about, reason)

    def _leave_out(self, number: int, about: str, reason: str) -> None:
        self._database.execute("INSERT OR IGNORE INTO left_out VALUES (?, ?, ?)", (number, about, reason))

    def leave_out_rivals(self, strict: bool) -> None:
        """Leave out all questions that are asked alike (text, options, images), or have one id, and differ otherwise.

        Raises:
            UserError: ``strict``, and rows with ids of their own share one and differ.
        """
        ids = "SELECT id FROM questions GROUP BY id HAVING count(*) > 1 ORDER BY id"
        for (identity,) in self._database.execute(ids).fetchall():
            rivals = self._database.execute(
                "SELECT number, row, own_id, content FROM questions WHERE id = ? ORDER BY number", (identity,)
            ).fetchall()
            (first, row, *_), (second, other, *_) = rivals[:2]
            differ = ", ".join(_difference(json.loads(row), json.loads(other)))
            owned = any(own_id for _, _, own_id, _ in rivals)
            if owned and strict:
                raise UserError(
                    f"id {identity!r} stands at {self._spelt(first)} and at {self._spelt(second)} with another "
                    f"{differ}; give each question an id of its own"
                )
            for number, *_, content in rivals:
                rival = second if number == first else first
                what = f"id {identity!r}" if owned else "question"
                reason = f"the same {what} stands at {self._spelt(rival)} with another {differ}; keep the right one"
                self._leave_out(number, "question", reason)
                for table in ("questions", "responses"):
                    self._database.execute(f"DELETE FROM {table} WHERE id = ? AND content = ?", (identity, content))

    def count_left_out(self) -> dict[str, int]:
        """Return column to number of rows that are left out for it."""
        return dict(self._database.execute("SELECT about, count(*) FROM left_out GROUP BY about ORDER BY about"))

    def left_out(self) -> Iterator[tuple[str, str, int, str]]:
        """Yield what is left out in the order in which it was read: file, what is counted in it, number, reason."""
        for number, reason in self._database.execute("SELECT number, reason FROM left_out ORDER BY number"):
            yield *self._files[number // FILE], number % FILE, reason

    def shared(self) -> Iterator[tuple[str, str]]:
        """Yield each cluster, image and text that stands in both splits: what it is, and where it stands."""
        splits = self._database.execute("SELECT count(DISTINCT split) FROM questions").fetchone()[0]
        for split in ("train", "test") if splits > 1 else ():
            rows = self._database.execute("SELECT number, row FROM questions WHERE split = ? ORDER BY id", (split,))
            for number, text in rows:
                for what, key in _kept_apart(json.loads(text)):
                    digest = bytes.fromhex(storage.sha256_bytes(storage.canonical_json([what, key]).encode()))
                    if split == "train":
                        self._database.execute("INSERT OR IGNORE INTO shown VALUES (?, ?)", (digest, number))
                    elif found := self._database.execute(
                        "SELECT number FROM shown WHERE what = ?", (digest,)
                    ).fetchone():
                        where = f"{self._spelt(found[0])} (train) stands at {self._spelt(number)} (test) too"
                        yield what, f"the {what} of {where}"
                        self._database.execute("DELETE FROM shown WHERE what = ?", (digest,))  # it is counted once

    def questions(self, split: str) -> Iterator[Question]:
        """Yield the questions of a split with their images, sorted by id."""
        for (text,) in self._database.execute("SELECT row FROM questions WHERE split = ? ORDER BY id", (split,)):
            row: dict[str, Any] = json.loads(text)
            data = [
                self._database.execute("SELECT data FROM images WHERE hash = ?", (digest,)).fetchone()[0]
                for digest in row["image_hash"]
            ]
            yield question_from_row({**row, "image": [{"bytes": one, "path": None} for one in data]})


def _explain(error: sqlite3.Error, folder: Path) -> None:
    """Raise an error of the database as one that says what to do, where it is one of the disk.

    Raises:
        TryAgain: it is.
    """
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK:  # the code of its kind
        raise TryAgain(
            f"the scratch database in {folder} cannot be kept ({error}); free some space there, lift a limit on the "
            "size of files (ulimit -f), and run the same command again"
        ) from error


def _kept_apart(row: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return what must not stand in both splits, as ``questions.packages.build.check_questions`` has it."""
    images = [("image", digest) for digest in row["image_hash"]]
    text = [] if images else [("text", [row["question"], row["options"]])]
    return [*images, *text, ("cluster", [row["source"], row["cluster"]])]


def _difference(row: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [name for name in row if row[name] != other[name]]
