"""Which of a question's accepted responses are trained on (``config.traces``)."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from octomed_jax.configuration import plain
from octomed_jax.errors import UserError
from octomed_jax.progress import say
from octomed_jax.schema import Record
from octomed_jax.traces.grouped import accepted, record_of


def settings_of(config: ConfigDict) -> dict[str, Any]:
    """Return ``config.traces`` checked, as plain data on which the records depend.

    Raises:
        UserError: a value is out of range.
    """
    settings = plain(config.traces)
    if settings["per_question"] < 0:
        raise UserError(
            f"config.traces.per_question={settings['per_question']!r}: 1 or more traces a question, or 0 for all"
        )
    return settings


def training_record(
    row: Mapping[str, Any],
    settings: Mapping[str, Any],
    left_out: "Counter[str] | None" = None,  # noqa: ARG001  of responses that cannot be had in another form
) -> Record | None:
    """Return what is trained on of a row of the lake, or None where nothing is.

    Args:
        row: of LAKE_SCHEMA; without images, the record has none either.
        settings: of ``settings_of``; the first ``per_question`` of the accepted responses are taken.
        left_out: counts the accepted responses that cannot be taken, by reason.
    """
    places = accepted(row)[: settings["per_question"] or None]
    return record_of(row, places) if places else None


def tell_left_out(left_out: Mapping[str, int]) -> None:
    """Say which accepted responses cannot be taken."""
    for reason, count in sorted(left_out.items()):
        say(f"shard: {count:,} accepted responses left out ({reason})")
