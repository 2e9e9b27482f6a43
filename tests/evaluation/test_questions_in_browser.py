"""The page of questions as a reader sees it: in Chromium, in a wide and a narrow window, light and dark."""

import pytest
import report_browser
from questions_folder import make_questions, questions

from octomed_jax.evaluation.questions_page import Choice, write_questions_page

VIEWS = [(1400, 900, "light"), (390, 844, "light"), (1400, 900, "dark"), (390, 844, "dark")]


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    binary = report_browser.find()
    if binary is None:
        pytest.skip("no Chromium on PATH (Debian: apt-get install chromium), so the page cannot be looked at")
    folder = make_questions(tmp_path_factory.mktemp("looked") / "several", questions(size=(480, 160)))
    page, _ = write_questions_page(folder, choice=Choice(credentialed=True))
    return report_browser.look(binary, page, VIEWS, tmp_path_factory.mktemp("profile"))


@pytest.mark.parametrize("view", range(len(VIEWS)), ids=["-".join(map(str, view)) for view in VIEWS])
class TestView:
    def test_nothing_is_wider_than_the_window(self, views, view):
        assert views[view]["client"] > VIEWS[view][0] - 20
        assert views[view]["scroll"] <= views[view]["client"]

    def test_images_are_shown_and_described(self, views, view):
        assert len(views[view]["images"]) == 8 * (1 + 3 + 1 + 6)
        assert all(image["width"] > 0 and image["alt"] for image in views[view]["images"])

    def test_is_quiet_and_fetches_nothing(self, views, view):
        assert views[view]["loaded"]
        assert views[view]["problems"] == []
        assert views[view]["requests"] == []

    def test_nothing_planted_runs(self, views, view):
        assert views[view]["title"] == "octomed_jax: questions several"
        assert views[view]["scripts"] == 0

    def test_follows_the_colour_scheme(self, views, view):
        assert views[view]["dark"] == (VIEWS[view][2] == "dark")
