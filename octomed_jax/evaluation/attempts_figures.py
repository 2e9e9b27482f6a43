"""The figures of a report of attempts: which numbers go into which chart, and what a screen reader is told of them."""

from collections.abc import Mapping
from typing import Any

from octomed_jax.evaluation import charts, histograms
from octomed_jax.evaluation.attempts_numbers import STEPS
from octomed_jax.evaluation.figures import STEP_WORDS, rejected_reasons
from octomed_jax.verification.check import REASONS

QUESTION_WORDS = {
    "questions": "asked",
    "questions_answered": "any response",
    "questions_parsed": "any answer found",
    "questions_correct": "any answer correct",
}
KINDS = {"source": "Sources", "task": "Tasks", "teacher": "Teachers"}
# verdict -> CSS class of its bars
COLOURS = {"correct": "kept", "wrong": "rejected", "unparsed": "unread", "truncated": "cut"}

Table = Mapping[str, Any]


def draw(table: Table) -> dict[str, str]:
    """Return figure name to its SVG, without those of which there are no numbers.

    Args:
        table: the content of report.json.
    """
    drawn = {}
    if table["funnel"]["asked"]:
        drawn["funnel"] = _funnel(table["funnel"], {step: STEP_WORDS[step] for step in STEPS}, "Attempts")
        drawn["questions"] = _funnel(table["funnel"], QUESTION_WORDS, "Questions")
        drawn["acceptance"] = _acceptance(table["acceptance"])
        drawn["sources"] = _sources(table["acceptance"]["source"])
    if rejected := rejected_reasons(table["reasons"]):
        drawn["reasons"] = charts.bars(
            [(name, count, f"{count:,}", COLOURS[verdict_of(name)]) for name, count in rejected],
            "Why attempts were not accepted, by reason code",
        )
    for name, chart in (("pass_rate", _passes), ("lengths", _lengths), ("letters", _letters), ("duplicates", _copies)):
        if table[name]:
            drawn[name] = chart(table[name])
    if table["lengths"]:
        drawn["lengths_by_source"] = _lengths_by_source(table["lengths"]["sources"])
    return drawn


def verdict_of(reason: str) -> str:
    """Return the verdict that a reason code belongs to; several reasons in one row count as unparsed."""
    return REASONS.get(reason, "unparsed").partition(":")[0]


def _funnel(counts: Table, words: Mapping[str, str], what: str) -> str:
    whole = counts[next(iter(words))]
    colours = ("asked", "answered", "parsed", "correct")
    rows = [
        (word, counts[step], f"{counts[step]:,} · {charts.percent(counts[step] / whole)} %", colour)
        for (step, word), colour in zip(words.items(), colours, strict=True)
    ]
    return charts.bars(
        rows, f"{what} from asked to correct: " + ", ".join(f"{name} {said}" for name, _, said, _ in rows)
    )


def _acceptance(acceptance: Table) -> str:
    groups = [
        (heading, [{"name": name, **row} for name, row in acceptance[kind].items()]) for kind, heading in KINDS.items()
    ]
    return histograms.proportions(
        groups,
        "Share of the attempts that are correct, with 95 % intervals, by source, task and teacher; as tabled below",
    )


def _sources(sources: Table) -> str:
    rows = []
    for name, row in sources.items():
        pieces = [
            ("kept", row["correct"]),
            ("wrong", row["parsed"] - row["correct"]),
            ("unread", row["answered"] - row["parsed"] - row["truncated"]),
            ("cut", row["truncated"]),
            ("failed", row["asked"] - row["answered"]),
        ]
        rows.append((histograms.shortened(name), pieces, f"{charts.percent(row['rate'])} % of {row['asked']:,} right"))
    return charts.stacks(rows, "What became of the attempts of each source, as shares")


def _passes(passes: Table) -> str:
    colours = {next(iter(passes["columns"])): "rejected", list(passes["columns"])[-1]: "kept"}
    bars = [(name, questions, colours.get(name, "correct")) for name, questions in passes["columns"].items()]
    if passes["columns_are"] == "correct samples":
        x_title = f"correct samples of {passes['samples']['most']}"
    else:
        x_title = "per cent of its samples that are correct"
    told = ", ".join(f"{name}: {questions}" for name, questions, _ in bars)
    return histograms.columns(bars, f"Questions by {x_title}: {told}", x_title, "questions")


def _lengths(lengths: Table) -> str:
    histogram, verdicts = lengths["histogram"], lengths["verdicts"]
    halves = []
    for name, colour in (("correct", "kept"), ("others", "rejected")):
        row = lengths["halves"][name]
        halves.append((name, colour, histogram[name], row["quantiles"]["50"] if row else 0))
    told = ", ".join(f"{kind} {charts.number(row['quantiles']['50'])}" for kind, row in verdicts.items())
    return histograms.back_to_back(
        halves, histogram["width"], f"Completion tokens of correct and of other attempts; medians: {told}", "tokens"
    )


def _lengths_by_source(sources: Table) -> str:
    def three(row: Table | None) -> tuple[int, int, int] | None:
        return (row["quantiles"]["25"], row["quantiles"]["50"], row["quantiles"]["75"]) if row else None

    rows = [
        {"name": name, "right": three(row["correct"]), "wrong": three(row["others"])} for name, row in sources.items()
    ]
    return histograms.quartiles(
        rows, "Median and quartiles of the completion tokens of correct and of other attempts, by source", "tokens"
    )


def _letters(letters: Table) -> str:
    rows = []
    for name in letters["gold"]:
        gold, teacher = (letters[who][name] / letters["read"] for who in ("gold", "teacher"))
        rows.append((name, gold, teacher, f"{charts.percent(gold)} / {charts.percent(teacher)} %"))
    told = ", ".join(f"{name} {value}" for name, _, _, value in rows)
    return histograms.pairs(rows, f"Letters of gold and of the teacher, as shares: {told}", ("parsed", "kept"))


def _copies(duplicates: Table) -> str:
    rows = [
        (
            histograms.shortened(name),
            [("kept", row["all_different"]), ("unread", row["some_identical"]), ("wrong", row["all_identical"])],
            f"{charts.percent(row['all_identical'] / row['questions'])} % all equal",
        )
        for name, row in duplicates["sources"].items()
    ]
    return charts.stacks(rows, "Questions whose samples are all different, partly equal or all equal, by source")
