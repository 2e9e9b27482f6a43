"""The figures of a corpus card: which counts go into which chart, and what a screen reader is told."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation import charts, curated_figures, histograms
from octomed_jax.evaluation.data_card_count import TEXT_ONLY, UNLABELLED
from octomed_jax.evaluation.data_card_funnel import ATTEMPT_STEPS, QUESTION_STEPS
from octomed_jax.evaluation.figures import STEP_WORDS, fates

MOST_ROWS = 20  # of a figure; card.json has all
QUESTION_WORDS = {
    "built": "built from the sources",
    "curated": "left by curation",
    "asked": "asked of a teacher",
    "with_trace": "with an accepted answer",
    "in_shards": "in the shards",
}
ATTEMPT_WORDS = {**STEP_WORDS, "kept": "kept as a trace", "in_shards": "in the shards"}
ATTEMPT_COLOURS = {**{step: step for step in ATTEMPT_STEPS}, "in_shards": "kept", "kept": "correct"}
MOST_TRACES = 16  # of a question; the last column holds those with more

Table = Mapping[str, Any]


def draw(table: Table) -> dict[str, str]:
    """Return figure name to its SVG, without those of which there are no numbers."""
    drawn = {
        "regions": _regions(table),
        **{field: _counts(table["by"][field], field) for field in ("source", "modality", "task")},
        "traces": _traces(table["traces_per_question"]),
        "questions": _steps(table["funnel"]["total"]["questions"], QUESTION_WORDS, QUESTION_STEPS, "Questions"),
    }
    if table["lengths"]:
        for name in ("question", "response"):
            drawn[f"{name}_lengths"] = _lengths(table["lengths"][name], name)
    if table["funnel"]["total"]["attempts"]["asked"] is not None:
        drawn["attempts"] = _steps(table["funnel"]["total"]["attempts"], ATTEMPT_WORDS, ATTEMPT_STEPS, "Attempts")
        drawn["accepted"] = _accepted(table["funnel"]["sources"])
    if table["curation"]["state"] == "curated" and table["curation"]["removed"]:
        of_curation = curated_figures.draw(table["curation"])
        drawn |= {name: of_curation[name] for name in ("removed", "matched") if name in of_curation}
    return drawn


def region_shares(table: Table) -> list[tuple[str, float, float | None]]:
    """Return body region, its share here and in the paper (None: not named there), the paper's first.

    Shares here are of the different images whose region is known, an image counting once for each region.
    """
    rows = {name: row for name, row in table["by"]["body_region"].items() if name not in (TEXT_ONLY, UNLABELLED)}
    images = sum(row["unique_images"] for row in rows.values()) or 1
    mine = {name: row["unique_images"] / images for name, row in rows.items() if row["unique_images"]}
    of_paper = table["paper"]["body_regions"]
    others = sorted(mine.keys() - of_paper.keys(), key=lambda name: (-mine[name], name))
    return [(name, mine.get(name, 0.0), of_paper.get(name)) for name in [*of_paper, *others]]


def _regions(table: Table) -> str:
    rows = []
    for name, here, there in region_shares(table)[:MOST_ROWS]:
        value = f"{charts.percent(here)} %" if there is None else f"{charts.percent(here)} / {charts.percent(there)} %"
        rows.append((histograms.shortened(name), here, there or 0.0, value))
    told = ", ".join(f"{name} {value}" for name, _, _, value in rows)
    return histograms.pairs(rows, f"Body regions, share of images here and in the paper: {told}", ("kept", "failed"))


def _counts(groups: Table, field: str) -> str:
    total = sum(row["instances"] for row in groups.values()) or 1
    counts = [(name, row["instances"]) for name, row in groups.items()]
    if len(counts) > MOST_ROWS:
        rest = counts[MOST_ROWS - 1 :]
        counts = [*counts[: MOST_ROWS - 1], (f"{len(rest)} more", sum(count for _, count in rest))]
    rows = [
        (histograms.shortened(name), count, f"{count:,} · {charts.percent(count / total)} %", _colour(name))
        for name, count in counts
    ]
    told = ", ".join(f"{name} {value}" for name, _, value, _ in rows)
    return charts.bars(rows, f"Training rows by {field.replace('_', ' ')}: {told}")


def _colour(name: str) -> str:
    return "asked" if name in (TEXT_ONLY, UNLABELLED) else "kept"


def _traces(traces: Mapping[str, int]) -> str:
    counts = {int(count): questions for count, questions in traces.items()}
    last = min(MOST_TRACES, max(counts, default=1))
    columns = [(str(number), counts.get(number, 0), "kept") for number in range(1, last)]
    more = sum(questions for count, questions in counts.items() if count >= last)
    columns.append((f"{last}+" if max(counts, default=0) > last else str(last), more, "kept"))
    told = ", ".join(f"{name}: {questions:,}" for name, questions, _ in columns)
    return histograms.columns(columns, f"Questions by their traces: {told}", "traces of a question", "questions")


def _steps(total: Table, words: Mapping[str, str], steps: Sequence[str], what: str) -> str:
    known = [step for step in steps if total[step] is not None]
    first = total[known[0]] or 1
    rows = []
    for step in known:
        value = f"{total[step]:,} · {charts.percent(total[step] / first)} %"
        kind = ATTEMPT_COLOURS[step] if what == "Attempts" else {"in_shards": "kept"}.get(step, "asked")
        rows.append((words[step], total[step], value, kind))
    return charts.bars(rows, f"{what}: " + ", ".join(f"{name} {value}" for name, _, value, _ in rows))


def _accepted(sources: Table) -> str:
    asked = {name: row["attempts"] for name, row in sources.items() if row["attempts"]["asked"]}
    ranked = sorted(asked.items(), key=lambda item: (-item[1]["kept"] / item[1]["asked"], item[0]))
    rows = [
        (histograms.shortened(name), fates(row), f"{charts.percent(row['kept'] / row['asked'])} % of {row['asked']:,}")
        for name, row in ranked[:MOST_ROWS]
    ]
    return charts.stacks(rows, "What became of the attempts of each source, as shares; as tabled below")


def _lengths(lengths: Table, name: str) -> str:
    told = f"mean {charts.number(lengths['mean'])}, median {lengths['median']:,}, longest {lengths['longest']:,}"
    return histograms.lengths(
        lengths["histogram"]["counts"],
        lengths["histogram"]["width"],
        lengths["mean"],
        f"Lengths of the {name}s in tokens: {told}",
        f"tokens of a {name}",
        f"{name}s",
    )
