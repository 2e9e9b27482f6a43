import pytest

from octomed_jax.errors import UserError
from octomed_jax.questions.packages import wordnet as module
from octomed_jax.questions.packages.archives import deb_members
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import WORDNET_BASE
from octomed_jax.questions.packages.source import generator

LINES = """  1 This software and database is being provided to you
05220461 08 n 01 body_part 0 001 ~ 05300001 n 0000 | any part of an organism such as an organ or extremity
05300001 08 n 02 round_ligament 0 teres 0 002 @ 05220461 n 0000 + 00000001 v 0101 | a cord; "it is a cord"
14070360 26 n 01 disease 0 000 | an impairment of health
"""


def test_nouns_with_their_words_pointers_and_definition():
    nouns = module.read_nouns(LINES.encode())
    assert nouns["05300001"] == module.Noun("08", ("round ligament", "teres"), ("05220461",), (), "a cord")
    assert module.under(nouns, "05220461") == {"05300001"}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (LINES.replace(" | ", " / "), "odd line"),
        (LINES.replace("body_part 0 001", "body_part 0 x"), "odd line"),
        (LINES.replace("14070360", "14070361"), "no root of disease"),
    ],
)
def test_a_table_of_another_form_is_refused(table, words):
    with pytest.raises(UserError, match=words):
        module.read_nouns(table.encode())


@pytest.fixture(scope="module")
def nouns(packages):  # noqa: ARG001
    return module.read_nouns(deb_members(fetch(WORDNET_BASE), [module.NOUNS], "x")[module.NOUNS])


def test_definitions_belong_to_their_words(nouns):
    diseases, left_out = module.make_items(nouns, "disease")
    parts, _ = module.make_items(nouns, "body_part")
    texts = {item.name: item.text for item in (*diseases, *parts)}
    # Checked by hand.
    assert "loss of myelin sheath around certain nerve fibers" in texts["multiple sclerosis"]
    assert "xanthoma of the eyelids" in texts["xanthelasma"]
    assert "thin trapezoidal bone of the skull" in texts["vomer"]
    assert "branch of the femoral nerve" in texts["saphenous nerve"]
    # Of plants, of animals, of turtles; defined by their own name; a definition that fits many.
    for word in ("blister rust", "bone spavin", "plastron", "splint bone", "cervical vein"):
        assert word not in texts
    assert left_out["not of people, or slang"] > 0


def test_wrong_words_are_not_above_or_below_the_right_one(nouns):
    diseases, _ = module.make_items(nouns, "disease")
    codes = {item.code for item in diseases}
    by_word = {item.name: item.code for item in diseases}
    code = by_word["typhoid"]
    near = list(module._near(code, nouns, codes, generator("x")))
    assert len(near) == len(set(near)) > 20
    for word in near:
        assert code not in module.under(nouns, by_word[word])
        assert by_word[word] not in module.under(nouns, code)


@pytest.mark.usefixtures("packages")
def test_wordnet_questions_of_both_kinds():
    settings = {"disease_train": 20, "disease_test": 4, "body_part_train": 20, "body_part_test": 8}
    made = module.make(settings, 0, 1).questions
    assert made == module.make(settings, 0, 2).questions
    counts = {(one.benchmark, one.split): 0 for one in made}
    for question in made:
        counts[question.benchmark, question.split] += 1
        assert len(set(question.options)) == 4
        assert question.answer.lower() not in question.question.lower().split(":")[1].split()
    assert sorted(counts.values()) == [4, 8, 20, 20]
