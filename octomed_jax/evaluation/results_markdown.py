"""``results.md``: the tables of a report on results, for a README or a review."""

from collections.abc import Mapping
from typing import Any

from octomed_jax.evaluation import paper_results as paper
from octomed_jax.evaluation import results_words as words
from octomed_jax.evaluation.comparison_text import HEAD, conclusion, rows
from octomed_jax.evaluation.data_card_markdown import bullets, grid
from octomed_jax.evaluation.results_numbers import BASE
from octomed_jax.plain_text import plain

Table = Mapping[str, Any]


def write_markdown(table: Table) -> str:
    """Return results.md."""
    parts = [f"# {plain(words.headline(table))}", plain(words.lead(table))]
    if len(table["models"]) > 1:
        named = zip(words.LETTERS, table["models"], strict=False)
        parts.append(bullets(f"{letter}: {words.name_of(model['name'])}" for letter, model in named))
    parts += [
        *_accuracy(table),
        *_measures(table),
        *_compared(table),
        *_votes(table),
        *_lengths(table),
        *_failures(table),
    ]
    parts += [*_seen(table), *_paper(table), *_settings(table)]
    if lacking := words.missing_parts(table):
        parts += ["## What is missing here", bullets(lacking)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _letters(table: Table) -> list[str]:
    return [*words.LETTERS[: len(table["models"])]] if len(table["models"]) > 1 else ["accuracy"]


def _accuracy(table: Table) -> list[str]:
    parts = [
        "## Accuracy",
        "Per cent, with the 95 % interval of a bootstrap over clusters (images, patients); a question without one is "
        f"its own. {BASE}, {paper.STUDENT} and its plain mean are the paper's figures ({paper.TABLE}; {paper.FIGURE}), "
        "not ours.",
    ]
    for category in table["categories"]:
        theirs = category["paper"] is not None
        head = ["benchmark", "n", *_letters(table)]
        head += [f"{BASE}, paper", f"{paper.STUDENT}, paper", "its plain mean, paper"] if theirs else []
        body = [_row(row, theirs) for row in category["rows"]]
        if for_all := category["overall"]:
            means = [words.with_interval(one) for one in for_all]
            body.append([words.overall_name(category), "", *means, *_paper_cells(category["paper"], theirs)])
        parts += [f"### {category['category'][0].upper()}{category['category'][1:]}", grid(head, body)]
        parts.append(bullets(words.missing_words(category, table["models"])))
    if len({row["name"] for one in table["categories"] for row in one["rows"] if row["measured"]}) > 1:
        cells = "; ".join(
            f"{letter} {words.mean_words(one)} over {len(one['benchmarks'])}"
            for letter, one in zip(_letters(table), table["mean_of_all"], strict=True)
        )
        parts.append(f"Mean of all measured: {cells}.")
    return parts


def _measures(table: Table) -> list[str]:
    body = [
        [
            words.name_of(row["benchmark"]),
            words.LETTERS[row["model"]],
            row["what"],
            "–" if row["n"] is None else f"{row['n']:,}",
            words.measure_words(row),
            "–" if row["paper"] is None else words.per_cent(row["paper"]),
            row["note"],
        ]
        for row in table["measures"]
    ]
    head = ["benchmark", "model", "measure", "n", "per cent", f"{paper.LEGACY_SOURCE}", "note"]
    return ["### Other measures", grid(head, body)] if body else []


def _row(row: Table, theirs: bool) -> list[str]:
    cells = [words.with_interval(found) for found in row["results"]] if row["measured"] else []
    cells = cells or ["not measured"] * len(row["results"])
    count = words.counts_of(row) + (f" of {row['questions']:,}" if row["short"] else "")
    return [words.name_of(row["title"]), count, *cells, *_paper_cells(row["paper"], theirs)]


def _paper_cells(cell: Table | None, theirs: bool) -> list[str]:
    return [words.paper_cell(cell, key) for key in ("base", "student", "plain_mean")] if theirs else []


def _compared(table: Table) -> list[str]:
    parts = []
    for letter, one in zip(words.LETTERS[1:], table["comparisons"], strict=False):
        if one["comparison"]:
            head = [letter if cell == "B" else cell.replace("B −", f"{letter} −") for cell in HEAD]
            parts += [
                f"## {plain(words.name_of(one['a']))} against {plain(words.name_of(one['b']))}",
                f"{conclusion(one['comparison'])}. Here B is {letter}." if letter != "B" else
                f"{conclusion(one['comparison'])}.",
                grid(head, rows(one["comparison"])),
                bullets(one["comparison"]["notes"]),
            ]  # fmt: skip
    return parts


def _votes(table: Table) -> list[str]:
    body = [
        [letter, kind, *(words.per_cent(one[key][k]) for k in one[key])]
        for letter, one in zip(words.LETTERS, table["votes"], strict=False)
        if one
        for key, kind in (("maj_at", "vote"), ("pass_at", "at least one right"))
    ]
    if not body:
        return []
    widest = max(len(row) for row in body)
    sizes = next(list(one["maj_at"]) for one in table["votes"] if one and len(one["maj_at"]) == widest - 2)
    body = [row + ["–"] * (widest - len(row)) for row in body]
    return ["## Votes", "Means over the benchmarks, per cent.", grid(["model", "k", *sizes], body)]


def _lengths(table: Table) -> list[str]:
    if not any(table["calibration"]):
        return []
    body = []
    for letter, one in zip(words.LETTERS, table["calibration"], strict=False):
        if one:
            within = [words.rho(one["within"][view]) for view in ("finished", "with_cut", "apart")]
            body.append([letter, words.rho(one["across"]), *within])
    for model, found in table["paper_lengths"].items():
        body.append([f"{model}, paper", words.rho(found["across"]), "–", "–", "–"])
    head = ["model", "across benchmarks", "within, finished", "within, with cut", "within, apart"]
    return [
        "## Thinking length against difficulty",
        "Spearman's rank correlation with 95 % intervals; positive: longer on what is harder. The paper's lengths are "
        "of whole responses, ours of thoughts.",
        grid(head, body),
    ]


def _failures(table: Table) -> list[str]:
    found = [
        (name, letter, counts)
        for letter, one in zip(words.LETTERS, table["failures"], strict=False)
        for name, counts in one.items()
    ]
    kinds = [kind for kind in ("correct", "wrong", "answered", "unparsed", "truncated", "failed")
             if any(kind in counts for *_, counts in found)]  # fmt: skip
    body = [
        [words.name_of(name), letter, *(f"{counts[kind]:,}" if kind in counts else "–" for kind in kinds)]
        for name, letter, counts in sorted(found, key=lambda one: one[:2])
    ]
    return ["## What became of the samples", grid(["benchmark", "model", *kinds], body)]


def _seen(table: Table) -> list[str]:
    names = words.seen_names(table)
    body = []
    for row in table["seen"]:
        numbers = [words.seen_number(row["figures"].get(name)) for name in names]
        body.append([words.name_of(row["benchmark"]), words.name_of(row["model"]), *numbers])
    return ["## Seen in training", grid(["benchmark", "model", *names], body)] if body else []


def _paper(table: Table) -> list[str]:
    if not any(found for row in table["paper_table"] for found in row["measured"]):
        return []
    head = ["", *(f"{letter}, measured" for letter in words.LETTERS[: len(table["models"])]), *words.paper_models()]
    body = []
    for row in table["paper_table"]:
        cells = [row["cells"].get(model) for model in words.paper_models()]
        theirs = [
            "–" if cell is None else f"{cell['accuracy']:.2f}{words.marks.get(cell['mark'], '')}" for cell in cells
        ]
        body.append([row["row"], *map(words.measured_cell, row["measured"]), *theirs])
    marks = "; ".join(f"{mark} {meaning}" for mark, meaning in words.mark_words)
    return ["## The paper's Table 2", f"All but the measured columns are {paper.TABLE}. {marks}.", grid(head, body)]


def _settings(table: Table) -> list[str]:
    head = ["setting", *words.LETTERS[: len(table["models"])]]
    body = [[row["name"], *row["values"]] for row in table["settings"]]
    return ["## Settings", grid(head, body)] if body else []
