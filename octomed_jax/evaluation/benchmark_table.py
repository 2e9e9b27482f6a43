"""The registry of benchmarks as tables: those of docs/evaluation-benchmarks.md, and cells of the terminal's."""

from octomed_jax.evaluation.benchmarks import ALL, CATEGORIES, Benchmark

HEADINGS = ("benchmark", "in tables", "questions", "read with (source:split)", "metric", "asked for", "licence")


def markdown_tables() -> str:
    """Return a table for each category, and what is to be known of single benchmarks."""
    parts = []
    for category in CATEGORIES:
        rows = [_row(one) for one in ALL if one.category == category]
        lines = [f"### {category[0].upper()}{category[1:]}", "", _line(HEADINGS), _line(["---"] * len(HEADINGS))]
        parts.append("\n".join([*lines, *map(_line, rows)]))
    notes = [f"- `{one.name}`: {one.note}." for one in ALL if one.note]
    parts.append("\n".join(["### What has to be known of some", "", *notes]))
    return "\n\n".join(parts)


def _row(one: Benchmark) -> list[str]:
    title = one.title.replace("|", "\\|") + ("\\*" if one.in_domain else "")
    access = " (credentialed)" if one.access == "credentialed" else ""
    return [
        f"`{one.name}`",
        title,
        questions_of(one),
        read_with(one, "`"),
        one.metric,
        one.style,
        "; ".join(one.licences) + access or "-",
    ]


def _line(cells: "list[str] | tuple[str, ...]") -> str:
    return f"| {' | '.join(cells)} |"


def questions_of(one: Benchmark) -> str:
    """Return how many questions a benchmark has."""
    return "?" if one.questions is None else f"{one.questions:,}"


def read_with(one: Benchmark, quote: str = "") -> str:
    """Return what a benchmark is read with; a dagger where no true file was seen with that adapter."""
    marks = {True: "", False: "†"}
    names = [f"{quote}{reading.source}:{reading.split}{quote}{marks[reading.adapter.seen]}" for reading in one.readings]
    return ", ".join(names) or "-"
