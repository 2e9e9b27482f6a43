"""PubMedQA, the part that experts labelled: a question on an abstract, answered yes, no or maybe.

The release (ori_pqal.json, keyed by PubMed's id) and the hub's pqa_labeled hold 1,000 questions in one table; which 500
of them are the official test fold stands in the release's test_ground_truth.json, which must lie beside them. The
mirror of openlifescienceai has files for each split.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from octomed_jax.errors import UserError
from octomed_jax.questions.adapter import Adapter, Cells, Row, Split
from octomed_jax.questions.reading.folder import Folder, Place
from octomed_jax.questions.reading.forms import nested
from octomed_jax.questions.reading.objects import begins_with, read_object
from octomed_jax.verification.rows import RowError

DECISIONS = ("yes", "no", "maybe")
FOLD = "test_ground_truth.json"
RELEASE = ("data/ori_pqal.json", "ori_pqal.json", "pqa_labeled/train-*.parquet")


def places(folder: Folder, name: str, files: Sequence[str]) -> Iterator[Place]:
    """Yield the rows of a split; of the table of 1,000 those that the test fold says, with its gold as ``official``.

    The split of a row that cannot be read is not known: it counts once, in the first split that is read.

    Raises:
        UserError: the test fold is not there.
    """
    for path in folder.tables(name, Split(tuple(files))):
        fold: dict[str, str] = {}
        for place in _rows(folder, path):
            if place.row is None or "data" in place.row:
                if place.row or folder.reads_first(name, path):
                    yield place
                continue
            fold = fold or _fold(folder)
            official = fold.get(str(place.row["pubid"]))
            if (official is not None) == (name == "test"):
                yield Place(place.file, place.number, place.counts, {**place.row, "official": official})


def _rows(folder: Folder, path: Path) -> Iterator[Place]:
    """Yield the rows of a table, with the hub's names for the columns."""
    if path.suffix != ".json" or not begins_with(path, '"QUESTION"'):
        yield from folder.rows(path)
        return
    for number, (pubid, item) in enumerate(read_object(path).items(), 1):
        row = {
            "pubid": pubid,
            "question": item.get("QUESTION"),
            "context": {"contexts": item.get("CONTEXTS")},
            "final_decision": item.get("final_decision"),
            "long_answer": item.get("LONG_ANSWER"),
        }
        yield Place(folder.shown(path), number, "question", row)


def _fold(folder: Folder) -> dict[str, str]:
    for name in (f"data/{FOLD}", FOLD):
        if (folder.root / name).is_file():
            return read_object(folder.path(name))
    raise UserError(
        f"{folder.root} has no {FOLD}, which names the official test fold; get it from data/ of "
        "https://github.com/pubmedqa/pubmedqa and put it there"
    )


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row, below its abstract; the decision and the test fold's gold must agree."""
    if "data" in row:
        given = nested(row["data"])
        if sorted(given["options"]) != sorted(DECISIONS):
            raise RowError(f"the options are {'; '.join(given['options'])[:60]}, not yes, no and maybe", "options")
        yield {**given, **_asked(row["data"]["Context"], given["question"])}
        return
    decision, official = row["final_decision"], row["official"]
    if decision not in DECISIONS:
        raise RowError(f"final_decision {decision!r} is none of {', '.join(DECISIONS)}", "answer")
    if official not in (None, decision):
        raise RowError(f"final_decision is {decision!r}, but {FOLD} says {official!r}", "answer")
    yield {
        "id": f"pubmedqa:{row['pubid']}",
        "task": "mcq",
        "options": list(DECISIONS),
        "answer": decision,
        "explanation": row["long_answer"],
        **_asked(row["context"]["contexts"], row["question"]),
    }


def _asked(context: Sequence[str], question: str) -> Cells:
    if not context or not question:
        raise RowError("it has no context or no question", "question")
    return {"question": "\n".join(context) + f"\n\n{question}"}


PUBMEDQA = Adapter(
    name="pubmedqa",
    title="questions on abstracts, answered yes, no or maybe (labelled by experts)",
    kind="text",
    home="https://github.com/pubmedqa/pubmedqa",
    licence="MIT",
    citation="Jin et al. 2019, arXiv:1909.06146",
    splits={
        "train": Split((*RELEASE, "data/train-*.parquet", "train*.parquet", "train.json*"), 500),
        "validation": Split(("data/validation-*.parquet", "validation*.parquet", "validation.json*"), chosen=False),
        "test": Split((*RELEASE, "data/test-*.parquet", "test-*.parquet", "test.json*"), 500, "test"),
    },
    cells=cells,
    places=places,
    seen=True,
    hub="openlifescienceai/pubmedqa",
)
SOURCES = (PUBMEDQA,)
