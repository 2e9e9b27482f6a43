"""``questions.html``: questions of a folder with their images and gold answers, to be looked at by a person."""

import base64
import dataclasses
import heapq
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath
from PIL import Image

from octomed_jax import manifests, progress, storage
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.evaluation.attempts_data import find_questions
from octomed_jax.evaluation.examples import MOST_PIXELS, SIGNATURES
from octomed_jax.evaluation.page import render
from octomed_jax.evaluation.report_data import row_count
from octomed_jax.images.decode import decode_image, encode_png
from octomed_jax.manifests import Manifest
from octomed_jax.prompts import LETTERS
from octomed_jax.traces.lake import iterate_rows

PAGE_FILE = "questions.html"
SPLITS = {"train": "questions.parquet", "test": "heldout.parquet"}
COUNT = 50
MOST_TEXT = 4000  # characters of a text that are shown
MOST_IMAGES = 6  # of a question
MOST_NEAR = 10_000  # ids among which a misspelt one is looked for
IMAGE_BYTES = 7_000_000  # of all images of a page before base64, which adds a third
LARGEST_IMAGE = 400_000
LEAST_SIDE = 192  # pixels
SIDES = (768, 512, 384, 256, 160, 96, 48)  # pixels, tried in this order

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which questions are shown.

    Attributes:
        count: at most so many, chosen by a hash of their ids and spread over the benchmarks.
        split: ``train`` or ``test``; empty: both.
        identity: id of the only one; empty: all.
        credentialed: also those that are not open.
    """

    count: int = COUNT
    split: str = ""
    identity: str = ""
    credentialed: bool = False

    @property
    def files(self) -> dict[str, str]:
        """Split to file of those that are read."""
        return {split: file for split, file in SPLITS.items() if self.split in ("", split)}


@dataclasses.dataclass
class Chosen:
    """What was chosen out of which questions.

    Attributes:
        ids: split to ids.
        benchmarks: benchmark to how many questions it has that may be shown.
        left_out: how many are left out because they are not open.
    """

    ids: dict[str, frozenset[str]]
    benchmarks: "Counter[str]" = dataclasses.field(default_factory=Counter)
    left_out: int = 0

    @property
    def shown(self) -> int:
        """How many are shown."""
        return sum(map(len, self.ids.values()))


def write_questions_page(
    folder: storage.PathLike, output: storage.PathLike | None = None, choice: Choice | None = None
) -> tuple[epath.Path, dict[str, Any]]:
    """Write questions as one page that fetches nothing, and return its path and the counts that it begins with.

    Reads ids first and whole rows of the chosen ones after it. Equal folders give equal bytes.

    Args:
        folder: what ``octomed questions build`` wrote.
        output: the page (default: ``questions.html`` in the folder).
        choice: which questions.

    Raises:
        UserError: no such folder, it is unfinished, or there is nothing to show.
        StopAndLook: a file of it is damaged.
    """
    place, choice = epath.Path(folder), choice or Choice()
    manifest = manifests.read_manifest(place, *manifests.QUESTION_STAGES)
    chosen = _choose(place, choice)
    rows = [row for split, ids in chosen.ids.items() for row in find_questions(place / SPLITS[split], ids).values()]
    rows.sort(key=lambda row: (row["benchmark"], row["split"] != "train", row["id"]))
    page = _render(place, manifest, choice, chosen, rows)
    path = epath.Path(output) if output else place / PAGE_FILE
    storage.write_text(path, page)
    return path, _counts(chosen)


def _counts(chosen: Chosen) -> dict[str, Any]:
    return {
        "shown": chosen.shown,
        "questions": chosen.benchmarks.total() + chosen.left_out,
        "credentialed_left_out": chosen.left_out,
        "benchmarks": dict(sorted(chosen.benchmarks.items())),
    }


def _choose(folder: epath.Path, choice: Choice) -> Chosen:
    """Return which questions are shown: the first by hash of every benchmark, then the second, and so on.

    Raises:
        UserError: there is none.
    """
    chosen = Chosen({})
    best: dict[str, list[tuple[int, str, str]]] = {}  # benchmark to (rank, split, id) of those of least rank
    near: list[str] = []
    total = sum(row_count(folder / file) for file in choice.files.values())
    with progress.bar("choosing questions", total, "questions") as line:
        for split, row in _each(folder, choice):
            line.advance()
            if choice.identity and row["id"] != choice.identity:
                near += [row["id"]] if len(near) < MOST_NEAR else []
                continue
            if row["access"] != "open" and not choice.credentialed:
                chosen.left_out += 1
                continue
            chosen.benchmarks[row["benchmark"]] += 1
            rank = int(storage.sha256_bytes(row["id"].encode())[:16], 16)
            held = best.setdefault(row["benchmark"], [])
            (heapq.heappush if len(held) < choice.count else heapq.heappushpop)(held, (-rank, split, row["id"]))
    if not best:
        raise UserError(_nothing(folder, choice, chosen.left_out, near))
    ranked = [
        (turn, -rank, split, identity)
        for held in best.values()
        for turn, (rank, split, identity) in enumerate(sorted(held, reverse=True))
    ]
    for split in choice.files:
        chosen.ids[split] = frozenset(
            identity for _, _, where, identity in sorted(ranked)[: choice.count] if where == split
        )
    return chosen


def _each(folder: epath.Path, choice: Choice) -> Iterator[tuple[str, Row]]:
    for split, file in choice.files.items():
        for row in iterate_rows(folder / file, ("id", "benchmark", "access")):
            yield split, row


def _nothing(folder: epath.Path, choice: Choice, left_out: int, near: Sequence[str]) -> str:
    """Return why there is nothing to show."""
    where = f"{folder}{f' (split {choice.split})' if choice.split else ''}"
    if choice.identity and left_out:
        return f"question {choice.identity!r} is credentialed; --credentialed shows it to those who may see it"
    if choice.identity:
        return f"{where} has no question {choice.identity!r}{did_you_mean(choice.identity, list(near))}"
    if left_out:
        return f"all {left_out:,} questions of {where} are credentialed; --credentialed shows them to those who may"
    return f"{where} holds no questions"


def _render(folder: epath.Path, manifest: Manifest, choice: Choice, chosen: Chosen, rows: Sequence[Row]) -> str:
    n_images = sum(min(len(row["image"] or ()), MOST_IMAGES) for row in rows)
    allowed = min(LARGEST_IMAGE, IMAGE_BYTES // max(1, n_images))
    items = [item_of(row, allowed) for row in rows]
    groups = {
        name: [item for item in items if item["benchmark"] == name] for name in {row["benchmark"] for row in rows}
    }
    name = "questions" if folder.name == "questions" else f"questions {folder.name}"  # the stage's own folder
    return render(
        "questions.html.jinja",
        f"octomed_jax: {name}",
        {},
        name=name,
        choice=choice,
        chosen=chosen,
        groups=dict(sorted(groups.items())),
        sources=sorted({row["source"] for row in rows}),
        splits=Counter(row["split"] for row in rows),
        with_images=sum(bool(row["image"]) for row in rows),
        credentialed=sum(row["access"] != "open" for row in rows),
        version=manifest.code_version,
    )


def item_of(row: Row, allowed: int) -> dict[str, Any]:
    """Return what a template shows of a question, with copies of its images of some ``allowed`` bytes each."""
    options = list(row["options"] or ())
    golds = row["answer"].split(";") if row["task"] == "multi_label" else [row["answer"]]
    letters = LETTERS if row["task"] == "mcq" else ""
    images = [image["bytes"] for image in row["image"] or ()]
    return {
        **{name: row[name] for name in ("id", "benchmark", "source", "split", "task", "licence", "access", "cluster")},
        "modality": row["modality"] or "",
        "body_region": row["body_region"] or "",
        "question": _cut(row["question"]),
        "options": [
            (f"{letters[place]}. {option}" if place < len(letters) else option, option in golds)
            for place, option in enumerate(options)
        ],
        "answer": _cut(row["answer"]),
        "aliases": list(row["aliases"] or ()),
        "limits": (row["lower_limit"], row["upper_limit"]),
        "explanation": _cut(row["explanation"] or ""),
        "images": [small_copy(data, allowed) for data in images[:MOST_IMAGES]],
        "n_images": len(images),
    }


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} … (cut here; {len(text):,} characters in all)"


def small_copy(data: bytes, allowed: int) -> str:
    """Return an image as a ``data:`` address of at most some ``allowed`` bytes; empty where it cannot be shown.

    It is the file itself if that is small, otherwise a JPEG of the largest of SIDES that fits, or of the smallest. What
    is too small to be seen is enlarged without smoothing.
    """
    try:
        image = decode_image(data, MOST_PIXELS, keep_gray=True)
    except UserError:
        return ""
    kind = next(name for start, name in SIGNATURES.items() if data.startswith(start))
    if (factor := LEAST_SIDE // max(image.size)) > 1:
        large = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
        data, kind = encode_png(large), "png"
    elif len(data) > allowed or max(image.size) > SIDES[0]:
        for side in SIDES:
            copy = image.copy()
            copy.thumbnail((side, side))
            buffer = io.BytesIO()
            copy.save(buffer, "jpeg", quality=85)
            data, kind = buffer.getvalue(), "jpeg"
            if len(data) <= allowed:
                break
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
