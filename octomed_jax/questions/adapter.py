"""What an adapter of a published data set is: what the set is, where its splits lie, and what a row of it asks.

An adapter reads nothing itself. It turns one published row into cells, columns of our own schema
(``reading.rows.COLUMNS``); what every question must have is checked there, for all adapters alike.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from octomed_jax.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from octomed_jax.questions.reading.folder import Folder, Place

Row = Mapping[str, Any]
Cells = dict[str, Any]

KINDS = ("text", "images", "free form", "classification", "traces")


class PassedOver(Exception):
    """A row that is sound and is not asked, such as one in another language; its message says why."""


@dataclasses.dataclass(frozen=True)
class Split:
    """One published split of a data set.

    Attributes:
        files: patterns below the input's folder, of the forms in which it is published; the first that finds any
            counts. Empty: the adapter finds its files itself.
        rows: how many rows are published, None where that is not known.
        goes_to: ``train`` or ``test``; what is test is never distilled.
        chosen: read where nobody names a split.
        gold: whether it has gold answers.
        access: ``credentialed`` where it is and others of the set are not.
    """

    files: tuple[str, ...] = ()
    rows: int | None = None
    goes_to: str = "train"
    chosen: bool = True
    gold: bool = True
    access: str = "open"


@dataclasses.dataclass(frozen=True)
class Adapter:
    """A published data set, and how its rows become questions.

    Attributes:
        name: what ``--source`` takes, and the questions' ``source``.
        title: one line that says what it is.
        kind: one of KINDS; the group in which it is listed.
        home: where it is published.
        licence: SPDX id or short text, and ``unknown`` where that is not settled.
        citation: of the paper or the maker.
        splits: published name to split.
        cells: of one row, and the split's name, the cells of each question that it asks; usually one. Where the set
            has responses of a teacher, ``responses`` (a list of texts) and, if it says them, ``finish_reason``.

            Raises RowError where the row cannot be used, PassedOver where it is not to be.
        columns: the published columns that ``cells`` reads; empty: all.
        access: ``open`` or ``credentialed``.
        modality, body_region: of all its questions, where that is so.
        seen: whether its true files were read with this adapter; otherwise the format is as its card or its makers'
            code describe it.
        hub: its Hugging Face id, for ``--input=hf``.
        tfds: its name in tensorflow-datasets; the input is its folder as that library prepares it.
        places: finds rows where they do not stand in tables, a row a question.
        image_folders: where names of images begin, below the input's folder or in its archives; the first that has
            the file counts. Empty: rows name no files.
        archives: patterns of zip files that hold images, which need not be unpacked.
        base_names: images that do not lie in the archives where rows say are found by the last part of their path, as
            in sets that are to be unpacked with ``unzip -j``; two of one base name that differ are refused.
        content_ids: name questions that come without an id by their content, not by their place in the set; for files
            of one's own, whose rows may stand in any order.
    """

    name: str
    title: str
    kind: str
    home: str
    licence: str
    citation: str
    splits: Mapping[str, Split]
    cells: Callable[[Row, str], Iterator[Cells]]
    columns: tuple[str, ...] = ()
    access: str = "open"
    modality: str = ""
    body_region: str = ""
    seen: bool = False
    hub: str = ""
    tfds: str = ""
    places: "Callable[[Folder, str, Sequence[str]], Iterator[Place]] | None" = None
    image_folders: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    base_names: bool = False
    content_ids: bool = False

    def access_of(self, split: Split) -> str:
        """Return the access class of a split's rows, which single rows may narrow further."""
        return "credentialed" if "credentialed" in (self.access, split.access) else "open"

    def chosen(self, names: Sequence[str]) -> dict[str, Split]:
        """Return the splits to read, those that are named or, where none is, the usual ones.

        Raises:
            UserError: there is none of that name, or it has no gold answers.
        """
        if not names:
            return {name: split for name, split in self.splits.items() if split.chosen}
        for name in names:
            if name not in self.splits:
                hint = did_you_mean(name, list(self.splits))
                raise UserError(f"{self.name} has no split {name!r}{hint}; it has {', '.join(self.splits)}")
            if not self.splits[name].gold:
                others = [other for other, split in self.splits.items() if split.gold]
                raise UserError(f"the split {name} of {self.name} has no gold answers; take {' or '.join(others)}")
        return {name: split for name, split in self.splits.items() if name in names}
