"""The page of a sweep as a reader sees it, and the axes that narrow it by pointer and by keyboard."""

import pytest
from results_folder import PAPER, make_sweep

from octomed_jax.sweeps.results import write_results
from tests.evaluation.page_checks import VIEWS_OF_A_PAGE, FigureChecks, look_at

SHOWN = "document.querySelectorAll('#figure-parallel .run:not(.off)').length"
TOLD = "document.getElementById('brushed').textContent"
PRESS = """(() => {{
  const brush = document.querySelectorAll('.brush')[{axis}];
  brush.focus();
  for (let count = 0; count < {times}; count++)
    brush.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', shiftKey: {shift}, bubbles: true}}));
  return document.activeElement === brush;
}})()"""
DRAG = """(() => {
  const brush = document.querySelectorAll('.brush')[0];
  const box = brush.getBoundingClientRect();
  brush.setPointerCapture = () => {};
  for (const [type, share] of [['pointerdown', 0.9], ['pointermove', 1.0], ['pointerup', 1.0]])
    brush.dispatchEvent(new PointerEvent(type, {clientX: box.left + share * box.width, clientY: box.top + 5,
                                                pointerId: 1, bubbles: true}));
})()"""
CHOOSE = """(() => {
  const field = document.getElementById('brushes').elements['run'];
  field.value = '2';
  field.dispatchEvent(new Event('input', {bubbles: true}));
  return document.querySelectorAll('#figure-parallel .run.on').length;
})()"""
# An axis lies over its rail, whatever the width of the window.
PLACED = """[...document.querySelectorAll('#figure-parallel svg > .rail')].every((rail, axis) => {
  const [one, other] = [rail, document.querySelectorAll('.brush')[axis]].map(item => item.getBoundingClientRect());
  return Math.abs(one.left - other.left) < 2 && Math.abs(one.width - other.width) < 2 &&
    other.top < one.top && one.top < other.bottom;
})"""
NAMED = """[...document.querySelectorAll('.brush')].every(
  brush => brush.tabIndex === 0 && brush.getAttribute('role') === 'slider' && brush.getAttribute('aria-label'))"""
LINKS = "[...document.querySelectorAll('nav a')].map(link => !!document.querySelector(link.getAttribute('href')))"
NOT_DONE = "document.querySelectorAll('#runs tr.lacking').length"
ASK = (
    SHOWN,
    DRAG,  # the right end of the first axis: 16 traces, of runs that are not done
    SHOWN,
    PRESS.format(axis=0, key="Escape", times=1, shift="false"),
    SHOWN,
    PRESS.format(axis=0, key="ArrowLeft", times=12, shift="true"),  # to 0.4: one trace
    SHOWN,
    TOLD,
    PRESS.format(axis=1, key="ArrowRight", times=4, shift="false"),  # from 0.2: the higher rate
    SHOWN,
    "document.querySelectorAll('.brush')[1].getAttribute('aria-valuetext')",
    CHOOSE,
    SHOWN,
    PLACED,
    NAMED,
    LINKS,
    NOT_DONE,
)


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    place = tmp_path_factory.mktemp("looked")

    def page():
        make_sweep(place)
        write_results(place)
        return place / "results.html"

    return look_at(page, tmp_path_factory.mktemp("profile"), ASK)


@VIEWS_OF_A_PAGE
class TestView(FigureChecks):
    title = "octomed_jax: sweep traces_per_question.py:demo"
    scripts = 1
    figures = frozenset(
        {
            "claims", "paper-0", "ours-0", "parallel", "effects", "seeds", "curves", "cost-seconds", "cost-trained",
            "cost-completion",
        }
    )  # fmt: skip

    def test_images_are_shown_and_described(self, views, view):
        assert views[view]["images"] == []  # all of it is drawn

    def test_a_drag_along_an_axis_keeps_the_runs_within(self, views, view):
        every, _, dragged, focused, cleared = views[view]["told"][:5]
        assert (every, dragged, cleared) == (11, 3, 11)
        assert focused

    def test_axes_are_moved_by_the_keyboard(self, views, view):
        _, one_trace, told, _, higher_rate, said = views[view]["told"][5:11]
        assert (one_trace, told, higher_rate) == (4, "4 of 11 runs shown", 2)
        assert said == "from 20 to 100 % of the axis; 2 of 11 runs shown"

    def test_one_run_is_found_by_its_name(self, views, view):
        highlighted, shown = views[view]["told"][11:13]
        assert highlighted == 1
        assert shown == 1

    def test_axes_lie_over_their_rails_and_are_named(self, views, view):
        placed, named, links, _ = views[view]["told"][13:17]
        assert placed
        assert named
        assert len(links) == 8
        assert all(links)

    def test_what_is_not_done_is_in_the_table(self, views, view):
        assert views[view]["told"][16] == 3


def test_without_a_script_the_lines_are_there_and_what_is_foreign_is_text(tmp_path):
    points = make_sweep(tmp_path)
    definition = (tmp_path / "sweep.json").read_text()
    planted = "<script>alert(1)</script>"
    (tmp_path / "sweep.json").write_text(definition.replace(PAPER["says"], planted))
    write_results(tmp_path)
    html = (tmp_path / "results.html").read_text()
    assert planted not in html
    assert "&lt;script&gt;alert(1)" in html
    assert html.count('class="mark run ') == len(points)
    assert '<form id="brushes" hidden>' in html  # what needs the script is not shown without it
