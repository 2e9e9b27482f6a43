"""A JSON file of many rows, a list or an object of them, read a row at a time: some have gigabytes.

Rows are found and parsed by the standard library, so that a row means here what it means in a file of JSON lines.
"""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from octomed_jax.errors import UserError

ROW_BYTES = 256 * 2**20  # of one row
PIECE = 2**20  # bytes read at once; twice as many where a row does not end in them
NEAR = 16  # characters: what breaks off there may go on in the next piece
BLANK = " \t\r\n"
DELIMITERS = (*BLANK, *",]}")  # what may stand behind a number; another one may be part of it


def first_sign(path: Path) -> bytes:
    """Return the sign that a file of JSON begins with, ``[`` of a list or ``{`` of an object; empty of a blank."""
    with path.open("rb") as file:
        return file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]


def json_rows(path: Path) -> Iterator[tuple[str, Any, int]]:
    """Yield the values of the list or object that a file is: its key, empty in a list, the value, and the place after.

    Raises:
        UserError: the file is no JSON, a row is too large, or nests without end.
    """
    with path.open("rb") as file:
        text = _Text(file, path)
        opening = text.take("[{")
        ends = {"[": "]", "{": "}"}[opening]
        if text.peek() == ends:
            text.take(ends)
        else:
            while True:
                key = ""
                if opening == "{":
                    key = text.value()
                    if not isinstance(key, str):
                        raise text.broken(f"{key!r} is no key")
                    text.take(":")
                value = text.value()
                yield key, value, file.tell()
                if text.take(f",{ends}") == ends:
                    break
        if text.peek():
            raise text.broken("something follows its end")


class _Text:
    """The text of a file from some place on."""

    def __init__(self, file: BinaryIO, path: Path):
        self._file, self._path = file, path
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._parse = json.JSONDecoder().raw_decode
        self._text, self._at, self._ended = "", 0, False

    def broken(self, why: object) -> UserError:
        """Return the error of a file that is no JSON."""
        return UserError(f"{self._path} is no JSON ({why}); mend it")

    def _more(self, size: int) -> None:
        data = self._file.read(size)
        self._ended = not data
        try:
            self._text = self._text[self._at :] + self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise self.broken(error) from error
        self._at = 0

    def peek(self) -> str:
        """Return the next character that is not blank; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in BLANK:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._more(PIECE)

    def take(self, wanted: str) -> str:
        """Return the next character, which must be one of ``wanted``."""
        found = self.peek()
        if not found or found not in wanted:
            raise self.broken(f"{found!r} where one of {wanted!r} is wanted" if found else "it breaks off")
        self._at += 1
        return found

    def value(self) -> Any:
        """Return the next value."""
        size = PIECE
        while True:
            self.peek()
            try:
                value, end = self._parse(self._text, self._at)
                goes_on = self._text[end : end + 1] not in DELIMITERS and not isinstance(value, str | list | dict)
                if self._ended or (end < len(self._text) and not goes_on):
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                goes_on = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - NEAR
                if self._ended or not goes_on:
                    raise self.broken(error.msg if not self._ended else f"it breaks off: {error.msg}") from error
            except RecursionError as error:
                raise UserError(f"{self._path} holds lists within lists without end; mend it") from error
            if len(self._text) - self._at > ROW_BYTES:
                raise UserError(f"{self._path} is JSON with a row of over {ROW_BYTES} bytes; write it as .jsonl")
            self._more(size)
            size *= 2
