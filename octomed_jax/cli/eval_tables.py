"""What `octomed eval run` and `octomed eval score` show of a results.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from octomed_jax.errors import UserError
from octomed_jax.plain_text import printed
from octomed_jax.progress import console
from octomed_jax.storage import in_bucket

_SHOWN_LOST = 5  # ids of questions without an answer


def check_output(output: str) -> None:
    """Refuse a place for results that is no disk.

    Raises:
        UserError: it is a bucket.
    """
    if in_bucket(output):
        raise UserError(f"--output={output} lies in a bucket; results are written to a disk: name one, and copy them")


def print_results(results: Mapping[str, Any]) -> None:
    """Print a line a benchmark, and what else there is in lines below."""
    benchmarks = results["benchmarks"]
    table = Table()
    table.add_column("benchmark", min_width=12, overflow="fold")
    for title in ("n", "best constant", "accuracy", "95 % interval", "majority", "unparsed /cut /failed"):
        table.add_column(title, justify="right", min_width=max(map(len, title.split())), overflow="fold")
    for name, figures in benchmarks.items():
        table.add_row(
            Text(printed(name)),
            str(figures["n"]),
            _share(figures["baseline"]),
            _share(figures["accuracy"]),
            _interval(figures["bootstrap"]),
            _majority(figures),
            "/".join(str(figures[count]) for count in ("unparsed", "truncated", "failed")),
        )
    console.print(table)
    for line in [line for name, figures in benchmarks.items() for line in _more(name, figures)]:
        console.print(printed(line), markup=False, highlight=False)
    for name, category in results["categories"].items():
        console.print(_category(name, category), markup=False, highlight=False)


def _majority(figures: Mapping[str, Any]) -> str:
    """Return the vote that was asked for, else the one of most samples."""
    if vote := figures.get("vote"):
        return "-" if vote["accuracy"] is None else f"{vote['accuracy']:.1%}@{vote['of']}"
    k = max(figures["maj_at"], key=int, default="")
    return f"{figures['maj_at'][k]:.1%}@{k}" if k else "-"


def _more(name: str, figures: Mapping[str, Any]) -> list[str]:
    """Return what a benchmark has beside its row, in words."""
    lines = []
    if lost := figures["only_failed"]:
        more = f" and {len(lost) - _SHOWN_LOST} more" if len(lost) > _SHOWN_LOST else ""
        lines.append(f"{name}: every request of {', '.join(lost[:_SHOWN_LOST])}{more} failed; not counted in n")
    parts = []
    if (closed := figures.get("closed")) and closed["n"]:
        parts.append(f"closed {_share(closed['accuracy'])} of {closed['n']}")
    if (scores := figures.get("token_f1")) and scores["n"]:
        parts.append(f"open token F1 {_share(scores['mean'])} of {scores['n']}, by {scores['tokenizer']}")
    if (scores := figures.get("rouge_l")) and scores["n"]:
        parts.append(f"ROUGE-L {_share(scores['mean'])} of {scores['n']}")
    if labels := figures.get("label_f1"):
        parts.append(f"label F1 {_share(labels['micro']['f1'])} micro, {_share(labels['macro_f1'])} macro")
    if seen := figures.get("seen"):
        apart = f"{_share(seen['accuracy_seen'])} right of these, {_share(seen['accuracy_unseen'])} of the others"
        parts.append(f"{seen['seen']} of {seen['n']} seen in training ({apart})")
    return [*lines, f"{name}: {'; '.join(parts)}"] if parts else lines


def _category(name: str, figures: Mapping[str, Any]) -> str:
    mean = figures["partial"] if figures["overall"] is None else figures["overall"]
    vote = f"; majority of {figures['vote']['of']}: {_share(figures['vote']['accuracy'])}" if "vote" in figures else ""
    return f"{name}, {figures['label']}: {_share(mean)} ({_interval(figures['bootstrap'])}){vote}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _interval(ends: Sequence[float] | None) -> str:
    """Return a 95 % interval in per cent."""
    return "-" if ends is None else f"{100 * ends[0]:.1f}-{100 * ends[1]:.1f}"
