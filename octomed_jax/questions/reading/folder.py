"""Where the files of a published data set lie: a folder with tables, images beside them, and archives of images."""

import dataclasses
import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from octomed_jax import places, storage
from octomed_jax.errors import UserError
from octomed_jax.images.decode import MAX_BYTES
from octomed_jax.progress import say
from octomed_jax.questions.adapter import Adapter, Row, Split
from octomed_jax.questions.reading.names import shown
from octomed_jax.questions.reading.zips import Archives, Member, read_member
from octomed_jax.traces.row_files import RowFile

# What code raises that meets another format than it was written for.
ODD = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)
MOST_COLUMNS = 1000  # whose names are kept
_ONLY_SHARD = re.compile(r"-0+-of-0*1\b")  # train-00000-of-00001.parquet


@dataclasses.dataclass(frozen=True)
class Place:
    """What stands at one place of a data set: a row, or why there is none.

    Attributes:
        file: the file, as the folder's user knows it.
        number, counts: of the line or row in it; 1 is the first.
        row: column to value, None where it cannot be read.
        problem: why it cannot.
        size: how much further it is than the place before, as ``Folder.length`` counts.
    """

    file: str
    number: int
    counts: str
    row: Row | None
    problem: str = ""
    size: int = 1

    def __str__(self) -> str:
        return f"{self.file} {self.counts} {self.number}"


def not_as_published(adapter: Adapter, error: Exception, access: str) -> str:
    """Return what an adapter found odd, as the end of an error; of credentialed rows without any value of theirs."""
    named = access == "open"
    if isinstance(error, KeyError) and (named or error.args[:1] in [(column,) for column in adapter.columns]):
        problem = f"no column {error}"
    else:
        problem = f"{type(error).__name__}: {error}" if named else type(error).__name__
    return f"is not as {adapter.name} is published ({problem})"


def _fits(file: Path, split: Split) -> bool:
    return any(fnmatch.fnmatch(file.name, pattern.rpartition("/")[2]) for pattern in split.files)


class Folder:
    """The files of a data set. Use as ``with Folder(adapter, path) as folder``.

    Attributes:
        root: the folder; of a single file, the one in which it lies.
        file: that file, where the input is one.
        met: the names of columns that rows had so far, in the order in which they came.
        chosen: the splits that are read, once ``splits`` has found them.
    """

    def __init__(self, adapter: Adapter, path: Path):
        """Begin.

        Raises:
            UserError: there is nothing at ``path``.
        """
        if not path.is_dir() and not path.is_file():  # a pipe would be waited for
            raise UserError(f"no such file or folder: {path}; give as --input what is published at {adapter.home}")
        self.file = None if path.is_dir() else path
        self.root = path if path.is_dir() else path.parent
        self.met: dict[str, None] = {}
        self.chosen: dict[str, Split] = {}
        self._adapter = adapter
        self._archives: Archives | None = None

    def __enter__(self) -> "Folder":
        self._opened()  # an archive that is none is no matter of single rows
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._archives is not None:
            self._archives.close()

    def splits(self, named: Sequence[str]) -> dict[str, Split]:
        """Return the splits to read: those that are named, or the usual ones, as far as they are there.

        A single file is the split that is named, or the one that its own name tells.

        Raises:
            UserError: a split that is named is not there, none is, or a file may be of several.
        """
        self.chosen = self._splits(named)
        return self.chosen

    def _splits(self, named: Sequence[str]) -> dict[str, Split]:
        chosen = self._adapter.chosen(named)
        if self.file:
            return self._split_of(self.file, chosen)
        if len(self._adapter.splits) == 1:
            return chosen
        there = {name: split for name, split in chosen.items() if not split.files or self._found(split)}
        for name, split in chosen.items():
            if name in named or not there:
                self.tables(name, split)
            elif name not in there:
                say(f"{self.root} has no files of the split {name} ({' or '.join(split.files)}); it is not read")
        return there

    def _split_of(self, file: Path, chosen: Mapping[str, Split]) -> dict[str, Split]:
        fitting = [name for name, split in self._adapter.splits.items() if _fits(file, split)]
        named = {name: split for name, split in chosen.items() if name in fitting}
        if fitting and not named:
            raise UserError(f"{file} is the split {fitting[0]} by its name; say --split={fitting[0]} for that")
        found = named or chosen
        if self._adapter.content_ids and not named:
            found = dict(list(chosen.items())[:1])
        several = len({split.files or name for name, split in found.items()}) > 1  # one file may hold all of them
        if several:
            raise UserError(f"{file} may be of the split {' or '.join(found)}; say which with --split")
        return dict(found)

    def tables(self, name: str, split: Split) -> list[Path]:
        """Return the files of a split, sorted.

        Raises:
            UserError: there is none, or one lies elsewhere.
        """
        if found := [self.file] if self.file else self._found(split):
            return found if self.file else [self.path(self.shown(path)) for path in found]
        raise UserError(
            f"{self.root} has no files of the split {name} of {self._adapter.name}; it is published as "
            f"{' or '.join(split.files)} ({self._adapter.home})"
        )

    def _found(self, split: Split) -> list[Path]:
        for pattern in split.files:
            if found := [path for path in sorted(self.root.glob(pattern)) if path.is_file()]:
                return found
        return []

    def part(self, split: Split) -> str:
        """Return the name of the input where it is one of several files of a split, else nothing.

        Files that are read one by one start counting anew, so that places of two of them need their names. A file is
        the whole split where it is published under its own name, or as the only one of its kind.
        """
        if not self.file or self._adapter.places:  # which count in files of their own, or find the others
            return ""
        whole = self.file.name in {pattern.rpartition("/")[2] for pattern in split.files}
        return "" if whole or _ONLY_SHARD.search(self.file.name) else self.file.name

    def path(self, name: str) -> Path:
        """Return the path of a file of the set, which must not lead out of its folder.

        Raises:
            UserError: it does, or there is none.
        """
        places.inside(self.root, name)
        path = self.root / name  # spelt as the root is, which may be relative
        if not path.is_file():
            raise UserError(f"{self.root} has no file {name}, which {self._adapter.name} has ({self._adapter.home})")
        return path

    def places(self, name: str, split: Split) -> Iterator[Place]:
        """Yield what stands in a split, one after the other.

        Raises:
            UserError: a file is missing, or cannot be read as a whole.
            StopAndLook: a file is damaged.
        """
        if self._adapter.places:
            try:
                yield from self._adapter.places(self, name, split.files)
            except UserError:  # is a ValueError
                raise
            except ODD as error:
                problem = not_as_published(self._adapter, error, self._adapter.access_of(split))
                raise UserError(f"{self.root} {problem}") from error
            return
        for path in self.tables(name, split):
            yield from self.rows(path, self._adapter.columns)

    def length(self, name: str, split: Split) -> tuple[int, str]:
        """Return how long a split is, and in what: what the sizes of its places add up to. Errors as ``tables``."""
        if self._adapter.places:
            return split.rows or 0, "rows"
        tables = [RowFile(path) for path in self.tables(name, split)]
        return sum(table.total for table in tables), tables[0].unit

    def rows(self, path: Path, columns: Sequence[str] = ()) -> Iterator[Place]:
        """Yield the rows of a table; ``columns`` are read of it, all where there are none. Errors as ``places``."""
        table, before = RowFile(path), 0
        shown = self.shown(path)
        self.met |= dict.fromkeys(table.names)
        for entry in table.entries(columns or table.names):
            if entry.row and len(self.met) < MOST_COLUMNS:
                self.met |= dict.fromkeys(entry.row)
            yield Place(shown, entry.number, table.counts, entry.row, entry.problem, entry.position - before)
            before = entry.position

    def shown(self, path: Path) -> str:
        """Return a file's name as messages and the record of what was left out have it: below the input's folder."""
        return path.relative_to(self.root).as_posix()

    def reads_first(self, name: str, path: Path) -> bool:
        """Return whether a split is the first of those that are read from a table.

        Where one table holds several, a row whose split nobody can tell counts there, and there alone.
        """
        return next((other for other, split in self.chosen.items() if path in self.tables(other, split)), name) == name

    def has_image(self, name: str) -> bool:
        """Return whether there is an image of that name."""
        return self._loose(name) is not None or self._packed(name) is not None

    def read_image(self, name: str, named: bool = True) -> bytes:
        """Return the bytes of an image by its name, in a folder or an archive of the set.

        Args:
            name: as a row has it.
            named: whether an error may say the name.

        Raises:
            UserError: there is none, several are meant, it leads out of the folder, or it is too large.
        """
        if path := self._loose(name):
            if (size := path.stat().st_size) > MAX_BYTES:
                raise UserError(f"a file of {size} bytes, over the limit of {MAX_BYTES}; shrink it first")
            return path.read_bytes()
        if member := self._packed(name, named):
            return read_member(member)
        raise UserError(f"no file {shown(name, named)} beside the rows; names are relative to their folder")

    def image_print(self, name: str) -> str:
        """Return what changes where an image does: its hash, or in an archive its checksum and size."""
        if path := self._loose(name):
            return storage.sha256_file(path)
        member = self._packed(name)
        return member.print if member else "none"

    def _loose(self, name: str) -> Path | None:
        for place in self._places_of(name):
            path = places.inside(self.root, place)
            if path.is_file():
                return path
        return None

    def _packed(self, name: str, named: bool = True) -> Member | None:
        return self._opened().find(self._places_of(name), shown(name, named))

    def _places_of(self, name: str) -> list[str]:
        """Return where an image may lie, below the folder or in an archive."""
        return [f"{folder}/{name}" if folder else name for folder in self._adapter.image_folders]

    def _opened(self) -> Archives:
        if self._archives is None:
            found = [path for pattern in self._adapter.archives for path in sorted(self.root.glob(pattern))]
            paths = [places.inside(self.root, self.shown(path)) for path in found]
            self._archives = Archives(paths, self._adapter.base_names)
        return self._archives
