"""``results.html``: a sweep as one page that fetches nothing.

Its only script is our own, named by its hash in the page's policy: it narrows the parallel coordinates to the runs that
lie within what is marked on their axes. Without it the figure is there as it is, and the table has every number.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from octomed_jax.evaluation.page import render
from octomed_jax.sweeps import results_words as words
from octomed_jax.sweeps.best import Best
from octomed_jax.sweeps.paper import paper_of
from octomed_jax.sweeps.results_charts import COLOURS
from octomed_jax.sweeps.results_figures import COSTS, MOST_LINES, draw, paper_columns, paper_rows
from octomed_jax.sweeps.rows import Sweep, field_text

HERE = Path(__file__).parent


def write_page(sweep: Sweep, metric: str, best: Best | None, table: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        sweep: the rows.
        metric: that it is about.
        best: by it.
        table: see ``results_figures.draw``.
    """
    script = (HERE / "results.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    paper = paper_of(sweep)
    name = str(sweep.definition["config"])
    return render(
        "sweep_results.html.jinja",
        f"octomed_jax: sweep {name}",
        draw(sweep, metric, best, table),
        folder=HERE,
        more_style=(HERE / "results.css").read_text(),
        sweep=sweep,
        config=name,
        metric=metric,
        best=best,
        table=table,
        paper=paper,
        words=words,
        field_text=field_text,
        numbers={row.id: place for place, row in enumerate(sweep.last, 1)},
        values=_values(sweep),
        not_done=[row for row in sweep.last if row.state != "done"],
        unbalanced=[one["field"] for one in table["effects"] if not one["balanced"]],
        costs=COSTS,
        curve_legend=[(_key(place), one["label"]) for place, one in enumerate(table["curves"][:MOST_LINES])],
        most_lines=MOST_LINES,
        paper_columns=paper_columns(paper) if paper else [],
        paper_legend=[(_key(place), row) for place, row in enumerate(paper_rows(paper))] if paper else [],
        script=Markup(script),
        script_hash=Markup(digest),
    )


def _key(place: int) -> str:
    return f"k-m m{place % COLOURS}"


def _values(sweep: Sweep) -> list[tuple[str, str]]:
    """Return the changed fields with their values."""
    rows = []
    for field in sweep.fields:
        told = dict.fromkeys(field_text(row, field) for row in sweep.last)
        shown = list(told)[:12]
        rows.append((field, ", ".join(shown) + (f" and {len(told) - len(shown)} more" if len(told) > 12 else "")))
    return rows
