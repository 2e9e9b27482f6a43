"""The report of attempts as a reader sees it: in Chromium, in a wide and a narrow window, light and dark."""

import pytest
import report_browser
from attempts_folder import make_attempts

from octomed_jax.evaluation.attempts_report import write_attempts_report

VIEWS = [(1400, 900, "light"), (390, 844, "light"), (1400, 900, "dark"), (390, 844, "dark")]
FIGURES = {
    f"figure-{name}"
    for name in (
        "funnel", "questions", "acceptance", "sources", "reasons", "pass_rate", "lengths", "lengths_by_source",
        "letters", "duplicates",
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    binary = report_browser.find()
    if binary is None:
        pytest.skip("no Chromium on PATH (Debian: apt-get install chromium), so the report cannot be looked at")
    page = write_attempts_report(make_attempts(tmp_path_factory.mktemp("looked") / "several", each=40, preference=0.8))
    return report_browser.look(binary, page, VIEWS, tmp_path_factory.mktemp("profile"))


@pytest.mark.parametrize("view", range(len(VIEWS)), ids=["-".join(map(str, view)) for view in VIEWS])
class TestView:
    def test_every_figure_is_drawn(self, views, view):
        figures = views[view]["figures"]
        assert {figure["id"] for figure in figures} == FIGURES
        for figure in figures:
            assert figure["width"] > 250, figure
            assert figure["height"] > 80, figure
            assert figure["named"], figure
            assert figure["marks"] > 1, figure
            assert figure["drawn"] >= figure["marks"] * 0.8, figure

    def test_nothing_is_wider_than_the_window(self, views, view):
        assert views[view]["client"] > VIEWS[view][0] - 20
        assert views[view]["scroll"] <= views[view]["client"]
        for figure in views[view]["figures"]:
            assert figure["left"] >= 0, figure
            assert figure["right"] <= views[view]["client"], figure

    def test_images_are_shown_and_described(self, views, view):
        assert views[view]["images"]
        assert all(image["width"] > 0 and image["alt"] for image in views[view]["images"])

    def test_is_quiet_and_fetches_nothing(self, views, view):
        assert views[view]["loaded"]
        assert views[view]["problems"] == []
        assert views[view]["requests"] == []

    def test_nothing_planted_runs(self, views, view):
        assert views[view]["title"] == "octomed_jax: attempts several"
        assert views[view]["scripts"] == 0

    def test_follows_the_colour_scheme(self, views, view):
        assert views[view]["dark"] == (VIEWS[view][2] == "dark")
