"""The image challenge of the New England Journal of Medicine: five options and an image, which the journal publishes.

The table of cx0/nejm-image-challenge has no images. They are saved under the names that they have there, such as
``images/IC20100401.jpg`` for the challenge of that day. OctoMed's copy has them in its rows.
"""

import datetime
from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.forms import at_letter, lettered

CHOICES = {letter: f"option_{letter}" for letter in "ABCDE"}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row of the table, or of OctoMed's copy, whose columns are cells already."""
    if "options" in row:
        yield {name: row[name] for name in ("question", "options", "answer", "image")} | {"task": "mcq"}
        return
    options = lettered(row, CHOICES)
    yield {
        "question": row["question"].strip(),
        "task": "mcq",
        "options": list(options.values()),
        "answer": at_letter(options, row["correct_answer"], "correct_answer"),
        "image": f"IC{day(row['date']):%Y%m%d}.jpg",
    }


def day(text: str) -> datetime.date:
    """Return the day of ``apr-01-2010``, in whatever language the machine has its months.

    Raises:
        ValueError: it is none.
    """
    month, number, year = text.split("-")
    return datetime.date(int(year), MONTHS.index(month) + 1, int(number))


SOURCES = (
    Adapter(
        name="nejm-image-challenge",
        title="image challenge of the New England Journal of Medicine",
        kind="images",
        home="https://github.com/cx0/nejm-image-challenge",
        licence="unknown",  # of the table; the rights in texts and images are the journal's
        citation="The New England Journal of Medicine, Image Challenge; table of cx0/nejm-image-challenge",
        splits={"test": Split(("image_challenge_dataset_*.json", "data/test-*.parquet", "test*.parquet"), 947, "test")},
        cells=cells,
        seen=True,  # the table; not the images, nor OctoMed's copy
        image_folders=("images", ""),
        archives=("images.zip",),
        hub="OctoMed/NEJM-Image-Challenge",
    ),
)
