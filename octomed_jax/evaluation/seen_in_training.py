"""What of an evaluation was seen in training: held-out questions that share words or an image with it.

Compared is as curation decontaminates (docs/curation.md), the other way round: there it is asked which questions to
learn from are like a held-out one, here which held-out ones are like any of them. The index is that of the held-out
questions, so that memory is theirs; what was trained on is read once, and may be of any size.

Questions with images are often asked in the same words, and differ in the image. Such a held-out question counts as
seen by its image; that its words were seen is said beside it.

Legend: H held-out questions, K runs of words in the index.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath
from jaxtyping import Bool, Int64

from octomed_jax import manifests, progress, storage
from octomed_jax.curation.corpus import Corpus, open_corpus
from octomed_jax.curation.curate import TEST_FILE, TRAIN_FILE
from octomed_jax.curation.decontaminate import SHOWN_WORDS, TEXT_COLUMNS, has_images
from octomed_jax.curation.pictures.image_kinds import shared_images
from octomed_jax.curation.pictures.image_sources import image_sources, read_sources
from octomed_jax.curation.pictures.images_of import images_by_bytes
from octomed_jax.curation.texts.ngrams import NGRAM_WORDS, NgramIndex, build_index
from octomed_jax.curation.texts.question_texts import QuestionTexts, question_texts
from octomed_jax.errors import UserError
from octomed_jax.evaluation.shared_phrases import shared_phrases
from octomed_jax.schema import QUESTION_SCHEMA, question_to_row
from octomed_jax.storage import PathLike
from octomed_jax.traces import lake
from octomed_jax.traces.grouped import LAKE
from octomed_jax.traces.shards import ShardReader

WORDS = NGRAM_WORDS[-1]  # the paper's
IMAGE_MATCHES = ("bytes", "pixels", "near")
USUAL_MATCHES = ("bytes", "pixels")
TRAINED_STAGES = (*manifests.QUESTION_STAGES, "verify", "shard")
NONE = np.iinfo(np.int64).max  # the place of no question
_COLUMNS = ("id", *TEXT_COLUMNS, "image")
_SCHEMA = pa.schema([QUESTION_SCHEMA.field(name) for name in _COLUMNS])


@dataclasses.dataclass(frozen=True)
class Trained:
    """What was trained on, by place.

    Attributes:
        corpus: its questions.
        folders: of each of its files, the folder that was named.
        identities: folder to the identity of its manifest.
    """

    corpus: Corpus
    folders: Mapping[str, str]
    identities: Mapping[str, str]

    def folder_of(self, place: int) -> str:
        """Return the folder that a question is of."""
        starts = [group.first for group in self.corpus.groups]
        return self.folders[self.corpus.groups[int(np.searchsorted(starts, place, side="right")) - 1].path]


@dataclasses.dataclass(frozen=True)
class SeenWords:
    """Which held-out questions share words, and with what.

    Attributes:
        place: of each the place of a question that was trained on, NONE where there is none.
        shared: of each the words, "" where there are none.
        runs: the runs of words that were found, each with the number of held-out questions that it was found by.
        ignored: how many runs were left out as common.
    """

    place: Int64[np.ndarray, " H"]
    shared: Sequence[str]
    runs: Mapping[tuple[str, ...], int]
    ignored: int


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
    words = _seen_words(held, own.corpus, pictured, ignore_common)
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


def open_trained(folders: Sequence[PathLike], scratch: Path, with_images: bool) -> Trained:
    """Open what was trained on; shards are written as a file of questions into ``scratch`` first.

    Raises:
        UserError: a folder is named twice, is missing or of another kind, or there are no questions.
        StopAndLook: a shard is damaged.
    """
    files: dict[str, str] = {}
    identities: dict[str, str] = {}
    for number, folder in enumerate(folders):
        manifest = manifests.read_manifest(folder, *TRAINED_STAGES)
        if manifest.identity in identities.values():
            raise UserError(f"--trained={folder} is named twice, or is a copy; name each folder once")
        identities[str(folder)] = manifest.identity
        if manifest.stage == "verify":
            paths = sorted((epath.Path(folder) / LAKE).glob("part-*.parquet"))
        elif manifest.stage == "shard":
            paths = [epath.Path(scratch / f"shards {number}.parquet")]
            lake.write_rows(paths[0], _records(ShardReader(folder), with_images), _SCHEMA)
        else:
            paths = [epath.Path(folder) / TRAIN_FILE]
        files |= {str(path): str(folder) for path in paths}
    corpus = open_corpus([epath.Path(path) for path in files])
    if not len(corpus):
        raise UserError(f"{', '.join(map(str, folders))} holds no questions to learn from")
    return Trained(corpus, files, identities)


def _records(reader: ShardReader, with_images: bool) -> Iterator[dict[str, Any]]:
    for record in progress.track(reader, "reading shards", len(reader), "records"):
        row = question_to_row(record.question)
        yield {name: row[name] if with_images or name != "image" else [] for name in _COLUMNS}


def _seen_words(held: Corpus, trained: Corpus, pictured: Bool[np.ndarray, " H"], ignore_common: int) -> SeenWords:
    index = build_index((texts for _, texts, _ in _texts(held, "indexing held-out questions")), WORDS)
    counts = np.zeros(len(index.keys), dtype=np.int64)
    place_of = np.full(len(index.keys), NONE)  # of each run the first question that has it
    same = np.full(len(index), NONE)  # of each held-out question the first that is the same as a whole
    for first, texts, images in _texts(trained, "comparing words with what was trained on"):
        question, key = index.shared_runs(texts)
        np.add.at(counts, key, 1)
        np.minimum.at(place_of, key, question + first)
        for overlap in index.shared_wholes(texts):
            if not images[overlap.question]:
                same[overlap.evaluation] = min(same[overlap.evaluation], first + overlap.question)
    common = counts > ignore_common if ignore_common else np.zeros(len(counts), dtype=bool)
    place_of[common] = NONE
    return _matched(index, held, pictured, place_of, same, int(common.sum()))


def _matched(
    index: NgramIndex,
    held: Corpus,
    pictured: Bool[np.ndarray, " H"],
    place_of: Int64[np.ndarray, " K"],
    same: Int64[np.ndarray, " H"],
    ignored: int,
) -> SeenWords:
    """Return which held-out questions have a run that was trained on, or are the same as a whole."""
    place = np.full(len(held), NONE)
    shared = [""] * len(held)
    runs = Counter[tuple[str, ...]]()
    for first, texts, _ in _texts(held, "looking up held-out questions"):
        question, key = index.shared_runs(texts)
        known = place_of[key] < NONE
        question, key = question[known], key[known]
        for at in np.unique(question, return_index=True)[1].tolist():
            number = first + int(question[at])
            start = int(index.places[key[at]])
            shared[number] = index.texts.parts.between(start, start + index.count)
            place[number] = place_of[key[at]]
            runs[tuple(shared[number].split())] += 1
        for overlap in index.shared_wholes(texts):
            number = first + overlap.question
            if place[number] == NONE and same[overlap.evaluation] < NONE and not pictured[number]:
                place[number], shared[number] = same[overlap.evaluation], overlap.words
    return SeenWords(place, shared, runs, ignored)


def _texts(corpus: Corpus, title: str) -> Iterator[tuple[int, QuestionTexts, Bool[np.ndarray, " N"]]]:
    """Yield the questions of a corpus, with the place of the first, and which have images."""
    for first, table in corpus.tables(TEXT_COLUMNS, title):
        yield first, question_texts(table["question"], table["options"]), has_images(table)


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
    for number, line in enumerate(epath.Path(path).read_text().splitlines(), 1):
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
