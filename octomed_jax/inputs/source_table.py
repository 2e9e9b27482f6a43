"""What each source gives to an epoch: questions, examples, tokens and images, and its shares of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32

from octomed_jax.inputs.plan import ExampleIndex

HEADINGS = {
    "source": "source",
    "questions": "questions",
    "examples": "examples",
    "examples_an_epoch": "examples an epoch",
    "tokens": "tokens",
    "images": "images",
    "share_of_examples": "of examples",
    "share_of_tokens": "of tokens",
}


def source_table(index: ExampleIndex, numbers: Int32[np.ndarray, "N"]) -> list[dict[str, Any]]:
    """Return a row a source, in order of their names.

    Args:
        index: of all examples.
        numbers: the examples of an epoch; one that comes several times stands there as often.

    Returns:
        ``source``; ``questions`` and ``examples``: how many different ones come; ``examples_an_epoch``, ``tokens`` and
        ``images``: of an epoch, repeats counted; ``share_of_examples`` and ``share_of_tokens``: of all sources'.
    """
    times = np.bincount(numbers, minlength=len(index))
    used, source = times > 0, index.source
    sizes: dict[str, Any] = {"examples_an_epoch": 1, "tokens": index.tokens, "images": index.images}
    sums = {name: _sums(index, times * size) for name, size in sizes.items()}
    of_record = np.full(int(index.record.max(initial=-1)) + 1, -1, source.dtype)
    of_record[index.record[used]] = source[used]
    sums |= {
        "questions": np.bincount(of_record[of_record >= 0], minlength=len(index.sources)),
        "examples": np.bincount(source[used], minlength=len(index.sources)),
    }
    wholes = {name: max(int(sums[name].sum()), 1) for name in ("examples_an_epoch", "tokens")}
    rows = []
    for number, name in sorted(enumerate(index.sources), key=lambda item: item[1]):
        row = {heading: int(sums[heading][number]) for heading in list(HEADINGS)[1:6]}
        shares = {
            "share_of_examples": row["examples_an_epoch"] / wholes["examples_an_epoch"],
            "share_of_tokens": row["tokens"] / wholes["tokens"],
        }
        rows.append({"source": name, **row, **shares})
    return rows


def _sums(index: ExampleIndex, values: np.ndarray) -> np.ndarray:
    """Return the sum of each source; floats, in which NumPy adds, hold whole numbers up to 2**53 exactly."""
    return np.bincount(index.source, values, len(index.sources)).astype(np.int64)


def table_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the table as lines of text, with a line for all sources."""
    total: dict[str, Any] = {name: sum(row[name] for row in rows) for name in list(HEADINGS)[1:]}
    cells = [list(HEADINGS.values()), *(_cells(row) for row in [*rows, {"source": "all", **total}])]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in cells
    ]


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        value if isinstance(value, str) else f"{value:.1%}" if name.startswith("share") else f"{value:,}"
        for name, value in ((name, row[name]) for name in HEADINGS)
    ]
