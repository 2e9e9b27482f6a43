"""What is asked of a published data set, or of one's own file, and the settings by which finished work is known."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from octomed_jax import storage
from octomed_jax.questions.adapter import Adapter, PassedOver, Split
from octomed_jax.questions.reading.cells import cells_of
from octomed_jax.questions.reading.folder import Folder
from octomed_jax.questions.reading.row_images import hash_files
from octomed_jax.questions.reading.rows import Defaults
from octomed_jax.verification.rows import RowError

MOST_LEFT_OUT = 0.001  # share of the rows; of fewer than a thousand, none


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of a data set.

    Attributes:
        adapter: reads it.
        source: the folder or file with it.
        splits: names of published splits; empty: the usual ones.
        limit: how many rows of each split are read, from the first on; None for all.
        licence: of rows that do not name one; empty: the adapter's.
        access: ``credentialed`` makes all rows so.
        most_left_out: share of the rows that may be left out because they cannot be read.
    """

    adapter: Adapter
    source: Path
    splits: tuple[str, ...] = ()
    limit: int | None = None
    licence: str = ""
    access: str = "open"
    most_left_out: float = MOST_LEFT_OUT

    def defaults(self, split: Split) -> Defaults:
        """Return what holds for rows of a split that do not say it themselves."""
        adapter = self.adapter
        strict = "credentialed" in (adapter.access_of(split), self.access)
        return Defaults(
            licence=self.licence or adapter.licence,
            access="credentialed" if strict else "open",
            source=adapter.name,
            split=split.goes_to,
            modality=adapter.modality,
            body_region=adapter.body_region,
        )


def splits_of(text: str | None) -> tuple[str, ...]:
    """Return the names in ``train,validation``."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def settings_of(request: Request, folder: Folder, splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return what the result depends on; the image files that rows name belong to it as the rows themselves do."""
    adapter = request.adapter
    tables = [path for name, split in splits.items() for path in _tables(adapter, folder, name, split)]
    settings = {
        "source": adapter.name,
        "splits": sorted(splits) if len(adapter.splits) > 1 else [],
        "input": {folder.shown(path): storage.sha256_file(path) for path in tables},
        "rows": _hash_rows(request, folder, splits) if adapter.places else "",
        "images": hash_files(_named_images(request, folder, splits), folder.image_print),
        "licence": request.licence,
        "access": request.access,
        "limit": request.limit,
        "most_left_out": None if request.most_left_out == MOST_LEFT_OUT else request.most_left_out,
    }
    return {name: value for name, value in settings.items() if value or value == 0.0}


def _tables(adapter: Adapter, folder: Folder, name: str, split: Split) -> list[Path]:
    return [] if adapter.places else folder.tables(name, split)


def _hash_rows(request: Request, folder: Folder, splits: Mapping[str, Split]) -> str:
    """Return a hash of rows that stand in no table."""
    digest = hashlib.sha256()
    for name, split in splits.items():
        digest.update(f"split {name}\n".encode())
        for place in islice(folder.places(name, split), request.limit):
            digest.update(json.dumps(place.row, sort_keys=True, default=_plainly).encode())
    return digest.hexdigest()


def _plainly(value: Any) -> str:
    return storage.sha256_bytes(bytes(value)) if isinstance(value, bytes | np.ndarray) else repr(value)


def _named_images(request: Request, folder: Folder, splits: Mapping[str, Split]) -> Iterator[Any]:
    for name, split in splits.items() if request.adapter.image_folders else ():
        for place in islice(folder.places(name, split), request.limit):
            try:
                yield from (cells.get("image") for cells in cells_of(request.adapter, place, name, "", ""))
            except (RowError, PassedOver):
                continue
