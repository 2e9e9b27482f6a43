"""Writes the results of a sweep: ``results.csv``, ``results.md`` and ``results.html``, of what there is so far.

They hold no times of the day and no paths but those within the sweep, so that equal folders give equal bytes.
"""

import dataclasses
from typing import Any

from octomed_jax import storage
from octomed_jax.sweeps import paper as papers
from octomed_jax.sweeps.best import Best, find_best
from octomed_jax.sweeps.results_numbers import curves, effects, groups
from octomed_jax.sweeps.results_page import write_page
from octomed_jax.sweeps.results_tables import csv_table, markdown_text
from octomed_jax.sweeps.rows import Sweep, choose_metric, read_sweep


@dataclasses.dataclass(frozen=True)
class Results:
    """What was written.

    Attributes:
        sweep: the rows.
        metric: what "best" means.
        best: None where nothing is done.
        table: the numbers of the page: ``groups``, ``effects``, ``curves``, ``ours``, ``claims``.
        text: of results.md.
    """

    sweep: Sweep
    metric: str
    best: Best | None
    table: dict[str, Any]
    text: str

    @property
    def plain(self) -> dict[str, Any]:
        """All numbers as plain data."""
        return {
            "metric": self.metric,
            "counts": self.sweep.counts,
            "best": self.best.plain if self.best else None,
            "rows": [row.plain for row in self.sweep.rows],
            **self.table,
        }


def write_results(root: storage.PathLike, metric: str = "") -> Results:
    """Write the three files into the sweep's folder.

    Args:
        root: the folder.
        metric: what "best" means; empty: what the config file says, or ``overall``.

    Raises:
        UserError: the folder holds no sweep, or nothing has such a metric.
        StopAndLook: what a finished stage wrote is gone or damaged.
    """
    sweep = read_sweep(root)
    metric = choose_metric(sweep, metric)
    best = find_best(sweep, metric)
    paper = papers.paper_of(sweep)
    table = {
        "groups": groups(sweep, metric),
        "effects": effects(sweep, metric),
        "curves": curves(sweep, metric),
        "ours": papers.ours(sweep, paper) if paper else [],
        "claims": papers.claims(sweep, paper) if paper else [],
    }
    text = markdown_text(sweep, best, table["claims"])
    storage.write_text(sweep.root / "results.csv", csv_table(sweep))
    storage.write_text(sweep.root / "results.md", text)
    storage.write_text(sweep.root / "results.html", write_page(sweep, metric, best, table))
    return Results(sweep, metric, best, table, text)
