"""Early stopping is a function of the curves: not of when they were measured, and what a plain program finds too."""

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.errors import UserError
from octomed_jax.sweeps.stopping import Rule, decide

RUNGS = (10, 20, 40)
# Few different ones, so that there are ties; and what counts as the worst.
VALUES = st.one_of(st.sampled_from([1.0, 2.0, 2.5, 3.0, 4.0]), st.sampled_from([None, math.nan, math.inf]))


@st.composite
def sweeps(draw, kind=None):
    """A rule, an order, what every run would measure at each rung, and where some of them fail."""
    count = draw(st.integers(1, 12))
    order = draw(st.permutations([f"r{number}" for number in range(count)]))
    rungs = RUNGS[: draw(st.integers(1, 3))]
    rule = Rule(
        kind or draw(st.sampled_from(["median", "halving"])),
        goal=draw(st.sampled_from(["min", "max"])),
        rungs=rungs,
        factor=draw(st.integers(2, 4)),
    )
    curves = {point: {rung: draw(VALUES) for rung in rungs} for point in order}
    fails = {point: draw(st.sampled_from([*rungs])) for point in order if draw(st.integers(0, 3)) == 0}
    curves = {
        point: {rung: value for rung, value in curve.items() if rung < fails.get(point, math.inf)}
        for point, curve in curves.items()
    }
    return rule, order, curves, set(fails)


def key(rule, value):
    if value is None or not math.isfinite(value):
        return math.inf
    return value if rule.goal == "min" else -value


def plain_halving(rule, order, curves):
    """All train to a rung together; the best go on."""
    left, found = list(order), {}
    for rung in rule.rungs:
        came = [point for point in left if rung in curves[point]]
        if not came:
            break
        ranked = sorted(came, key=lambda point: (key(rule, curves[point][rung]), order.index(point)))
        left = ranked[: max(1, len(came) // rule.factor)]
        found |= {(point, rung): point in left for point in came}
    return found


def plain_median(rule, order, curves):
    """One run after the other, each to its end or to where it is stopped."""
    found, measured = {}, {rung: [] for rung in rule.rungs}
    for point in order:
        for rung in rule.rungs:
            if rung not in curves[point]:
                break
            mine, before = key(rule, curves[point][rung]), measured[rung]
            goes_on = len(before) < 3 or not mine > statistics.median(before)
            found[point, rung] = goes_on
            measured[rung] = [*before, mine]
            if not goes_on:
                break
    return found


def outcomes(decisions):
    found = {(one.point, one.rung): one.goes_on for one in decisions}
    assert len(found) == len(decisions)
    return found


@given(sweeps("halving"))
@settings(max_examples=300, deadline=None)
def test_halving_is_what_a_plain_program_finds(sweep):
    rule, order, curves, gone = sweep
    assert outcomes(decide(rule, order, curves, gone)) == plain_halving(rule, order, curves)


@given(sweeps("median"))
@settings(max_examples=300, deadline=None)
def test_the_median_rule_is_what_a_plain_program_finds(sweep):
    rule, order, curves, gone = sweep
    assert outcomes(decide(rule, order, curves, gone)) == plain_median(rule, order, curves)


@given(sweeps(), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_in_whatever_order_runs_come_to_their_rungs_the_decisions_are_the_same(sweep, chance: random.Random):
    """Also where a run has gone ahead of a decision on it, and where the log is given back each time or not."""
    rule, order, curves, gone = sweep
    whole = decide(rule, order, curves, gone)
    events = {point: [*curves[point]] + [None] * (point in gone) for point in order}
    seen, lost, before = {point: {} for point in order}, set(), []
    while ready := [point for point in order if events[point]]:
        point = chance.choice(ready)
        rung = events[point].pop(0)
        if rung is None:
            lost.add(point)
        else:
            seen[point][rung] = curves[point][rung]
        now = decide(rule, order, seen, lost)
        assert [one for one in now if one in before] == before, "a decision was taken back"
        assert decide(rule, order, seen, lost, before) == now
        assert all(one in whole for one in now)
        before = now
    assert before == whole


@given(sweeps())
@settings(max_examples=200, deadline=None)
def test_a_sweep_that_obeys_comes_to_an_end(sweep):
    """Runs that train only as far as they are let: none waits for ever, and all is decided as with whole curves."""
    rule, order, curves, gone = sweep
    seen, stopped, passed = {point: {} for point in order}, set(), dict.fromkeys(order, 0)
    made = []
    for _ in range(len(order) * len(rule.rungs) + 1):
        for point in order:
            upto = rule.rungs[: passed[point] + 1]
            if point not in stopped:
                seen[point] = {rung: value for rung, value in curves[point].items() if rung in upto}
        made = decide(rule, order, seen, [point for point in gone if seen[point].keys() == curves[point].keys()])
        stopped = {one.point for one in made if not one.goes_on}
        passed = {point: sum(one.goes_on for one in made if one.point == point) for point in order}
    assert made == decide(rule, order, curves, gone)
    for point in order:
        assert point in stopped | gone or passed[point] == len(rule.rungs)


def test_ties_are_broken_by_the_order_of_the_sweep():
    rule = Rule("halving", rungs=(5,), factor=2)
    for order in (["a", "b", "c", "d"], ["d", "c", "b", "a"]):
        decisions = decide(rule, order, {point: {5: 1.0} for point in "abcd"})
        assert [one.point for one in decisions if one.goes_on] == order[:2]
        assert [one.place for one in decisions] == [1, 2, 3, 4]


def test_a_decision_says_what_it_rests_on():
    curves = {"a": {5: 1.0}, "b": {5: 3.0}, "c": {5: 2.0}, "d": {5: 2.5}, "e": {5: math.nan}}
    first, *_, fourth, fifth = decide(Rule("median", "held_out_loss", rungs=(5,)), "abcde", curves)
    assert (first.goes_on, first.compared, first.limit) == (True, 0, None)
    assert first.reason == "held_out_loss 1 at step 5; 0 before it came there, and fewer than 3 say nothing: it goes on"
    assert (fourth.goes_on, fourth.value, fourth.limit, fourth.compared) == (False, 2.5, 2.0, 3)
    assert fourth.reason == "held_out_loss 2.5 at step 5, worse than the median of the 3 before it, 2: stopped"
    assert (fifth.goes_on, fifth.value, fifth.limit) == (False, None, 2.25)
    assert "not finite or missing, the worst, at step 5" in fifth.reason
    decisions = decide(Rule("halving", goal="max", rungs=(5,), factor=2), "abcde", curves)
    assert {one.point: one.place for one in decisions} == {"b": 1, "d": 2, "c": 3, "a": 4, "e": 5}
    assert {one.limit for one in decisions} == {2.5}
    assert decisions[1].reason == "loss 3 at step 5, place 1 of 5; the best 2 go on: it does"


def test_nothing_is_decided_while_one_that_counts_may_still_come():
    halving, median = Rule("halving", rungs=(5,)), Rule("median", rungs=(5,))
    curves = {point: {5: 1.0} for point in "bcd"}
    assert decide(halving, "abcd", curves) == []
    assert decide(median, "abcd", curves) == []
    assert [one.point for one in decide(halving, "abcd", curves, gone="a") if one.goes_on] == ["b"]
    assert [one.compared for one in decide(median, "abcd", curves, gone="a")] == [0, 1, 2]
    assert [one.point for one in decide(median, "bcda", curves)] == ["b", "c", "d"]  # it comes after them


def test_what_was_decided_stands_when_a_failed_run_comes_back():
    rule = Rule("halving", rungs=(5, 10), factor=2)
    curves = {"a": {5: 3.0}, "b": {5: 2.0}, "c": {5: 1.0}}
    made = decide(rule, "dabc", curves, gone="d")
    assert [one.point for one in made if one.goes_on] == ["c"]
    curves["d"] = {5: 0.5}
    again = decide(rule, "dabc", curves, made=made)
    assert [one.point for one in again if one.goes_on] == ["d", "c"]
    assert [one for one in again if one.point != "d"] == made
    curves["c"] = {5: 1.0, 10: 1.0}
    assert all(one.rung == 5 for one in decide(rule, "dabc", curves, made=made))  # d may come to 10 too


def test_a_thousand_runs_are_decided_in_a_moment():
    order = [f"r{number}" for number in range(1000)]
    curves = {point: dict.fromkeys(RUNGS, number * 7919 % 1000 / 7) for number, point in enumerate(order)}
    assert sum(one.goes_on for one in decide(Rule("halving", rungs=RUNGS), order, curves)) == 333 + 111 + 37
    found = outcomes(decide(Rule("median", rungs=RUNGS), order, curves))
    assert found == plain_median(Rule("median", rungs=RUNGS), order, curves)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "medain"}, "--stopping=medain is unknown (did you mean 'median'?); one of: median, halving"),
        ({"metric": "accuracy"}, "--stopping-metric=accuracy is unknown; one of: held_out_loss, loss"),
        ({"goal": "least"}, "goal=least is unknown; one of: min, max"),
        ({"rungs": ()}, "--stopping=median has no rungs; give the steps"),
        ({"rungs": (10, 0)}, "--rungs=10,0 must be steps, whole numbers from 1"),
        ({"rungs": (1.5,)}, "--rungs=1.5 must be steps"),
        ({"rungs": (10, 10)}, "--rungs=10,10 must ascend"),
        ({"rungs": (20, 10)}, "--rungs=20,10 must ascend"),
        ({"factor": 1}, "--factor=1 must be a whole number from 2"),
        ({"factor": 2.5}, "--factor=2.5 must be a whole number from 2"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_in_one_line(fields, says):
    with pytest.raises(UserError) as refused:
        Rule(**{"kind": "median", "rungs": (10, 20), **fields})
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
