"""The report as a reader sees it."""

import pytest
from page_checks import VIEWS_OF_A_PAGE, FigureChecks, look_at

from octomed_jax.evaluation.report import write_report


@pytest.fixture(scope="module")
def views(finished_run, tmp_path_factory):
    return look_at(lambda: write_report(finished_run), tmp_path_factory.mktemp("profile"))


@VIEWS_OF_A_PAGE
class TestView(FigureChecks):
    title = "octomed_jax: run demo"
    figures = frozenset({"funnel", "reasons", "sources", "loss", "accuracy", "difficulty", "thinking"})

    def test_there_are_several_examples_with_images(self, views, view):
        assert len(views[view]["images"]) >= 4
