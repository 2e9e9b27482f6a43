"""What holds of every page as a reader sees it: in Chromium, in a wide and a narrow window, light and dark.

A test of a page is a class of its own below ``PageChecks``, marked with ``VIEWS_OF_A_PAGE``, with a fixture ``views``
that returns ``look_at(...)``.
"""

import pytest

from tests.evaluation import report_browser

VIEWS = [(1400, 900, "light"), (390, 844, "light"), (1400, 900, "dark"), (390, 844, "dark")]
VIEWS_OF_A_PAGE = pytest.mark.parametrize("view", range(len(VIEWS)), ids=["-".join(map(str, view)) for view in VIEWS])


def look_at(page, profile, ask=()):
    """Return what a browser sees of a page in each of VIEWS, and what expressions give; skip where there is none."""
    binary = report_browser.find()
    if binary is None:
        pytest.skip("no Chromium on PATH (Debian: apt-get install chromium), so the page cannot be looked at")
    return report_browser.look(binary, page(), VIEWS, profile, ask)


class PageChecks:
    title = ""
    scripts = 0

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
        assert views[view]["title"] == self.title
        assert views[view]["scripts"] == self.scripts

    def test_follows_the_colour_scheme(self, views, view):
        assert views[view]["dark"] == (VIEWS[view][2] == "dark")


class FigureChecks(PageChecks):
    figures: frozenset[str] = frozenset()

    def test_every_figure_is_drawn(self, views, view):
        figures = views[view]["figures"]
        assert {figure["id"] for figure in figures} == {f"figure-{name}" for name in self.figures}
        for figure in figures:
            assert figure["width"] > 250, figure
            assert figure["height"] > 80, figure
            assert figure["named"], figure
            assert figure["marks"] > 1, figure
            # a bar or interval of no length at all is still a mark, but most have a length
            assert figure["drawn"] >= figure["marks"] * 0.8, figure
