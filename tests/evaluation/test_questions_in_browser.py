"""The page of questions as a reader sees it."""

import pytest
from page_checks import VIEWS_OF_A_PAGE, PageChecks, look_at
from questions_folder import make_questions, questions

from octomed_jax.evaluation.questions_page import Choice, write_questions_page


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    def page():
        folder = make_questions(tmp_path_factory.mktemp("looked") / "several", questions(size=(480, 160)))
        return write_questions_page(folder, choice=Choice(credentialed=True))[0]

    return look_at(page, tmp_path_factory.mktemp("profile"))


@VIEWS_OF_A_PAGE
class TestView(PageChecks):
    title = "octomed_jax: questions several"

    def test_every_image_is_there(self, views, view):
        assert len(views[view]["images"]) == 8 * (1 + 3 + 1 + 6)
