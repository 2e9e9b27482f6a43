"""The report of attempts as a reader sees it."""

import pytest
from attempts_folder import make_attempts
from page_checks import VIEWS_OF_A_PAGE, FigureChecks, look_at

from octomed_jax.evaluation.attempts_report import write_attempts_report


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    def page():
        folder = make_attempts(tmp_path_factory.mktemp("looked") / "several", each=40, preference=0.8)
        return write_attempts_report(folder)

    return look_at(page, tmp_path_factory.mktemp("profile"))


@VIEWS_OF_A_PAGE
class TestView(FigureChecks):
    title = "octomed_jax: attempts several"
    figures = frozenset(
        {
            "funnel", "questions", "acceptance", "sources", "reasons", "pass_rate", "lengths", "lengths_by_source",
            "letters", "duplicates",
        }
    )  # fmt: skip
