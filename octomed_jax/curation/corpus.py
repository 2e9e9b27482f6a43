"""The questions of several folders as one row of places: those of the first folder, then those of the next.

What is decided is decided about places; texts and images are read by them where they are needed. Within a folder
questions are sorted by id, so an order by place says which of two equal questions is the first: the one of the folder
that was named first, there the one with the smaller id.
"""

import bisect
import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from etils import epath
from jaxtyping import Int64

from octomed_jax import progress
from octomed_jax.errors import StopAndLook, UserError

PIECE_ROWS = 10_000  # of a piece of work: some seconds


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some row groups of a file: what a process works on at a time; plain data, so that it can be sent to any machine.

    Attributes:
        path: of the file.
        groups: the numbers of the row groups.
        first: place of its first question.
        rows: how many questions it has.
    """

    path: str
    groups: range
    first: int
    rows: int

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield its row groups, one at a time.

        Raises:
            StopAndLook: the file is damaged.
        """
        try:
            with (
                epath.Path(self.path).open("rb") as source,
                pq.ParquetFile(source, metadata=_metadata(self.path), pre_buffer=False) as file,
            ):
                for group in self.groups:
                    yield file.read_row_group(group, columns=list(columns) if columns else None)
        except (pa.ArrowInvalid, OSError) as error:
            raise StopAndLook(f"{self.path} is damaged ({str(error).splitlines()[0][:120]}); make it again") from error


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Questions of several files, by place.

    Attributes:
        groups: one piece for each row group of each file, in order.
    """

    groups: tuple[Piece, ...]

    def __len__(self) -> int:
        return self.groups[-1].first + self.groups[-1].rows if self.groups else 0

    def pieces(self) -> list[Piece]:
        """Return the corpus in pieces of some PIECE_ROWS questions of one file each."""
        pieces: list[Piece] = []
        for group in self.groups:
            last = pieces[-1] if pieces else None
            if last and last.path == group.path and last.rows < PIECE_ROWS:
                groups = range(last.groups.start, group.groups.stop)
                pieces[-1] = dataclasses.replace(last, groups=groups, rows=last.rows + group.rows)
            else:
                pieces.append(group)
        return pieces

    def names(self, column: str) -> list[str]:
        """Return what stands in a column of few words, sorted."""
        tables = (table for group in self.groups for table in group.tables([column]))
        return sorted({name for table in tables for name in pc.unique(table[column]).to_pylist()})

    def tables(self, columns: Sequence[str] | None, title: str) -> Iterator[tuple[int, pa.Table]]:
        """Yield all row groups, each with the place of its first question, with a progress line of this title."""
        with progress.bar(title, len(self), "questions") as line:
            for group in self.groups:
                for table in group.tables(columns):
                    yield group.first, table
                    line.advance(group.rows)

    def read(self, places: Int64[np.ndarray, " M"], columns: Sequence[str]) -> pa.Table:
        """Return the questions at some places, which are sorted and each named once; ``columns`` of them."""
        starts = [group.first for group in self.groups]
        found = []
        begin = 0
        while begin < len(places):
            group = self.groups[bisect.bisect_right(starts, int(places[begin])) - 1]
            end = int(np.searchsorted(places, group.first + group.rows))
            [table] = group.tables(columns)
            found.append(table.take(pa.array(places[begin:end] - group.first)))
            begin = end
        return pa.concat_tables(found) if found else pa.table({name: [] for name in columns})


def open_corpus(paths: Sequence[epath.Path]) -> Corpus:
    """Return the questions of some files, each sorted by id.

    Raises:
        StopAndLook: a file is damaged.
    """
    _metadata.cache_clear()  # of an earlier stage, whose files may have been made anew
    groups: list[Piece] = []
    first = 0
    for path in paths:
        try:
            metadata = _metadata(str(path))
            rows = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        except (pa.ArrowInvalid, OSError) as error:
            raise StopAndLook(f"{path} is damaged ({str(error).splitlines()[0][:120]}); make it again") from error
        for number, count in enumerate(rows):
            groups.append(Piece(str(path), range(number, number + 1), first, count))
            first += count
    return Corpus(tuple(groups))


@functools.lru_cache(maxsize=64)
def _metadata(path: str) -> pq.FileMetaData:
    """Return what the footer of a file says; read once, since that of a large file takes as long as a row group.

    A stage reads finished folders, which nobody changes.
    """
    with epath.Path(path).open("rb") as source:
        return pq.read_metadata(source)


def by_id(streams: Sequence[Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """Yield the rows of some streams, each sorted by ``id``, as one sorted stream; holds a table of each.

    Raises:
        UserError: an id comes twice, or the ids of a stream do not rise.
    """
    heads: dict[int, pa.Table] = {}
    running = {number: _rising(stream) for number, stream in enumerate(streams)}
    last = ""
    while running or heads:
        for number in [number for number in running if number not in heads]:
            table = next((table for table in running[number] if table.num_rows), None)
            if table is None:
                del running[number]
            else:
                heads[number] = table
        if not heads:
            return
        bound = min(table["id"][-1].as_py() for number, table in heads.items())
        taken = []
        for number, table in list(heads.items()):
            count = pc.sum(pc.less_equal(table["id"], bound)).as_py()
            taken.append(table.slice(0, count))
            heads[number] = table.slice(count)
            if not heads[number].num_rows:
                del heads[number]
        merged = pa.concat_tables(taken)
        merged = (merged.sort_by("id") if len(taken) > 1 else merged).combine_chunks()
        ids = merged["id"].to_pylist()
        twice = next((one for one, other in zip([last, *ids], ids, strict=False) if one == other), None)
        if twice is not None:
            raise _comes_twice(twice)
        last = ids[-1]
        yield merged


def _rising(stream: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the tables of a stream, whose ids must rise: merged with others they would be lost, or come again.

    Raises:
        UserError: they do not.
    """
    last = None
    for table in stream:
        if table.num_rows:
            ids = table["id"].combine_chunks()
            after = pc.index(pc.greater_equal(ids[:-1], ids[1:]), True).as_py() + 1  # 0: all rise
            name, before = ids[after].as_py(), ids[after - 1].as_py() if after else last
            if before is not None and name <= before:
                raise (
                    _comes_twice(name)
                    if name == before
                    else UserError(
                        f"the question {name} stands after {before}, and not sorted by id; make that folder again"
                    )
                )
            last = ids[-1].as_py()
        yield table


def _comes_twice(name: str) -> UserError:
    return UserError(f"the question {name} comes twice; name a folder once, and each part of a data set in one of them")
