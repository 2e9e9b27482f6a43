"""``CARD.md``: the card of a corpus as Markdown, for whoever opens the folder without a browser."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation import data_card_rows as rows
from octomed_jax.evaluation.data_card_figures import region_shares
from octomed_jax.evaluation.data_card_funnel import ATTEMPT_STEPS
from octomed_jax.plain_text import plain

Table = Mapping[str, Any]


def write_card(table: Table, samples: Mapping[str, Sequence[Table]]) -> str:
    """Return CARD.md.

    Args:
        table: the content of card.json.
        samples: source to what is shown of its sample traces.
    """
    counts = table["counts"]
    parts = [
        "# Data card",
        f"{counts['instances']:,} training rows of {counts['questions']:,} questions from {len(table['by']['source'])} "
        f"source(s); written by `octomed data card`. Access class: **{table['access']}**. Only final answers were "
        "checked: the reasoning above a right answer may be wrong. Not for clinical use.",
        plain(rows.release_words(table)),
        *(plain(note) for note in table["licence_notes"]),
        "## Numbers",
        grid(["", "this corpus", f"the paper ({table['paper']['reference']})"], rows.number_rows(table)),
        rows.tokenizer_words(table),
        *_composition(table),
        *_funnel(table),
        *_mixture(table),
        *_contamination(table),
        *_licences(table),
        "## Who wrote the responses",
        bullets(map(rows.teacher_words, table["teachers"])) or "The shards name no teacher.",
        *_samples(table, samples),
        *_missing(table),
        f"Shards `{table['shards']}`; the same figures for scripts: `card.json`, with pictures: `card.html`.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _composition(table: Table) -> list[str]:
    parts = ["## Composition"]
    for field, words in rows.FIELD_WORDS.items():
        total = table["counts"]["instances"]
        lengths = ("mean_question_tokens", "mean_response_tokens") if table["lengths"] else ()
        head = [words, "questions", "training rows", "share", "unique images"]
        head += ["mean question, tokens", "mean CoT, tokens"] if lengths else []
        body = [
            [name, *map(rows.amount, (row["questions"], row["instances"])), rows.share(row["instances"], total)]
            + [rows.amount(row[key]) for key in ("unique_images", *lengths)]
            for name, row in table["by"][field].items()
        ]
        parts.append(grid(head, body))
    regions = [
        [name, f"{100 * here:.1f} %", "–" if there is None else f"{100 * there:.2f} %"]
        for name, here, there in region_shares(table)
    ]
    parts.append(
        "Body regions as shares of the different images whose region is known; the paper does not say what its shares "
        "are of:"
    )
    return [*parts, grid(["body region", "this corpus", "the paper"], regions)]


def _funnel(table: Table) -> list[str]:
    steps = rows.question_steps(table)
    named = [*table["funnel"]["sources"].items(), ("all", table["funnel"]["total"])]
    questions = [[name, *(rows.amount(row["questions"][step]) for step, _ in steps)] for name, row in named]
    parts = ["## Funnel", "Questions:", grid(["source", *(words for _, words in steps)], questions)]
    if table["funnel"]["total"]["attempts"]["asked"] is None:
        return parts
    head = ["source", *(step.replace("_", " ") for step in ATTEMPT_STEPS), "accepted"]
    attempts = [
        [
            name,
            *(rows.amount(row["attempts"][step]) for step in ATTEMPT_STEPS),
            rows.share(row["attempts"]["kept"], row["attempts"]["asked"]),
        ]
        for name, row in named
    ]
    return [*parts, "Attempts:", grid(head, attempts)]


def _mixture(table: Table) -> list[str]:
    body = [
        [
            rows.share(row[name], 1)
            if name.startswith("share")
            else str(row[name])
            if name == "source"
            else rows.amount(row[name])
            for name in rows.MIXTURE_WORDS
        ]
        for row in rows.mixture_rows(table)
    ]
    return (
        ["## What an epoch holds", rows.mixture_words(table), grid([*rows.MIXTURE_WORDS.values()], body)]
        if body
        else []
    )


def _contamination(table: Table) -> list[str]:
    parts = ["## Held-out questions and copies", f"{rows.curation_words(table)} {rows.against_words(table)}".strip()]
    if removed := rows.removed_rows(table):
        parts.append(
            grid(["step", "a question that", "questions"], [[*row[:2], rows.amount(row[2])] for row in removed])
        )
    if matched := rows.matched_rows(table):
        head = ["benchmark", "taken out for it", "held-out questions matched", "of"]
        parts.append(grid(head, [[row[0], *map(rows.amount, row[1:])] for row in matched]))
    return parts


def _licences(table: Table) -> list[str]:
    body = []
    for source, row in table["licences"].items():
        names = "; ".join(
            f"{licence or 'none given'}{f' ({count:,})' if len(row['licences']) > 1 else ''}"
            for licence, count in row["licences"].items()
        )
        questions = rows.amount(table["by"]["source"][source]["questions"])
        body.append([source, names, ", ".join(row["access"]), questions])
    return ["## Licences and access", grid(["source", "licences", "access", "questions"], body)]


def _samples(table: Table, samples: Mapping[str, Sequence[Table]]) -> list[str]:
    parts = ["## Sample traces", bullets(rows.hidden_words(table))]
    for source, items in samples.items():
        item = items[0]
        options = [text + (" (gold)" if gold else "") for text, gold in item["options"]]
        if not options and item["answer"]:
            options = [f"gold: {item['answer']}"]
        images = f" with {item['n_images']} image(s), which `card.html` shows" if item["n_images"] else ""
        parts += [
            f"### {plain(source)}",
            f"`{plain(item['id'])}`{images}:",
            fenced("\n".join([item["question"], *options])),
            "<details><summary>Accepted response</summary>",
            fenced("\n\n".join(part for part in (item["thinking"], item["final"]) if part)),
            "</details>",
        ]
    return parts


def _missing(table: Table) -> list[str]:
    if not table["missing"]:
        return []
    body = [[row["what"], row["why"], row["lacks"]] for row in table["missing"]]
    return ["## Not found, and so not in this card", grid(["what", "why", "what the card lacks"], body)]


def grid(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns after the first that hold numbers stand right."""
    right = [
        place > 0 and all(re.fullmatch(r"[-–\d,. %]*|not counted", row[place]) for row in body)
        for place in range(len(head))
    ]
    lines = [head, ["---:" if side else "---" for side in right], *body]
    return "\n".join(f"| {' | '.join(plain(cell) or ' ' for cell in line)} |" for line in lines)


def bullets(texts: "Any") -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {plain(text)}" for text in texts)


def fenced(text: str) -> str:
    """Return foreign text as a block that nothing in it can end."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"
