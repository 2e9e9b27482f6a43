"""Which of the accepted responses to a question are trained on."""

from collections.abc import Mapping
from typing import Any

from octomed_jax.schema import Record
from octomed_jax.traces.grouped import accepted, record_of


def training_record(row: Mapping[str, Any], settings: Mapping[str, Any]) -> Record | None:
    """Return what is trained on of a row of the lake: its first accepted responses; None where there is none.

    Args:
        row: of LAKE_SCHEMA.
        settings: ``config.traces``.
    """
    places = accepted(row)[: settings["per_question"]]
    return record_of(row, places) if places else None
