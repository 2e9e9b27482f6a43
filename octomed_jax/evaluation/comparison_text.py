"""A comparison of two evaluations as rows of a table, and as Markdown."""

from collections.abc import Mapping
from typing import Any

from octomed_jax.evaluation.comparison import NO_EVIDENCE
from octomed_jax.evaluation.data_card_markdown import bullets, grid, plain

NUMBERS = ("benchmark", "n", "A", "B", "B − A", "95 % interval", "p, Holm")
HEAD = (*NUMBERS, "verdict", "could have shown")
ALL = "mean of all"

Comparison = Mapping[str, Any]


def rows(comparison: Comparison) -> list[list[str]]:
    """Return a row of texts for each benchmark and, of several, for the means over them; columns as in HEAD."""
    body = [_row(name, str(one["n"]), one, one["p_holm"]) for name, one in comparison["benchmarks"].items()]
    body += [
        _row(f"{name}, {one['label'].partition(' ')[0]}", "", one, one["p_holm"]) for name, one in _means(comparison)
    ]
    if len(comparison["benchmarks"]) > 1:
        body.append(_row(ALL, "", comparison["overall"], comparison["overall"]["p"]))
    return body


def sentences(comparison: Comparison) -> list[str]:
    """Return the verdict of each benchmark, and of the means over them, in words."""
    found = {**comparison["benchmarks"], **{f"{name}, {one['label']}": one for name, one in _means(comparison)}}
    if len(comparison["benchmarks"]) > 1:
        found[ALL] = comparison["overall"]
    return [f"{name}: {one['verdict']}{_could(one)}" for name, one in found.items()]


def _means(comparison: Comparison) -> list[tuple[str, Comparison]]:
    """Return the categories that are a mean over several benchmarks."""
    return [(name, one) for name, one in comparison["categories"].items() if len(one["benchmarks"]) > 1]


def _could(one: Comparison) -> str:
    if one["verdict"] != NO_EVIDENCE:
        return ""
    least = one["smallest_difference"]
    if least is None:
        return "; so few questions could not have shown any"
    return f"; these questions could have shown one of {100 * least:.1f} points"


def conclusion(comparison: Comparison) -> str:
    """Return the last line: who is better on the mean, and on how many benchmarks."""
    verdicts = [one["verdict"] for one in comparison["benchmarks"].values()]
    overall = comparison["overall"]
    low, high = overall["interval"]
    counts = ", ".join(f"{verdict} on {verdicts.count(verdict)}" for verdict in sorted(set(verdicts)))
    several = f" on the mean of {len(verdicts)} benchmarks" if len(verdicts) > 1 else ""
    return f"{overall['verdict']}{several}: B − A is {_points(overall['difference'])} ({_range(low, high)}); {counts}"


def write_markdown(comparison: Comparison) -> str:
    """Return compare.md."""
    a, b = comparison["a"], comparison["b"]
    parts = [
        "# Two evaluations compared",
        f"A: {plain(a['name'])} ({a['samples']} samples, verdicts {a['verdicts']})  \n"
        f"B: {plain(b['name'])} ({b['samples']} samples, verdicts {b['verdicts']})",
        f"**{conclusion(comparison)}.**",
        grid(HEAD, rows(comparison)),
        _how_to_read(comparison),
    ]
    for title, kind in (("Allowed to differ", "allowed"), ("Also differs, and does not hinder", "noted")):
        if comparison[kind]:
            lines = [f"{name}: {two[0]!r} in A, {two[1]!r} in B" for name, two in comparison[kind].items()]
            parts += [f"## {title}", bullets(lines)]
    if comparison["notes"]:
        parts += ["## Notes", bullets(comparison["notes"])]
    return "\n\n".join(parts) + "\n"


def _row(name: str, n: str, one: Comparison, p: float) -> list[str]:
    a, b = one["accuracy"]
    low, high = one["interval"]
    least = one["smallest_difference"]
    shown = "nothing" if least is None else f"{100 * least:.1f}"
    return [
        name,
        n,
        f"{100 * a:.1f}",
        f"{100 * b:.1f}",
        _points(one["difference"]),
        _range(low, high),
        "≤ 0.0001" if p <= 0.0001 else f"{p:.4f}",
        one["verdict"],
        shown,
    ]


def _points(share: float) -> str:
    """Return a difference in points of per cent, with its sign; 0 has none."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def _range(low: float, high: float) -> str:
    return f"{_points(low)} to {_points(high)}"


def _how_to_read(comparison: Comparison) -> str:
    return (
        "Accuracies are per cent, differences points. The interval is a bootstrap over clusters of the paired "
        f"differences ({comparison['resamples']:,} samples), of one benchmark at a time. A verdict follows from p: the "
        "sign-flip test of the paired differences (with one sample a question and no clusters McNemar's exact test), "
        f"adjusted by Holm over {len(comparison['benchmarks'])}. *No evidence of a difference* does not say that "
        "they are equal: *could have shown* is the true difference in points that these questions would have found in "
        f"{100 * comparison['power']:.0f} of 100 cases. A mean counts every benchmark the same. Means of categories "
        "are adjusted by Holm among themselves, and *partial* where benchmarks or questions are missing; the mean of "
        "all is one test more."
    )
