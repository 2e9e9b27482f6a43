import dataclasses

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from octomed_jax.errors import UserError
from octomed_jax.questions.packages.choices import Item, Table, ask, family, held_out, says
from octomed_jax.questions.packages.likeness import Likeness


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("Spermatogenic failure 8", "spermatogenic failure"),
        ("Cardiomyopathy, dilated, 1FF", "cardiomyopathy"),
        ("Glycogen storage disease type 2B", "glycogen storage disease"),
        ("Mucolipidosis type III alpha/beta", "mucolipidosis type iii alpha beta"),
        ("Hepatitis A", "hepatitis"),
        ("Meniere's disease", "meniere s disease"),
        ("2", "2"),
        ("Ménière", "ménière"),
    ],
)
def test_the_types_of_one_disease_are_one_family(name, shared):
    assert family(name) == shared


@given(st.text(max_size=40))
@example(",0:0")
def test_a_family_is_a_family_of_its_own(name):
    assert family(family(name)) == family(name)
    assert held_out(family(name)) == held_out(family(family(name)))


def test_about_a_sixth_is_held_out():
    assert 120 < sum(held_out(f"disease {place}") for place in range(1000)) < 220


def test_words_are_whole():
    assert says("A form of Ileal ulcer.", "ileal ulcer")
    assert not says("A form of ileal ulcers.", "ileal ulcer")


def table(names, near=None):
    items = [Item(f"X:{place}", name, f"Which is {place}?", "So.", family(name)) for place, name in enumerate(names)]
    return Table("hpo_terms", "test", "MIT", items, near or (lambda item, _rng: [n for n in names if n != item.name]))


# Letters, so that each name is a family of its own.
NAMES = [f"disease of {a}{b}{c}" for a in "xyz" for b in "pqrstu" for c in "klmnow"]


def test_letters_are_balanced_and_families_stand_in_one_split():
    terms = table(NAMES)
    made = ask(terms, {"train": 40, "test": 8}, 0).questions
    # The order of the table decides nothing.
    assert made == ask(dataclasses.replace(terms, items=terms.items[::-1]), {"train": 40, "test": 8}, 0).questions
    for split, each in (("train", 10), ("test", 2)):
        mine = [question for question in made if question.split == split]
        assert np.bincount([one.options.index(one.answer) for one in mine]).tolist() == [each] * 4
        assert {held_out(question.cluster) for question in mine} == {split == "test"}
    assert all(len(set(question.options)) == 4 for question in made)
    assert len({question.id for question in made}) == len(made)


def test_another_seed_asks_for_others():
    first, second = (ask(table(NAMES), {"train": 20, "test": 0}, seed).questions for seed in (0, 1))
    assert {question.answer for question in first} != {question.answer for question in second}


def test_no_option_holds_another_one():
    def near(_item, _rng):
        return ["Glaucoma", "angle-closure glaucoma", "glaucoma, 3", "cataract", "CATARACT 2", "uveitis", "myopia"]

    (question,) = ask(table(["primary myopia"], near), {"train": 1, "test": 0}, 0).questions
    assert set(question.options) == {"primary myopia", "Glaucoma", "cataract", "uveitis"}


def test_a_term_with_few_near_ones_is_counted_and_left_out():
    def near(item, _rng):
        return ["one", "two", "three"] if item.code == "X:1" else ["one", "two"]

    names = [name for name in NAMES if not held_out(family(name))][:5]
    made = ask(table(names, near), {"train": 1, "test": 0}, 0)
    assert [question.id for question in made.questions] == ["hpo_terms:test:x:1"]
    assert 0 <= made.dropped.get("fewer than three near terms", 0) <= 4
    with pytest.raises(UserError, match=r"has 1 terms for 2 train questions; lower .* config\.questions\.hpo_terms"):
        ask(table(names, near), {"train": 2, "test": 0}, 0)


def test_rare_features_weigh_more_and_the_nearest_comes_first():
    things = [{"common", "rare"}, {"common"}, {"common", "rare", "x"}, {"common", "x"}, {"other"}]
    likeness = Likeness(things)
    assert likeness.rarity["rare"] > likeness.rarity["common"]
    nearest = list(likeness.nearest(0))
    assert [thing for thing, _ in nearest] == [2, 1, 3]
    # By hand: log(5/4) for common, log(5/2) for rare and x.
    common, rare = np.log(5 / 4), np.log(5 / 2)
    alike = (common**2 + rare**2) / np.hypot(common, rare) / np.sqrt(common**2 + 2 * rare**2)
    assert nearest[0][1] == pytest.approx(alike, abs=1e-5)
    assert list(likeness.nearest(4)) == []
