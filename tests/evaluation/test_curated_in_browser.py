"""The report of curated questions as a reader sees it."""

import pytest
from curated_folder import make_curated
from page_checks import VIEWS_OF_A_PAGE, FigureChecks, look_at

from octomed_jax.evaluation.curated_report import write_curated_report


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    def page():
        return write_curated_report(make_curated(tmp_path_factory.mktemp("looked")))

    return look_at(page, tmp_path_factory.mktemp("profile"))


@VIEWS_OF_A_PAGE
class TestView(FigureChecks):
    title = "octomed_jax: curated"
    figures = frozenset({"steps", "removed", "sources", "matched", "filled_modality", "filled_body_region"})

    def test_every_image_is_there(self, views, view):
        assert len(views[view]["images"]) == 2 + 1 + 2  # of the removed one, the held-out one, and two that are surplus
