"""The figures of a report: which of a run's numbers go into which chart, and what a screen reader is told of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation import charts
from octomed_jax.evaluation.report_data import FUNNEL_STEPS, Run
from octomed_jax.evaluation.statistics import moving_average
from octomed_jax.verification.check import REASONS

Groups = Sequence[tuple[str, str, Sequence[Mapping[str, Any]]]]

STEP_WORDS = {
    "asked": "asked",
    "answered": "answered without error",
    "parsed": "answer found",
    "correct": "answer correct",
    "kept": "kept as a trace",
}
MOST_REASONS = 12


def draw(run: Run, groups: Groups) -> dict[str, str]:
    """Return figure name to its SVG."""
    return {
        "funnel": _funnel(run.funnel["total"]),
        "sources": _sources(run.funnel["sources"]),
        "reasons": charts.bars(
            [(name, n, f"{n:,}", "rejected") for name, n in rejected_reasons(run.funnel["total"]["reasons"])]
            or [("none", 0, "0", "rejected")],
            "Why attempts were rejected, by reason code",
        ),
        "loss": _loss(run),
        "accuracy": charts.intervals(
            [(heading, rows) for heading, _, rows in groups],
            "Accuracy before and after training with 95 % intervals and the best constant answer, by benchmark; "
            "the table of all figures holds the same numbers",
        ),
        "difficulty": charts.scatter(
            [(row["key"], row["error"], row["tokens"]) for row in by_difficulty(groups) if row["tokens"] is not None],
            "Mean thinking tokens against the share of questions answered wrong, a numbered point a benchmark",
            "mean thinking tokens",
        ),
        "thinking": charts.lengths(
            by_difficulty(groups), "Mean thinking tokens of right and of wrong answers, easiest benchmark first"
        ),
    }


def by_difficulty(groups: Groups) -> list[dict[str, Any]]:
    """Return the benchmarks from the easiest to the hardest, numbered, with their thinking lengths."""
    rows = sorted((row for _, _, members in groups for row in members), key=lambda row: (-row["after"], row["name"]))
    return [
        {
            "key": str(index),
            "name": row["name"],
            "error": 1 - row["after"],
            "tokens": row["thinking"],
            "right": row["thinking_right"],
            "wrong": row["thinking_wrong"],
        }
        for index, row in enumerate(rows, 1)
    ]


def rejected_reasons(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return reason codes of attempts that were rejected with their counts, most frequent first; the rest as one."""
    rejected = [item for item in counts.items() if item[1] and not REASONS.get(item[0], "").startswith("correct:")]
    rows = sorted(rejected, key=lambda item: (-item[1], item[0]))
    if len(rows) <= MOST_REASONS:
        return rows
    shown, rest = rows[: MOST_REASONS - 1], rows[MOST_REASONS - 1 :]
    return [*shown, (f"{len(rest)} other reasons", sum(count for _, count in rest))]


def _funnel(total: Mapping[str, int]) -> str:
    asked = total["asked"] or 1
    rows = [
        (STEP_WORDS[step], total[step], f"{total[step]:,} · {charts.percent(total[step] / asked)} %", step)
        for step in FUNNEL_STEPS
    ]
    return charts.bars(
        rows, "Attempts from asked to kept: " + ", ".join(f"{name} {value}" for name, _, value, _ in rows)
    )


def _sources(sources: Mapping[str, Mapping[str, int]]) -> str:
    rows = [
        (name, fates(counts), f"{counts['kept']:,} of {counts['asked']:,} kept")
        for name, counts in sorted(sources.items())
    ]
    return charts.stacks(rows, "What became of the attempts of each source, as shares")


def fates(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return what became of the attempts of a source; what was taken as published is kept without having been read."""
    asked, answered, parsed, correct, kept = (counts[step] for step in FUNNEL_STEPS)
    published = counts.get("published", 0)  # verifier 2 counted none
    return [
        ("kept", kept),
        ("surplus", correct + published - kept),
        ("wrong", parsed - correct),
        ("unread", answered - parsed - published),
        ("failed", asked - answered),
    ]


def _loss(run: Run) -> str:
    losses = [float(row["loss"]) for row in run.metrics]
    steps = [int(row["step"]) for row in run.metrics]
    smooth = moving_average(losses, max(1, len(losses) // 40))
    label = (
        f"Training loss by optimizer step, from {losses[0]:.3g} at step {steps[0]} to {losses[-1]:.3g} at {steps[-1]}"
    )
    return charts.curve(losses, smooth, steps, label, "loss, nats a target token")
