"""What of an evaluation was seen in training: held-out questions that share words or an image with it.

Compared is as curation decontaminates (docs/curation.md), the other way round: there it is asked which questions to
learn from are like a held-out one, here which held-out ones are like any of them.

Questions with images are often asked in the same words, and differ in the image. Such a held-out question counts as
seen by its image; that its words were seen is said beside it.

Legend: H held-out questions.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Bool, Int64

from octomed_jax import manifests, storage
from octomed_jax.curation.corpus import Corpus, open_corpus
from octomed_jax.curation.curate import TEST_FILE
from octomed_jax.curation.decontaminate import SHOWN_WORDS, TEXT_COLUMNS, has_images
from octomed_jax.curation.pictures.image_kinds import shared_images
from octomed_jax.curation.pictures.image_sources import image_sources, read_sources
from octomed_jax.curation.pictures.images_of import images_by_bytes
from octomed_jax.errors import UserError
from octomed_jax.evaluation.seen_words import NONE, WORDS, SeenWords, seen_words
from octomed_jax.evaluation.shared_phrases import shared_phrases
from octomed_jax.evaluation.trained_on import Trained, open_trained
from octomed_jax.storage import PathLike

IMAGE_MATCHES = ("bytes", "pixels", "near")
USUAL_MATCHES = ("bytes", "pixels")


def seen_in_training(
    questions: PathLike,
    trained: Sequence[PathLike],
    scratch: Path,
    ignore_common: int = 0,
    images: Sequence[str] = USUAL_MATCHES,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a row for each held-out question of a folder, sorted by id, and the counts.

    Args:
        questions: folder whose held-out questions are measured on.
        trained: folders of questions, of traces or of shards.
        scratch: an empty folder for what is worked out.
        ignore_common: runs of words that more of the questions trained on have do not count; 0: all do.
        images: how images are found to be the same: some of IMAGE_MATCHES.

    Raises:
        UserError: a folder is missing or of another kind, there are no held-out questions, or a setting is wrong.
        StopAndLook: a file is damaged.
    """
    if ignore_common < 0:
        raise UserError(f"ignore_common={ignore_common}: 0 (all count) or more")
    for kind in images:
        if kind not in IMAGE_MATCHES:
            raise UserError(f"images: {kind!r} is none of {', '.join(IMAGE_MATCHES)}")
    given = manifests.read_manifest(questions, *manifests.QUESTION_STAGES)
    held = open_corpus([epath.Path(questions) / TEST_FILE])
    if not len(held):
        raise UserError(f"{questions} holds out no questions")
    pictured = np.concatenate(
        [has_images(table) for _, table in held.tables(TEXT_COLUMNS, "reading held-out questions")]
    )
    own = open_trained(trained, scratch, bool(pictured.any() and images))
    words = seen_words(held, own.corpus, pictured, ignore_common)
    match, kind_of, lost = _seen_images(held, own.corpus, pictured, images, (questions, *trained), scratch)
    rows = _rows(held, own, pictured, words, match, kind_of)
    told = {
        "questions": given.identity,
        "trained": dict(own.identities),
        "settings": {"words": WORDS, "ignore_common": ignore_common, "images": list(images)},
        "n_trained": len(own.corpus),
        **counted(rows),
        "ignored_runs": words.ignored,
        "unreadable": lost,
        "phrases": shared_phrases(words.runs),
    }
    return rows, told


def _seen_images(
    held: Corpus,
    trained: Corpus,
    pictured: Bool[np.ndarray, " H"],
    images: Sequence[str],
    folders: Sequence[PathLike],
    scratch: Path,
) -> tuple[Int64[np.ndarray, " H"], Sequence[str], dict[str, int]]:
    """Return of each held-out question a place with the same image, or NONE, and by what; and images that are none."""
    match, kind_of = np.full(len(held), NONE), [""] * len(held)
    if not (pictured.any() and images) or not len(images_by_bytes(trained).owner):
        return match, kind_of, {"held_out": 0, "trained": 0}
    sources = image_sources(read_sources([epath.Path(folder) for folder in folders]))
    found = shared_images(held, trained, images, (), sources, scratch / "images", "local", 0)
    for row in found.every.table.to_pylist():
        match[row["place"]] = row["match"]
        kind_of[row["place"]] = row["reason"].removeprefix("image_")
    lost = {"held_out": len(found.unreadable), "trained": len(found.unreadable_held_out)}
    return match, kind_of, lost


def _rows(
    held: Corpus,
    trained: Trained,
    pictured: Bool[np.ndarray, " H"],
    words: SeenWords,
    match: Int64[np.ndarray, " H"],
    kind_of: Sequence[str],
) -> list[dict[str, Any]]:
    like = np.where(match < NONE, match, words.place)
    places = np.unique(like[like < NONE])
    ids = dict(zip(places.tolist(), trained.corpus.read(places, ["id"])["id"].to_pylist(), strict=True))
    rows = []
    for first, table in held.tables(["id", "benchmark", "access"], "writing what was seen"):
        for number, row in enumerate(table.to_pylist(), first):
            by_words, by_image = bool(words.place[number] < NONE), bool(match[number] < NONE)
            place = int(like[number])
            rows.append(
                {
                    "benchmark": row["benchmark"],
                    "id": row["id"],
                    "seen": by_image or (by_words and not pictured[number]),
                    "words": by_words,
                    "image": kind_of[number],
                    "trained_on": ids.get(place, ""),
                    "folder": trained.folder_of(place) if place < NONE else "",
                    "shared": "" if row["access"] == "credentialed" else words.shared[number][:SHOWN_WORDS],
                }
            )
    return rows


def counted(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many questions were seen, of all and of each benchmark, sorted.

    ``words`` and ``image`` count those that share either; ``words_alone`` those with images of their own whose words
    were seen and which do not count as seen for it.
    """
    by_benchmark: dict[str, Counter[str]] = {}
    for row in rows:
        counts = by_benchmark.setdefault(row["benchmark"], Counter())
        counts["n"] += 1
        counts["seen"] += row["seen"]
        counts["words"] += row["words"]
        counts["image"] += bool(row["image"])
        counts["words_alone"] += row["words"] and not row["seen"]
    names = ("n", "seen", "words", "image", "words_alone")
    total = sum(by_benchmark.values(), Counter())
    return {
        **{name: int(total[name]) for name in names},
        "benchmarks": {key: {name: int(by_benchmark[key][name]) for name in names} for key in sorted(by_benchmark)},
    }


def write_seen(path: PathLike, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of ``seen_in_training`` as JSON lines, whole or not at all."""
    storage.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_seen(path: PathLike) -> dict[str, bool]:
    """Return id to whether it was seen, of a file that ``write_seen`` wrote.

    Raises:
        UserError: no such file, or a line is none of its.
    """
    if not epath.Path(path).exists():
        raise UserError(f"no such file: {path}; make it with `octomed eval seen --output=FILE`")
    found: dict[str, bool] = {}
    for number, line in enumerate(epath.Path(path).read_text().removesuffix("\n").split("\n"), 1):
        try:
            row = json.loads(line)
            found[row["id"]] = bool(row["seen"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} line {number} is no row of `octomed eval seen`; make the file again") from error
    return found


def accuracy_by_seen(samples: Iterable[Mapping[str, Any]], seen: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
    """Return of each benchmark the accuracy on questions that were seen in training, and on those that were not.

    Args:
        samples: judged rows of samples/<benchmark>.jsonl; requests that failed for good count nowhere.
        seen: as ``read_seen`` returns it.

    Returns:
        Benchmark to ``seen`` and ``unseen``: the number of questions ``n`` and the mean ``accuracy`` over their
        samples, None of none.

    Raises:
        UserError: a question is not among those that were looked up.
    """
    verdicts: dict[str, dict[bool, list[tuple[str, bool]]]] = {}
    for sample in samples:
        if sample["id"] not in seen:
            raise UserError(
                f"question {sample['id']} of {sample['benchmark']} is not among those that were looked up; run "
                "`octomed eval seen` on the questions that were measured on"
            )
        if sample.get("error") or sample["finish_reason"] == "error":
            continue
        parts = verdicts.setdefault(sample["benchmark"], {True: [], False: []})
        parts[seen[sample["id"]]].append((sample["id"], sample["verdict"] == "correct"))
    return {
        name: {title: _part(verdicts[name][which]) for title, which in (("seen", True), ("unseen", False))}
        for name in sorted(verdicts)
    }


def _part(found: Sequence[tuple[str, bool]]) -> dict[str, Any]:
    accuracy = sum(right for _, right in found) / len(found) if found else None
    return {"n": len({name for name, _ in found}), "accuracy": accuracy}
