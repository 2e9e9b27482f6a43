"""The card of a questions folder: what is in it, where it comes from, and under which terms."""

from collections import Counter
from collections.abc import Mapping, Sequence

from octomed_jax.questions.packages.source import Source
from octomed_jax.schema import Question


def count_by_benchmark(questions: Sequence[Question]) -> dict[str, dict[str, int]]:
    """Return benchmark to split to number of questions, sorted by name."""
    counts = Counter((question.benchmark, question.split) for question in questions)
    return {
        benchmark: {split: counts[benchmark, split] for split in ("train", "test")}
        for benchmark in sorted({name for name, _ in counts})
    }


def write_card(
    sources: Sequence[Source], questions: Sequence[Question], dropped: Mapping[str, Mapping[str, int]], seed: int
) -> str:
    """Return the card as Markdown: sources with licence, attribution and pinned files, then counts."""
    lines = [
        "# Questions",
        "",
        "Made by `octomed questions build`. Not for clinical use: these questions show that the recipe works.",
        "Questions of the split `test` are held out by brain, study, picture, category, disease, term, medicine, "
        "calculator or input, never distilled.",
        "Answers and explanations come from tables and formulas, not from physicians.",
        "",
        f"Seed {seed}; {len(questions)} questions.",
        "",
    ]
    counts = count_by_benchmark(questions)
    for source in sources:
        lines += [f"## {source.name}", "", source.title[0].upper() + source.title[1:] + ".", ""]
        lines += [f"- Licence: {source.licence}", f"- Access: {source.access}", f"- Attribution: {source.attribution}"]
        lines += [
            f"- Read from: {package.name} {package.version} ({package.registry}), `{package.filename}`, "
            f"SHA-256 `{package.sha256}`"
            for package in source.packages
        ]
        lines += [f"- Left out: {count} ({reason})" for reason, count in sorted(dropped.get(source.name, {}).items())]
        lines += ["", "| benchmark | train | test |", "| --- | ---: | ---: |"]
        lines += [
            f"| {name} | {counts[name]['train']} | {counts[name]['test']} |" for name in source.gives if name in counts
        ]
        lines.append("")
    return "\n".join(lines)
