"""Which samples a page shows as examples: a few of each kind, chosen by a hash of their ids, and none that is not open.

A sample is of a credentialed source where anything says so: its own ``access``, its question in a folder that was
given, the folder of the run, or the registry where its benchmark has a credentialed source.
"""

import dataclasses
import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from octomed_jax import manifests
from octomed_jax.curation.curate import TEST_FILE
from octomed_jax.errors import UserError
from octomed_jax.evaluation.attempts_data import find_questions
from octomed_jax.evaluation.benchmarks import benchmark_of
from octomed_jax.evaluation.examples import split_response
from octomed_jax.evaluation.questions_page import MOST_IMAGES, small_copy
from octomed_jax.evaluation.results_data import Result
from octomed_jax.prompts import LETTERS
from octomed_jax.storage import PathLike, sha256_bytes
from octomed_jax.traces.lake import iterate_rows

KINDS = {
    "correct": "right",
    "wrong": "wrong",
    "unparsed": "no answer found",
    "truncated": "cut off",
}
EACH = 4  # of a kind, of a benchmark and a model
MOST = 120  # of a page
MOST_TEXT = 6000  # characters of a question, a thought or an answer
MOST_SHORT = 400  # of an option, a gold answer, what was read
MOST_NAME = 120  # of an id or a name
MOST_OPTIONS = 26
IMAGE_BYTES = 5_000_000  # of all images of a page, before base64
LARGEST_IMAGE = 200_000

Row = Mapping[str, Any]
Key = tuple[str, str]  # model, benchmark


@dataclasses.dataclass
class Hidden:
    """What is not shown, and why.

    Attributes:
        credentialed: (model, benchmark) to samples that are not shown because their source is credentialed.
        folder: models of which nothing is shown, since their folder is credentialed and no questions were given.
    """

    credentialed: "Counter[Key]" = dataclasses.field(default_factory=Counter)
    folder: set[str] = dataclasses.field(default_factory=set)


class Questions:
    """What folders of questions say of the samples' questions.

    Attributes:
        given: whether there are any folders.
    """

    def __init__(self, folders: Sequence[PathLike]):
        self.given = bool(folders)
        self._access: dict[str, tuple[str, str, epath.Path]] = {}
        for place in (inner for folder in folders for inner in _finished_in(epath.Path(folder))):
            manifests.read_manifest(place, *manifests.QUESTION_STAGES)
            for row in iterate_rows(place / TEST_FILE, ("id", "access", "question")):
                self._add(row, place / TEST_FILE)

    def _add(self, row: Row, file: epath.Path) -> None:
        digest = sha256_bytes(row["question"].encode("utf-8", "replace"))
        held = self._access.get(row["id"])
        if held and held[1] != digest:
            raise UserError(f"{file} has another question {row['id']!r} than {held[2]}; give one of the folders")
        # Where two folders differ about the access, the stricter counts.
        access = "credentialed" if held and held[0] != "open" else row["access"]
        self._access[row["id"]] = (access, digest, file)

    def access(self, sample: Row) -> str | None:
        """Return the access class of a sample's question; None where no folder has it.

        Raises:
            UserError: the folder has another question of that id.
        """
        held = self._access.get(sample["id"])
        if held is None:
            return None
        if held[1] != sha256_bytes(sample["question"].encode("utf-8", "replace")):
            raise UserError(
                f"question {sample['id']!r} has another text in {held[2]} than in the samples; give --questions the "
                "folder that was measured on"
            )
        return held[0]

    def images(self, ids: frozenset[str]) -> dict[str, list[bytes]]:
        """Return id to its images, of those that have any."""
        files = {self._access[name][2] for name in ids if name in self._access}
        rows = [row for file in sorted(files) for row in find_questions(file, ids).values()]
        return {row["id"]: [image["bytes"] for image in row["image"]] for row in rows if row["image"]}


def _finished_in(folder: epath.Path) -> list[epath.Path]:
    """Return a folder of questions, or those that a folder of such folders holds."""
    if folder.is_dir() and not manifests.is_finished(folder):
        return sorted(inner for inner in folder.iterdir() if manifests.is_finished(inner)) or [folder]
    return [folder]


class Choice:
    """Keeps the few samples that are shown, out of all that come by."""

    def __init__(self, results: Sequence[Result], questions: Questions):
        self.hidden = Hidden()
        self._questions = questions
        self._folders = {result.name: result.manifest.get("access") or "open" for result in results}
        self._best: dict[tuple[str, str, str], list[tuple[int, int, dict[str, Any]]]] = {}

    def see(self, model: str, sample: Row) -> None:
        """Look at one sample; failed ones have nothing to show."""
        if sample["outcome"] not in KINDS:
            return
        if not self._may_show(model, sample):
            self.hidden.credentialed[model, sample["benchmark"]] += 1
            return
        rank = int(sha256_bytes(sample["id"].encode("utf-8", "replace"))[:15], 16)
        held = self._best.setdefault((model, sample["benchmark"], sample["outcome"]), [])
        same = [place for place, one in enumerate(held) if one[0] == -rank]
        if same:  # one seed of a question: the first
            if sample["seed"] < -held[same[0]][1]:
                held[same[0]] = (-rank, -sample["seed"], _shown(sample))
                heapq.heapify(held)
        elif len(held) < EACH:
            heapq.heappush(held, (-rank, -sample["seed"], _shown(sample)))
        elif -rank > held[0][0]:
            heapq.heapreplace(held, (-rank, -sample["seed"], _shown(sample)))

    def _may_show(self, model: str, sample: Row) -> bool:
        if sample["access"] not in ("", "open"):
            return False
        said = self._questions.access(sample)
        if said is not None:
            return said == "open"
        if self._folders[model] != "open":
            self.hidden.folder.add(model)
            return False
        known = benchmark_of(sample["benchmark"])
        if known is None:
            return True
        adapters = [(one.adapter, one.split) for one in known.readings]
        return all(adapter.access_of(adapter.splits[split]) == "open" for adapter, split in adapters)

    def examples(self) -> list[dict[str, Any]]:
        """Return what is shown: of every model, benchmark and kind one, then a second, as far as there is room."""
        ranked = [
            (turn, list(KINDS).index(kind), benchmark, model, sample)
            for (model, benchmark, kind), held in self._best.items()
            for turn, (_, _, sample) in enumerate(sorted(held, key=lambda one: one[:2], reverse=True))
        ]
        chosen = sorted(ranked, key=lambda one: one[:4])[:MOST]
        images = self._questions.images(frozenset(one[-1]["id"] for one in chosen))
        n_shown = sum(min(len(images.get(one[-1]["id"], ())), MOST_IMAGES) for one in chosen)
        allowed = min(LARGEST_IMAGE, IMAGE_BYTES // max(1, n_shown))
        return [
            {
                **sample,
                "id": cut(sample["id"], MOST_NAME),
                "model": model,
                "benchmark": benchmark,
                "images": [small_copy(data, allowed) for data in images.get(sample["id"], [])[:MOST_IMAGES]],
                "n_images": len(images.get(sample["id"], ())),
            }
            for _, _, benchmark, model, sample in sorted(chosen, key=lambda one: (one[2], one[4]["id"], one[3], one[1]))
        ]


def _shown(sample: Row) -> dict[str, Any]:
    """Return what is kept of a sample: texts of a bounded length."""
    thinking, final = split_response(sample["response"])
    options, gold = sample["options"], sample["answer"]
    gold = "; ".join(map(str, gold)) if isinstance(gold, list) else str(gold)
    letters = LETTERS if sample["task"] == "mcq" else ""
    return {
        "id": sample["id"],
        "seed": sample["seed"],
        "task": cut(sample["task"], MOST_NAME),
        "question": cut(sample["question"], MOST_TEXT),
        "options": [
            (cut(f"{letters[place]}. {option}" if place < len(letters) else option, MOST_SHORT), option == gold)
            for place, option in enumerate(options[:MOST_OPTIONS])
        ],
        "more_options": max(0, len(options) - MOST_OPTIONS),
        "gold": cut(gold, MOST_SHORT),
        "thinking": cut(thinking, MOST_TEXT),
        "final": cut(final, MOST_TEXT),
        "kind": sample["outcome"],
        "extracted": cut(sample["extracted"], MOST_SHORT),
        "reason": cut(sample["reason"], MOST_SHORT),
        "finish_reason": cut(sample["finish_reason"], MOST_NAME),
        "completion_tokens": sample["completion_tokens"] if isinstance(sample["completion_tokens"], int) else None,
        "forced": sample["forced"],
    }


def cut(text: str, most: int) -> str:
    """Return a text that is not too long."""
    return text if len(text) <= most else f"{text[:most]} … (cut here; {len(text):,} characters in all)"
