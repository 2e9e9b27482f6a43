"""What a run says of the questions that its model had seen in training: looked up once, and kept with the samples."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from octomed_jax import manifests, storage
from octomed_jax.evaluation.question_sets import QuestionSets
from octomed_jax.evaluation.seen_in_training import read_seen, seen_in_training, write_seen
from octomed_jax.evaluation.trained_on import TRAINED_STAGES
from octomed_jax.storage import PathLike

NAME = "seen.jsonl"


def trained_inputs(trained: Sequence[PathLike]) -> dict[str, str]:
    """Return name to identity, of folders that were trained on: as inputs of a manifest.

    Raises:
        UserError: one is missing, not finished, or of another kind.
    """
    found = sorted({manifests.read_manifest(folder, *TRAINED_STAGES).identity for folder in trained})
    return {"trained": storage.fingerprint(found)} if found else {}


def look_up(sets: QuestionSets, trained: Sequence[PathLike], folder: Path) -> Mapping[str, bool] | None:
    """Return the id of each question to whether it was seen in training; None where no corpus is named.

    Args:
        sets: what is asked.
        trained: folders of questions, of traces or of shards.
        folder: that is being made; NAME is written into it, and read again by a run that goes on.

    Raises:
        UserError: as ``seen_in_training``.
    """
    path = folder / NAME
    if not trained:
        return None
    if not path.is_file():
        rows = []
        for questions in sets.folders:
            with tempfile.TemporaryDirectory(prefix="octomed-seen-") as scratch:
                found, _ = seen_in_training(questions, trained, Path(scratch))
            rows += [row for row in found if row["benchmark"] in sets.called[questions]]
        write_seen(path, rows)
    return read_seen(path)
