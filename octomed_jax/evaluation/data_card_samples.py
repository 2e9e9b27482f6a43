"""Sample traces of a card: a few questions of each source with one accepted response, never of what is not open."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation.data_card_count import sample_numbers
from octomed_jax.evaluation.examples import split_response
from octomed_jax.evaluation.questions_page import IMAGE_BYTES, LARGEST_IMAGE, MOST_IMAGES, item_of
from octomed_jax.schema import Record, question_to_row
from octomed_jax.traces.shards import ShardReader

MOST_SAMPLES = 60  # of a page
MOST_RESPONSE = 6000  # characters that are shown
SMALL = 60_000  # bytes of a thumbnail


def read_samples(reader: ShardReader, chosen: Mapping[str, Sequence[int]]) -> dict[str, list[dict[str, Any]]]:
    """Return source to what templates show of its sample traces; the second of a source goes where there are many.

    Args:
        reader: of the shards.
        chosen: source to numbers of records, none of which is anything but open.
    """
    shown = {source: list(numbers) for source, numbers in sorted(chosen.items()) if numbers}
    if len(sample_numbers(shown)) > MOST_SAMPLES:
        shown = {source: numbers[:1] for source, numbers in shown.items()}
    records = {source: [reader[number] for number in numbers] for source, numbers in shown.items()}
    n_images = sum(min(len(one.question.images), MOST_IMAGES) for found in records.values() for one in found)
    allowed = min(LARGEST_IMAGE, SMALL, IMAGE_BYTES // max(1, n_images))
    return {source: [_sample(record, allowed) for record in found] for source, found in records.items()}


def _sample(record: Record, allowed: int) -> dict[str, Any]:
    """Return what is shown of the first response of a record, beside the question as its teacher saw it."""
    assert record.question.access == "open"
    thinking, final = split_response(record.responses[0])
    return {
        **item_of(question_to_row(record.shown(0)), allowed),
        "sample": record.samples[0] if record.samples else None,
        "n_responses": len(record.responses),
        "thinking": cut(thinking),
        "final": cut(final),
    }


def cut(text: str) -> str:
    """Return as much of a text as is shown, and say where it is cut."""
    if len(text) <= MOST_RESPONSE:
        return text
    return f"{text[:MOST_RESPONSE]} … (cut here; {len(text):,} characters in all)"
