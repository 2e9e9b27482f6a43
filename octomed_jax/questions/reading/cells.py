"""What an adapter makes of one place of a data set, whatever it meets there."""

from typing import Any

from octomed_jax.questions.adapter import Adapter
from octomed_jax.questions.reading.folder import ODD, Place, not_as_published
from octomed_jax.verification.rows import RowError


def cells_of(adapter: Adapter, place: Place, split: str, where: str, access: str) -> list[dict[str, Any]]:
    """Return the cells of what stands at a place of an access class, which errors call ``where``.

    Raises:
        RowError: it cannot be used.
        PassedOver: it is not to be.
    """
    if place.row is None:
        raise RowError(f"{where} {place.problem}; mend it or remove it", "row")
    try:
        return list(adapter.cells(place.row, split))
    except RowError as error:
        raise RowError(f"{where}: {error}", error.column) from error
    except ODD as error:
        raise RowError(f"{where} {not_as_published(adapter, error, access)}", "row") from error
