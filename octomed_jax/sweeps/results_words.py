"""Words and numbers of a sweep's results as they are printed, in its page, its Markdown and its command."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation.charts import number
from octomed_jax.sweeps.best import Best
from octomed_jax.sweeps.paper import TOKENS, benchmarks_of
from octomed_jax.sweeps.rows import LOSSES, OVERALL, Row, Sweep

NONE = "–"
UNSAFE = str.maketrans({"|": "\\|", "\n": " ", "\r": " "})  # in a cell of Markdown


def metric_name(metric: str) -> str:
    """Return a metric in words."""
    words = {OVERALL: "overall accuracy", "held_out_loss": "held-out loss", "loss": "training loss"}
    return words.get(metric, f"accuracy on {metric}")


def metric_unit(metric: str) -> str:
    """Return its name with its unit, for an axis."""
    return f"{metric_name(metric)}, {'nats a token' if metric in LOSSES else '%'}"


def value_text(value: float | None, metric: str) -> str:
    """Return a value: per cent of an accuracy, four figures of a loss."""
    if value is None:
        return NONE
    return f"{value:.4g}" if metric in LOSSES else f"{100 * value:.1f}"


def span_text(ends: Sequence[float | None] | None, metric: str) -> str:
    """Return an interval; a dash where there is none."""
    if ends is None or None in ends:
        return NONE
    return f"{value_text(ends[0], metric)} to {value_text(ends[1], metric)}"


def with_span(found: Mapping[str, Any] | None) -> str:
    """Return an accuracy in per cent with its interval."""
    if not found or found["accuracy"] is None:
        return ""
    text = f"{100 * found['accuracy']:.1f}"
    return text if found["low"] is None else f"{text} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def number_text(value: float | None) -> str:
    """Return a number for reading; a dash for nothing."""
    return NONE if value is None else number(value)


def counts_text(sweep: Sweep) -> str:
    """Return how many points are done, failed, stopped and missing."""
    return ", ".join(f"{count} {state}" for state, count in sweep.counts.items() if count or state == "done")


def best_lines(best: Best | None, labels: Mapping[str, str]) -> list[str]:
    """Return what is to be said of the best, a sentence a line."""
    if best is None:
        return ["No run is done and has a value of the metric yet, so that none is the best."]
    seed = next((f", {field}={value}" for field, value in best.row.changes.items() if field.endswith("seed")), "")
    value = f"{value_text(best.value, best.metric)}{'' if best.metric in LOSSES else ' %'}"
    interval = (
        f" (95 % interval over questions {span_text((best.low, best.high), best.metric)})"
        if best.low is not None
        else ""
    )
    lines = [
        f"Best by {metric_name(best.metric)} ({best.split}): {best.row.id} at step {best.row.step} "
        f"({labels[best.row.group]}{seed}), {value}{interval}, the best of {tries_text(best)}."
    ]
    if best.ties:
        lines.append(f"Tied, and the first of the sweep taken: {', '.join(best.ties)}.")
    if best.bias is None:
        lines.append(f"How much of it is luck of the draw cannot be told: {best.why_no_bias}.")
    elif best.tries > 1:
        points = f"{100 * max(best.bias, 0.0):.1f} points"  # by chance of the draws it can be just below nothing
        lines.append(
            f"The best of {best.tries} is biased upward: by picking it on these questions it is expected to look "
            f"{points} better than it is ({100 * (best.value - max(best.bias, 0.0)):.1f} % without them)."
        )
    if best.warning:
        lines.append(f"Warning: {best.warning}.")
    return lines


def tries_text(best: Best) -> str:
    """Return the number of tries."""
    tries = f"{best.tries} {'try' if best.tries == 1 else 'tries'}"
    return tries if best.points == best.tries else f"{tries} ({best.points} runs at their marks)"


def claim_text(claim: Mapping[str, Any]) -> str:
    """Return what was found of a claim: the difference with its interval, or why there is none."""
    result = claim["result"]
    if result["difference"] is None:
        return str(result["why"])
    tokens = claim["measure"] == TOKENS
    factor, unit = (1.0, "tokens") if tokens else (100.0, "points")
    ends = result["interval"]
    told = "no interval" if ends is None else f"{factor * ends[0]:+.1f} to {factor * ends[1]:+.1f}"
    return f"{factor * result['difference']:+.1f} {unit} [{told}]".replace("-", "−")


def runs_text(claim: Mapping[str, Any]) -> str:
    """Return how many runs stand on either side of a claim."""
    return "{}, {}".format(*claim["result"]["runs"])


def mark_text(row: Row) -> str:
    """Return the mark of a row."""
    return "" if row.x is None else f"{row.x:g}"


def columns_text(paper: Mapping[str, Any], column: str) -> str:
    """Return our benchmarks that stand beside a column of the paper's."""
    return ", ".join(benchmarks_of(paper, column))


def intervals_text(sweep: Sweep) -> str:
    """Say what the intervals of accuracies are about."""
    text = "Accuracy in %, with the 95 % interval over questions (bootstrap by cluster)."
    if sweep.one_cluster:
        text += (
            f" All questions of {', '.join(sweep.one_cluster)} are of one cluster, such as slices of one brain: there "
            "the interval is over its questions, and says nothing of others."
        )
    return text
