"""What the Markdown and the page of a report on results both say, as cells and sentences."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation import paper_results as paper
from octomed_jax.evaluation.comparison_text import conclusion

LETTERS = "ABCDEF"
MOST_NAME = 80
marks = {
    f"majority of {paper.MAJORITY_OF}": "†",
    "looks like a majority vote": "‡",
    "not the mean of its rows": "§",
}
mark_words = (
    ("†", f"a majority vote of {paper.MAJORITY_OF} samples, as the paper marks it"),
    ("‡", "not marked, but above the paper's own plain mean (Figure 8), as a majority vote would be"),
    ("§", "as printed; not the mean of the cells above it"),
)

# What no page may hold, or what would turn the direction of other text around: controls, halves of an emoji.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

Table = Mapping[str, Any]


def readable(text: str) -> str:
    """Return a whole page with a mark in place of every character that no page may hold."""
    return _UNSEEN.sub("\ufffd", text.replace("\r\n", "\n"))


def name_of(text: str) -> str:
    """Return a name, cut where it is very long."""
    return text if len(text) <= MOST_NAME else f"{text[: MOST_NAME - 1]}…"


def per_cent(share: float | None) -> str:
    """Return a share as per cent with one decimal; a dash for none."""
    return "–" if share is None else f"{100 * share:.1f}"


def with_interval(figures: Table | None, key: str = "bootstrap") -> str:
    """Return an accuracy with its interval in per cent; a dash for none."""
    if figures is None or figures["accuracy"] is None:
        return "–"
    low, high = figures[key]
    return f"{per_cent(figures['accuracy'])} ({per_cent(low)}–{per_cent(high)})"


def measure_words(row: Table) -> str:
    """Return a measure that is no accuracy over all questions, in per cent with its interval where it has one."""
    ends = row["interval"]
    return per_cent(row["value"]) + (f" ({per_cent(ends[0])}–{per_cent(ends[1])})" if ends else "")


def counts_of(row: Table) -> str:
    """Return the numbers of questions of a row: one where all models have as many."""
    counts = [found["n"] if found else None for found in row["results"]]
    if len(set(counts)) == 1:
        return "–" if counts[0] is None else f"{counts[0]:,}"
    return " / ".join("–" if count is None else f"{count:,}" for count in counts)


def paper_cell(cell: Table | None, key: str) -> str:
    """Return a cell of the paper, in per cent as printed, with its mark where it has one."""
    if not cell or cell[key] is None:
        return "–"
    mark = marks.get(cell["mark"], "") if key == "student" else ""
    return f"{100 * cell[key]:.{1 if key == 'plain_mean' else 2}f}{mark}"


def overall_name(category: Table) -> str:
    """Return what the mean over a category is called: an overall only where all models have all of it, whole."""
    means = category["overall"]
    if all(mean["label"] == "overall" for mean in means):
        return "overall"
    if not any(mean["missing"] for mean in means):
        return "partial mean (not all questions)"
    total = sum(row["paper"] is not None for row in category["rows"])
    have = sorted({len(mean["benchmarks"]) for mean in means})
    return f"partial mean ({' / '.join(map(str, have))} of {total})"


def missing_words(category: Table, models: Sequence[Table]) -> list[str]:
    """Return in words what of a category of the paper is missing in which model, or is there in part."""
    found: dict[str, list[str]] = {}
    for letter, mean in zip(LETTERS, category["overall"], strict=False):
        if mean["label"].startswith("none"):
            found.setdefault(f"no mean ({mean['label'].removeprefix('none: ')})", []).append(letter)
        if mean["missing"]:
            found.setdefault(f"not measured: {', '.join(mean['missing'])}", []).append(letter)
        if mean["short"]:
            found.setdefault(f"fewer questions than published: {', '.join(mean['short'])}", []).append(letter)
    return [
        text if len(letters) == len(models) else f"{text} (in {', '.join(letters)})" for text, letters in found.items()
    ]


def paper_models() -> list[str]:
    """Return the models of Table 2 with the paper's own first, the others in its order."""
    return [paper.STUDENT, *(model for model in paper.MODELS if model != paper.STUDENT)]


def measured_cell(found: Table | None) -> str:
    """Return what was measured of a row of the paper's table: the plain mean, and the vote of as many samples."""
    if found is None or found["accuracy"] is None:
        return "–"
    vote = f" (vote {per_cent(found['majority'])})" if found["majority"] is not None else ""
    return per_cent(found["accuracy"]) + vote


def rho(one: Table) -> str:
    """Return a rank correlation with its interval; which of the two intervals, and of how many pairs."""
    if one["rho"] is None:
        return "–"
    ends = one["bootstrap"] or one["fisher"]
    shown = f"{_signed(ends[0])} to {_signed(ends[1])}; " if ends else ""
    return f"{_signed(one['rho'])} ({shown}n = {one['n']:,})"


def seen_number(value: float | None) -> str:
    """Return a figure of what was seen in training: a count, or a share as per cent."""
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{100 * value:.1f} %"


def seen_names(table: Table) -> list[str]:
    """Return what figures of it there are."""
    return list(dict.fromkeys(name for row in table["seen"] for name in row["figures"]))


def _signed(value: float) -> str:
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def mean_words(mean: Table) -> str:
    """Return a mean over benchmarks with its interval, or why there is none: one of a single cluster leaves it open."""
    if mean["accuracy"] is not None and list(mean["bootstrap"]) == [0.0, 1.0]:
        return f"{per_cent(mean['accuracy'])} (no interval: a benchmark is a single cluster)"
    return with_interval(mean)


def headline(table: Table) -> str:
    """Return the title of the page."""
    names = [name_of(model["name"]) for model in table["models"]]
    n = len({row["name"] for category in table["categories"] for row in category["rows"] if row["measured"]})
    what = "1 benchmark" if n == 1 else f"{n} benchmarks"
    who = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{who} on {what}"


def lead(table: Table) -> str:
    """Return what is to be known first: the comparison's verdict, or the mean of all with its interval."""
    found = [one for one in table["comparisons"] if one["comparison"]]
    if len(found) == 1 and len(table["models"]) == 2:
        return f"A is {name_of(found[0]['a'])}, B is {name_of(found[0]['b'])}. {conclusion(found[0]['comparison'])}."
    parts = []
    for letter, model, mean in zip(LETTERS, table["models"], table["mean_of_all"], strict=False):
        who = f"{letter} ({name_of(model['name'])})" if len(table["models"]) > 1 else "Mean accuracy"
        n = len(mean["benchmarks"])
        parts.append(f"{who}, in per cent over {n} benchmark{'s' if n != 1 else ''}: {mean_words(mean)}")
    return "; ".join(parts) + "."


def missing_parts(table: Table) -> list[str]:
    """Return what this report lacks, and why."""
    words = [
        f"{name_of(model['name'])}: no samples lie beside its results, so that its examples, failures by reason, "
        "lengths against difficulty and paired comparisons are missing"
        for model in table["models"]
        if not model["has_samples"]
    ]
    words += [
        f"{name_of(one['a'])} and {name_of(one['b'])} are not compared: {one['why_not']}"
        for one in table["comparisons"]
        if one["why_not"]
    ]
    pairs = zip(table["models"], table["votes"], strict=True)
    if single := [name_of(model["name"]) for model, one in pairs if not one]:
        words.append(f"{', '.join(single)}: no two samples of every question, so that votes and pass rates are missing")
    if not table["seen"]:
        words.append("what was seen in training is not in these results, so that nothing is said of it")
    return words


def hidden_words(told: Table) -> list[str]:
    """Return in words which samples are not shown as examples because they are not open."""
    words = [
        f"{name_of(one['benchmark'])} ({name_of(one['model'])}): {one['samples']:,} samples are of a credentialed "
        "source, and none of them is shown"
        for one in told["credentialed"]
    ]
    if told["credentialed_folders"]:
        words.append(
            f"the folder of {', '.join(map(name_of, told['credentialed_folders']))} is marked credentialed as a whole; "
            "--questions=DIR tells which of its questions are open"
        )
    return words
