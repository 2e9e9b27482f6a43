"""``report.html``: results of one or several models as one page that fetches nothing.

Its only script is our own, which hides examples that do not match what is looked for; the page's policy names its hash,
so that no other can run, and without it all examples are shown.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from octomed_jax.evaluation import paper_results as paper
from octomed_jax.evaluation import results_words as words
from octomed_jax.evaluation.benchmarks import BENCHMARKS
from octomed_jax.evaluation.comparison_text import HEAD, conclusion, rows
from octomed_jax.evaluation.page import render
from octomed_jax.evaluation.results_examples import EACH, KINDS
from octomed_jax.evaluation.results_figures import LETTERS, MOST_ROWS, draw, failure_rows, numbered, paper_points

SCRIPT = Path(__file__).parent / "results.js"


def write_page(table: Mapping[str, Any], examples: Sequence[Mapping[str, Any]]) -> str:
    """Return the page.

    Args:
        table: the numbers of ``results_report``.
        examples: what is shown of samples.
    """
    script = SCRIPT.read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    letters = LETTERS[: len(table["models"])]
    names = [words.name_of(model["name"]) for model in table["models"]]
    return render(
        "results.html.jinja",
        f"octomed_jax: {words.headline(table)}",
        draw(table),
        table=table,
        words=words,
        paper_source=paper.TABLE,
        legacy_source=paper.LEGACY_SOURCE,
        paper_models=words.paper_models(),
        titles={name: BENCHMARKS[name].title for name in paper.TABLE_2},
        most_each=EACH,
        letters=letters,
        names=names,
        legend=[(f"k-m m{place}", f"{letters[place]}: {name}") for place, name in enumerate(names) if len(names) > 1],
        letter_of={model["name"]: letter for letter, model in zip(letters, table["models"], strict=True)},
        examples=examples,
        kinds=KINDS,
        shown_kinds=[kind for kind in KINDS if any(one["kind"] == kind for one in examples)],
        benchmarks=sorted({one["benchmark"] for one in examples}),
        compare_head=HEAD,
        compare_rows=rows,
        conclusion=conclusion,
        failure_rows=failure_rows(table),
        numbered=[numbered(table, model) for model in range(len(names))],
        paper_points=paper_points(table),
        most_rows=MOST_ROWS,
        script=Markup(script),
        script_hash=Markup(digest),
    )
