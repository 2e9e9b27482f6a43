"""Which of a question's accepted responses are trained on."""

from collections.abc import Mapping
from typing import Any

from octomed_jax.schema import Record
from octomed_jax.traces.grouped import accepted, record_of


def training_record(row: Mapping[str, Any], settings: Mapping[str, Any]) -> Record | None:
    """Return what is trained on of a row of the lake, or None where nothing is.

    Args:
        row: of LAKE_SCHEMA; without images, the record has none either.
        settings: ``config.traces``; the first ``per_question`` of the accepted responses are taken.
    """
    places = accepted(row)[: settings["per_question"]]
    return record_of(row, places) if places else None
