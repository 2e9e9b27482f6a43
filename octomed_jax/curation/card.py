"""The card of a curated questions folder: what it was made of, what each step took out, what is left."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.curation.balance import limited
from octomed_jax.curation.evaluation_sets import OWN

MEANINGS = {
    "words": "shares a run of words with a held-out question",
    "words_with_options": "shares a run of words, with the options, with a held-out question",
    "text": "is as a whole, before the options, a short held-out question",
    "text_with_options": "is as a whole, with its options, a short held-out question",
    "same_question": "is a held-out question with the same options in any order, and the same images or none",
    "image_bytes": "has an image, byte for byte, of a held-out question, or had it before it was changed",
    "image_pixels": "has an image, pixel for pixel, of a held-out question",
    "image_near": "has an image that looks like one of a held-out question",
    "same": "is the same question with the same answer as an earlier one",
    "same_with_other_answer": "is the same question as an earlier one, with another answer",
    "near": "shares most of its words with an earlier one, and its images, answer and numbers",
    "surplus": "is one too many of its class",
    "too_hard": "was answered right too seldom",
    "too_easy": "was answered right too often",
    "rated_easy": "was rated too easy by a judge",
    "rated_hard": "was rated too difficult by a judge",
    "unreadable_image": "has an image that cannot be read, or is far too long and narrow",
    "burned_text": "has an image with text burned into it",
}
UNJUDGED = {
    "no_gold": "no gold answer to compare attempts with",
    "no_rule": "no rule marks attempts at it",
    "broken_gold": "its gold answer cannot be read",
    "requests_failed": "too many of its requests failed to tell",
}

SPLITS = {"test": "its held-out questions", "train": "its questions to learn from", "all": "all its questions"}


def write_card(
    folders: Sequence[Mapping[str, Any]],
    steps: Sequence[Mapping[str, Any]],
    counts: Mapping[str, Any],
    further: Mapping[str, str],
    splits: Mapping[str, str],
) -> str:
    """Return the card as Markdown.

    Args:
        folders: what went in: the name of each with its counts and licences.
        further: name to identity of what else was read: ``against NAME``, an evaluation set, and ``attempts``.
        splits: of the evaluation sets, by name.
        steps: name, settings, counts before and after, and reason to number of questions, in order.
        counts: of the questions that are left.
    """
    lines = [
        "# Curated questions",
        "",
        "Made by `octomed curate`. Not for clinical use. `removed.parquet` names every question that was taken out.",
        "",
        f"{counts['train']} questions to learn from, {counts['test']} held out.",
        "",
        "| step | before | taken out | after |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [f"| {step['step']} | {step['before']} | {step['removed']} | {step['after']} |" for step in steps]
    for step in steps:
        lines += ["", f"## {step['step']}", ""]
        lines += [f"- Setting: {name} = `{value}`" for name, value in step["settings"].items()]
        lines += [f"- Taken out: {count} ({MEANINGS[reason]})" for reason, count in step["reasons"].items()]
        lines += [f"- Limited: {limited(limit)}" for limit in step.get("limits", ())]
        lines += _matched(step.get("matched", {}))
        if "common_runs" in step:
            lines.append(
                f"- Left in: {step['common_left_in']} (share only some of {step['common_runs']} runs of words that are "
                "too common to count)"
            )
        if "shared_images_kept" in step:
            lines.append(f"- Left in: {step['shared_images_kept']} (share an image, and their source keeps those)")
        lines += [f"- Left in, not judged: {n} ({UNJUDGED[why]})" for why, n in step.get("unjudged", {}).items()]
        for field, found in step.get("filled", {}).items():
            lines += [f"- Filled in: {_words(field)} {value} ({count})" for value, count in found.items()]
        lines += [f"- Filled in by {who}: {_each(given)}" for who, given in filled_by(step).items()]
        if "unreadable_held_out" in step:
            lines.append(
                f"- Held-out questions not compared by an image that cannot be read: {step['unreadable_held_out']}"
            )
        lines += _judge(step.get("judge"))
        if images := step.get("images"):
            lines += [
                f"- Images made smaller: {images['resized']}",
                f"- Images with text found in them: {images['text']}",
            ]
    if marked := counts.get("filled_by"):
        lines += ["", "## Metadata that no source gave", ""]
        lines += ["Of the questions that are left; `metadata.parquet` names each value.", ""]
        lines += [f"- By `{who}`: {_each(given)}" for who, given in marked.items()]
    lines += ["", "## What went in", ""]
    lines += [f"- `{one['identity']}`: {one['train']} questions, {one['test']} held out" for one in folders]
    for name, identity in further.items():
        split = splits.get(name.removeprefix("against "), "")
        told = f"; {SPLITS[split]}, compared with and not carried on" if split else ""
        lines.append(f"- {name}: `{identity}`{told}")
    lines += [f"- Licence: {licence}" for licence in counts["licences"]]
    lines += [
        f"- Licence of questions taken out, and of those they are like: {one}" for one in counts["licences_shown"]
    ]
    lines += ["", "| benchmark | train | test |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {row['train']} | {row['test']} |" for name, row in counts["benchmarks"].items()]
    return "\n".join([*lines, ""])


def _matched(sets: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return what was taken out for each evaluation set, as lines."""
    return [
        f"- Taken out for {'its own held-out questions' if name == OWN else name}: {row['removed']}, like "
        f"{row['held_out']} of {row['of']}"
        for name, row in sets.items()
    ]


def _judge(told: Mapping[str, Any] | None) -> list[str]:
    """Return what a judge was asked in a step, as lines."""
    if not told:
        return []
    counts = ", ".join(f"{name} {count}" for name, count in told.items() if isinstance(count, int))
    unknown = [f"- Unknown to the judge: {_each(told['unknown'])}"] if "unknown" in told else []
    ratings = [f"- Rated {rating} of 10: {count}" for rating, count in told.get("ratings", {}).items()]
    return [f"- Judge: `{told['judge']}`; {counts}", *unknown, *ratings]


def filled_by(step: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return how many values of each field a step filled in by rule and, if it asked one, by the judge."""
    if "filled" not in step:
        return {}
    every = {field: sum(found.values()) for field, found in step["filled"].items()}
    if "judge" not in step:
        return {"rule": every}
    judged = step["judge"]["filled"]
    return {"rule": {field: count - judged[field] for field, count in every.items()}, "the judge": dict(judged)}


def _each(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{_words(field)} {count}" for field, count in counts.items())


def _words(field: str) -> str:
    return field.replace("_", " ")
