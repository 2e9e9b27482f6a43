"""``report.html`` and ``report.json`` of a folder of curated questions: what went, why, and what it was like."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from octomed_jax import manifests, storage
from octomed_jax.curation.card import MEANINGS
from octomed_jax.curation.decontaminate import REASONS
from octomed_jax.curation.evaluation_sets import OWN
from octomed_jax.curation.record import EXAMPLES_FILE
from octomed_jax.evaluation import curated_figures
from octomed_jax.evaluation.curated_data import read_figures
from octomed_jax.evaluation.page import render, setting_rows
from octomed_jax.evaluation.questions_page import IMAGE_BYTES, LARGEST_IMAGE, MOST_IMAGES, MOST_TEXT, item_of
from octomed_jax.evaluation.shared_words import Pieces, mark_shared, run_of
from octomed_jax.manifests import Manifest
from octomed_jax.traces.lake import iterate_rows

ROLES = {"held_out": "The held-out question that it is like", "earlier": "The earlier question that it is like"}

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Pair:
    """A removed question, and the one that it is like, if there is one.

    Attributes:
        rows: places of the two in the file of examples.
        shown: whether both are open.
        n_images: how many images of theirs a page shows.
    """

    rows: tuple[int, ...]
    shown: bool
    n_images: int


def write_curated_report(folder: storage.PathLike) -> epath.Path:
    """Write ``DIR/report.json`` and ``DIR/report.html`` of a folder of curated questions; return the latter's path.

    The page is one file that fetches nothing; equal folders give equal bytes.

    Args:
        folder: what ``octomed curate`` wrote.

    Raises:
        UserError: no such folder, or it is unfinished.
        StopAndLook: a file of it is damaged.
    """
    place = epath.Path(folder)
    manifest = manifests.read_manifest(place, "curate")
    pairs = _pairs(place / EXAMPLES_FILE)
    shown = sum(pair.shown for pair in pairs)
    examples = {"shown": shown, "not_open_left_out": len(pairs) - shown}
    table = {**read_figures(place, manifest), "examples": examples}
    page = _render(place, manifest, table, list(_examples(place / EXAMPLES_FILE, pairs)))
    storage.write_json(place / "report.json", table)
    storage.write_text(place / "report.html", page)
    return place / "report.html"


def _render(folder: epath.Path, manifest: Manifest, table: dict[str, Any], examples: Sequence[Row]) -> str:
    name = "curated" if folder.name == "curated" else f"curated {folder.name}"  # the stage's own folder
    groups: dict[tuple[str, str], list[Row]] = {}
    for item in examples:
        groups.setdefault((item["step"], item["reason"]), []).append(item)
    reasons = [(step["step"], reason) for step in table["steps"] for reason in step["reasons"]]
    steps = [step["step"] for step in table["steps"] if step["removed"]]
    settings = {f"{number} {step['step']}": step["settings"] for number, step in enumerate(table["steps"], 1)}
    return render(
        "curated.html.jinja",
        f"octomed_jax: {name}",
        curated_figures.draw(table),
        name=name,
        table=table,
        groups=groups,
        reasons=[(step, curated_figures.words(reason), reason) for step, reason in reasons],
        meanings=MEANINGS,
        legend=[("k-kept", "left")] + [(f"k-{curated_figures.colour(step)}", step) for step in steps],
        matched=table["matched"]["benchmarks"],
        own=OWN,
        settings=setting_rows({**settings, "seed": manifest.config["seed"]}),
        identity=manifest.identity,
        version=manifest.code_version,
    )


def _pairs(path: epath.Path) -> list[Pair]:
    """Return the pairs of a file of examples, without reading a text or an image."""
    pairs: list[Pair] = []
    for number, row in enumerate(iterate_rows(path, ("role", "access", "image_hash"))):
        n_images, is_open = min(len(row["image_hash"] or ()), MOST_IMAGES), row["access"] == "open"
        if row["role"] == "removed" or not pairs:
            pairs.append(Pair((number,), is_open, n_images))
        else:
            first = pairs.pop()
            pairs.append(Pair((*first.rows, number), first.shown and is_open, first.n_images + n_images))
    return pairs


def _examples(path: epath.Path, pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    """Yield what the template shows of the pairs that may be shown; holds a row group at a time."""
    n_images = sum(pair.n_images for pair in pairs if pair.shown)
    allowed = min(LARGEST_IMAGE, IMAGE_BYTES // max(1, n_images))
    rows = iterate_rows(path)
    for pair in pairs:
        both = [next(rows) for _ in pair.rows]
        if pair.shown:
            yield _example(both, allowed)


def _example(both: Sequence[Row], allowed: int) -> dict[str, Any]:
    first = both[0]
    texts = [[row["question"], *(row["options"] or ())] for row in both]
    run = run_of(first["detail"]) if first["reason"] in REASONS.values() and len(both) > 1 else ()
    marked = mark_shared(texts[0], texts[1], run) if run else [[[(text, False)] for text in of_one] for of_one in texts]
    return {
        **{name: first[name] for name in ("step", "reason", "detail")},
        "has_marks": any(shared for of_one in marked for pieces in of_one for _, shared in pieces),
        "sides": [_side(row, pieces, allowed) for row, pieces in zip(both, marked, strict=True)],
    }


def _side(row: Row, marked: Sequence[Pieces], allowed: int) -> dict[str, Any]:
    """Return what the template shows of one question, its texts in pieces."""
    item = item_of(row, allowed)
    lettered = zip(item["options"], row["options"] or (), marked[1:], strict=True)
    return {
        **item,
        "heading": ROLES.get(row["role"], "Taken out"),
        "question": _cut(marked[0]),
        "options": [([(text.removesuffix(option), False), *pieces], gold) for (text, gold), option, pieces in lettered],
    }


def _cut(pieces: Pieces) -> Pieces:
    """Return as many characters of a text as are shown, and say where it is cut."""
    whole = sum(len(text) for text, _ in pieces)
    if whole <= MOST_TEXT:
        return pieces
    shown: Pieces = []
    left = MOST_TEXT
    for text, shared in pieces:
        shown.append((text[:left], shared))
        left -= len(shown[-1][0])
    return [*(piece for piece in shown if piece[0]), (f" … (cut here; {whole:,} characters in all)", False)]
