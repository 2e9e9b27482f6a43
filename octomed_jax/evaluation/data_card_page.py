"""``card.html``: the card of a corpus as one page that fetches nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.evaluation import data_card_rows as rows
from octomed_jax.evaluation.data_card_figures import draw, region_shares
from octomed_jax.evaluation.page import render, setting_rows

ATTEMPT_LEGEND = [
    ("k-kept", "accepted"),
    ("k-wrong", "wrong"),
    ("k-unread", "no answer found, or cut off"),
    ("k-failed", "request failed"),
]


def write_page(table: Mapping[str, Any], samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the page.

    Args:
        table: the content of card.json.
        samples: source to what is shown of its sample traces.
    """
    return render(
        "data_card.html.jinja",
        "octomed_jax: data card",
        draw(table),
        table=table,
        rows=rows,
        regions=region_shares(table),
        samples=samples,
        attempt_legend=ATTEMPT_LEGEND,
        settings=setting_rows(table["settings"]),
        version=table["code"]["version"],
    )
