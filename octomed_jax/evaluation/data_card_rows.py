"""What the Markdown and the page of a corpus card both say, as rows and sentences."""

from collections.abc import Mapping
from typing import Any

from octomed_jax.curation.card import MEANINGS
from octomed_jax.curation.evaluation_sets import OWN
from octomed_jax.evaluation.curated_figures import matched_name
from octomed_jax.evaluation.data_card_figures import QUESTION_WORDS
from octomed_jax.evaluation.data_card_funnel import QUESTION_STEPS

COUNT_WORDS = {
    "instances": "instances (training rows)",
    "vision_language": "vision-language instances",
    "text_only": "text-only instances",
    "unique_images": "unique images",
    "unique_questions": "unique questions",
    "traces_per_question": "mean traces a question",
}
LENGTH_WORDS = {"question": "mean question length, tokens", "response": "mean CoT length, tokens"}
FIELD_WORDS = {
    "source": "source",
    "modality": "modality",
    "body_region": "body region",
    "task": "task",
    "benchmark": "benchmark",
}

MIXTURE_WORDS = {
    "source": "source",
    "questions": "questions",
    "examples": "training rows",
    "examples_an_epoch": "rows of an epoch",
    "share_of_examples": "share of rows",
    "tokens": "tokens of an epoch",
    "share_of_tokens": "share of tokens",
    "images": "images of an epoch",
}

Table = Mapping[str, Any]


def number_rows(table: Table) -> list[tuple[str, str, str]]:
    """Return the numbers of the paper's Figure 2: what, here, in the paper."""
    paper = table["paper"]
    rows = [
        (words, amount(table["counts"][name]), amount(paper["counts"][name])) for name, words in COUNT_WORDS.items()
    ]
    for name, words in LENGTH_WORDS.items():
        here = amount(table["lengths"][name]["mean"]) if table["lengths"] else "not counted"
        rows.append((words, here, amount(paper["mean_tokens"][name])))
    return rows


def release_words(table: Table) -> str:
    """Return whether the corpus was made to be passed on."""
    settings = table["settings"].get("traces", {})
    if not settings.get("release"):
        return "Not marked for release: whether its licences allow one was not asked (config.traces.release)."
    words = "Marked for release: no source is credentialed or allows no derivatives, and all terms are known by name"
    if read := settings.get("permitted"):
        return f"{words}, or were read by whoever made it: {', '.join(read)}."
    return f"{words}."


def amount(value: "float | int | None") -> str:
    """Return a number for a table: thousands apart, a fraction with two figures; a dash for what is not known."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")


def share(part: int, whole: int) -> str:
    """Return a share in per cent with one figure after the point; a dash where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def tokenizer_words(table: Table) -> str:
    """Return by whose tokens lengths are counted, as a sentence."""
    if not table["lengths"]:
        return "Lengths in tokens are not counted: the shards were not rendered for a student."
    one = table["lengths"]["tokenizer"]
    return (
        f"Tokens are of {one['name']} ({one['entries']:,} entries, SHA-256 {one['sha256'][:12]}). A question counts "
        f"with its options and without the chat around it, a response {_responses(table)}. The paper does not say "
        "whose tokens it counts."
    )


def _responses(table: Table) -> str:
    is_direct = table["settings"].get("traces", {}).get("format") == "direct"
    return "as the recipe has it: its answer alone, without a thought" if is_direct else "whole, with its thought"


def curation_words(table: Table) -> str:
    """Return what is known of held-out questions and copies among these, as a sentence."""
    curation = table["curation"]
    if curation["state"] == "not curated":
        return (
            "Not curated: the questions went to the teacher as they were built. Nothing was compared with held-out "
            "questions, and no copies were taken out."
        )
    if curation["state"] == "unknown":
        return "Whether the questions were curated is not known: the folders that would say so were not found."
    steps = [step["step"] for step in curation["steps"]]
    by = ", ".join(f"{step['step']} ({step['removed']:,})" for step in curation["steps"])
    taken = f"{curation['removed']:,} of {curation['before']:,} questions were taken out, by {by or 'no step'}."
    if "decontaminate" not in steps:
        return f"{taken} Nothing was compared with held-out questions: the step decontaminate was not asked for."
    return taken


def against_words(table: Table) -> str:
    """Return which held-out questions the corpus was compared with; empty where it was not."""
    curation = table["curation"]
    if curation["state"] != "curated" or "decontaminate" not in {step["step"] for step in curation["steps"]}:
        return ""
    own = f"Compared with the {curation['held_out']:,} held-out questions that are carried on"
    sets = [f"{name} ({row['of']:,})" for name, row in sorted(curation["matched"]["sets"].items()) if name != OWN]
    return f"{own}, and with the evaluation sets {', '.join(sets)}." if sets else f"{own}."


def removed_rows(table: Table) -> list[tuple[str, str, int]]:
    """Return what curation took out: step, a question of what kind, how many."""
    return [
        (step["step"], MEANINGS.get(reason, reason.replace("_", " ")), count)
        for step in table["curation"].get("steps", ())
        for reason, count in step["reasons"].items()
    ]


def matched_rows(table: Table) -> list[tuple[str, int, int, int | None]]:
    """Return by benchmark: questions taken out for one of its held-out ones, for how many of these, of how many.

    Of an evaluation set that is not carried on the name comes first; how many questions its benchmarks have is unknown.
    """
    if table["curation"]["state"] != "curated":
        return []
    return [
        (matched_name(row), row["removed"], row["held_out"], row["of"])
        for row in table["curation"]["matched"]["benchmarks"]
    ]


def question_steps(table: Table) -> list[tuple[str, str]]:
    """Return the steps of questions that are known, with their words."""
    total = table["funnel"]["total"]["questions"]
    return [(step, QUESTION_WORDS[step]) for step in QUESTION_STEPS if total[step] is not None]


def teacher_words(teacher: Table) -> str:
    """Return who wrote responses, under which terms."""
    kind = " (a program that knows the answers, no model)" if teacher.get("programmatic") else ""
    prompt = f", prompt {teacher['prompt']}" if teacher.get("prompt") else ""
    return f"{teacher['model']}{kind}{prompt}; terms: {teacher.get('terms') or 'not stated'}"


def hidden_words(table: Table) -> list[str]:
    """Return for each source with questions that are not open that nothing of them is shown."""
    return [
        f"{source}: {count:,} of {table['by']['source'][source]['questions']:,} questions are not open. None of their "
        "texts and images are shown."
        for source, count in table["samples"]["not_open_hidden"].items()
    ]


def mixture_words(table: Table) -> str:
    """Return how an epoch mixes the sources, as a sentence; empty where it is not known."""
    mixture = table["mixture"]
    if mixture is None:
        return ""
    asked = "; ".join(f"{name}: {_listed(value)}" for name, value in mixture["asked"].items())
    held = f" {mixture['held_out_records']:,} records are held out." if mixture["held_out_records"] else ""
    how = f"The config mixes the sources by {asked}." if asked else "Each example comes once an epoch."
    return f"{how}{held} Examples too long for a row of the config are left out."


def _listed(value: Any) -> str:
    return ", ".join(f"{name} {number}" for name, number in value.items()) if isinstance(value, Mapping) else str(value)


def mixture_rows(table: Table) -> list[Table]:
    """Return what an epoch holds of each source, with a row of all."""
    rows = list(table["mixture"]["sources"]) if table["mixture"] else []
    total = {name: round(sum(row[name] for row in rows), 9) for name in MIXTURE_WORDS if name != "source"}
    return [*rows, {"source": "all", **total}] if rows else []
