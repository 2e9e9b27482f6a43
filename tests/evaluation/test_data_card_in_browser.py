"""The card of a corpus, and two corpora beside one another, as a reader sees them."""

import pytest
from corpus_run import config_of, make_corpus
from page_checks import VIEWS_OF_A_PAGE, FigureChecks, look_at

from octomed_jax.evaluation.data_card import write_data_card
from octomed_jax.evaluation.data_compare import compare, read_side
from octomed_jax.evaluation.data_compare_page import write_page
from octomed_jax.storage import write_text

CARD_FIGURES = {
    "source", "modality", "regions", "task", "traces", "question_lengths", "response_lengths", "questions", "attempts",
    "accepted", "removed", "matched",
}  # fmt: skip
COMPARED = {"source", "modality", "body_region", "task", "question_lengths", "response_lengths", "overlap"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("looked") / "run")


@VIEWS_OF_A_PAGE
class TestCard(FigureChecks):
    title = "octomed_jax: data card"
    figures = frozenset(CARD_FIGURES)

    @pytest.fixture(scope="class")
    def views(self, run, tmp_path_factory):
        def page():
            return write_data_card(run / "shards", run=run, config=config_of(run))[0] / "card.html"

        return look_at(page, tmp_path_factory.mktemp("profile"))


@VIEWS_OF_A_PAGE
class TestComparison(FigureChecks):
    title = "octomed_jax: two corpora"
    figures = frozenset(COMPARED)

    @pytest.fixture(scope="class")
    def views(self, run, tmp_path_factory):
        folder = tmp_path_factory.mktemp("compared")

        def page():
            side = read_side(str(run / "shards"))
            write_text(folder / "compared.html", write_page(compare(side, side)))
            return folder / "compared.html"

        return look_at(page, tmp_path_factory.mktemp("profile"))

    def test_images_are_shown_and_described(self, views, view):
        assert views[view]["images"] == []  # it shows none
