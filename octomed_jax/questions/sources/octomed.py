"""Questions of one's own, and OctoMed's published sets: both are in OctoMed's schema, the cells themselves.

A file of one's own is read whole, and its column ``split`` says what is held out; published files say it by their name.

Published: ``image, image_hash, question, options, answer, responses``; the older form is ``conversations``. Responses
are a teacher's, and never gold. `octomed data write` writes the same form.
"""

from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.rows import COLUMNS, RESPONSES, UNUSED


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the row itself."""
    yield dict(row)


OWN = Adapter(
    name="octomed",
    title="questions of your own, and OctoMed's published sets, in OctoMed's schema",
    kind="traces",
    home="https://huggingface.co/OctoMed",
    licence="unknown",
    citation="Ossowski et al. 2025, arXiv:2511.23269",
    splits={
        "train": Split(("data/train-*.parquet", "train*.parquet", "train*.jsonl", "train*.json")),
        "test": Split(("data/test-*.parquet", "test*.parquet", "test*.jsonl", "test*.json"), goes_to="test"),
    },
    cells=cells,
    columns=(*COLUMNS, "images", *RESPONSES, *UNUSED),
    image_folders=("",),
    content_ids=True,
)
SOURCES = (OWN,)
