"""The report on results as a reader sees it, and its search."""

import pytest
from page_checks import VIEWS_OF_A_PAGE, FigureChecks, look_at
from questions_folder import make_questions
from results_folders import asked, make_two

from octomed_jax.evaluation.results_report import write_results_report

COUNT = "[...document.querySelectorAll('#found > article')].filter(item => item.getBoundingClientRect().height).length"
TYPE = """(() => {{
  const field = document.getElementById('search').elements['{field}'];
  field.value = '{value}';
  field.dispatchEvent(new Event('input', {{bubbles: true}}));
}})()"""
# What one can come to by the tabulator, in order.
STOPS = """[...document.querySelectorAll('a, summary, input, select, button, [tabindex="0"]')].filter(
  item => item.tabIndex >= 0 && item.getBoundingClientRect().height).map(item => item.name || item.tagName)"""
HEADINGS = "[...document.querySelectorAll('section')].map(part => [part.id, part.querySelectorAll('h2').length])"
LINKS = "[...document.querySelectorAll('nav a')].map(link => !!document.querySelector(link.getAttribute('href')))"
ASK = (
    COUNT,
    TYPE.format(field="text", value="WEIGHED case 3"),
    COUNT,
    TYPE.format(field="kind", value="wrong"),
    COUNT,
    "document.getElementById('found-count').textContent",
    TYPE.format(field="text", value="nothing has this"),
    COUNT,
    STOPS,
    HEADINGS,
    LINKS,
)


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    place = tmp_path_factory.mktemp("looked")

    def page():
        before, after = make_two(place)
        folder = make_questions(place / "questions", asked())
        return write_results_report([f"base={before}", f"tuned={after}"], place / "report", [folder])[0]

    return look_at(page, tmp_path_factory.mktemp("profile"), ASK)


@VIEWS_OF_A_PAGE
class TestView(FigureChecks):
    title = "octomed_jax: base and tuned on 6 benchmarks"
    scripts = 1
    figures = frozenset(
        {
            "accuracy", "forest-B", "votes", "classes", "across-A", "across-B", "across-paper", "failures", "reasons-A",
            "reasons-B",
        }
    )  # fmt: skip

    def test_there_are_images(self, views, view):
        assert len(views[view]["images"]) >= 6

    def test_examples_are_found_by_their_words_and_kind(self, views, view):
        every, _, found, _, wrong, told, _, nothing, *_ = views[view]["told"]
        assert 0 < wrong < found < every
        assert told == f"{wrong} of {every} shown"
        assert nothing == 0

    def test_all_can_be_reached_by_the_keyboard(self, views, view):
        stops, headings, links = views[view]["told"][-3:]
        assert [name for name in stops if name.islower()] == ["text", "model", "benchmark", "kind"]
        assert stops.count("SUMMARY") > 5
        assert "BUTTON" in stops
        assert all(count == 1 for _, count in headings)
        assert len(links) >= 7
        assert all(links)
