"""Pages of one file that fetch nothing: the template, its style sheet and its filters, for every report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from octomed_jax import manifests, storage
from octomed_jax.configuration import plain
from octomed_jax.evaluation import charts
from octomed_jax.verification.check import REASONS

TEMPLATES = Path(__file__).parent


def render(
    template: str,
    title: str,
    figures: dict[str, str],
    folder: Path = TEMPLATES,
    more_style: str = "",
    **values: Any,
) -> str:
    """Return a page; every value is escaped but for the figures, which are SVG already, and what is ``Markup``.

    Args:
        template: file name of a template that extends ``page.html.jinja``.
        title: of the page.
        figures: name to SVG.
        folder: of the template; those that all pages share are found from everywhere.
        more_style: what its style sheet has beyond the shared one.
        **values: whatever else the template names.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=charts.percent, number=charts.number, amount=amount, duration=duration, meaning=meaning
    )
    return environment.get_template(template).render(
        title=title,
        style=Markup((TEMPLATES / "report.css").read_text() + more_style),
        figures={name: Markup(svg) for name, svg in figures.items()},
        **values,
    )


def setting_rows(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return settings as rows of (dotted name, value as JSON), sorted."""
    return [(key, storage.canonical_json(value)) for key, value in sorted(manifests.flatten(plain(settings)).items())]


def meaning(reason: str) -> str:
    """Return what a reason code means, in words; empty for one that is unknown."""
    return REASONS.get(reason, "").partition(": ")[2]


def amount(value: int) -> str:
    """Return a large number for reading: ``812,000``, ``4.8 million``, ``12 billion``."""
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if value >= size:
            return f"{value / size:.3g} {word}"
    return f"{value:,}"


def duration(seconds: float) -> str:
    """Return seconds for reading: ``8.4 s``, ``5 min 12 s``, ``3 h 20 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
