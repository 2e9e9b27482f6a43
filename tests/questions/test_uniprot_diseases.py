import pytest

from octomed_jax.errors import UserError
from octomed_jax.questions.packages import uniprot_diseases as module
from octomed_jax.questions.packages.archives import wheel_members
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import GNUHEALTH_UNIPROT

FIELDS = {"name": "DI-1", "disease_name": "Rothmund-Thomson syndrome 1", "acronym": "RTS1"}


@pytest.mark.parametrize(
    ("description", "left"),
    [
        ("Sparse hair. RTS1 is recessive. Cataracts are early.", "Sparse hair. Cataracts are early."),
        ("A form of Rothmund-Thomson syndrome, with sparse hair. Cataracts.", ""),
        ("Sparse hair and cataracts of RTS12.", "Sparse hair and cataracts of RTS12."),
        ("", ""),
    ],
)
def test_sentences_that_name_the_disease_are_left_out(description, left):
    assert module.telling({**FIELDS, "description": description}) == left


def test_one_question_of_a_family_and_none_where_several_share_the_text():
    words = " ".join(["finding"] * 12)
    rows = [
        {**FIELDS, "name": "DI-2", "description": f"First {words}."},
        {**FIELDS, "name": "DI-1", "description": f"Second {words}."},
        {"name": "DI-3", "disease_name": "Other disease", "description": f"Shared {words}."},
        {"name": "DI-4", "disease_name": "Another disease", "description": f"Shared {words}."},
        {"name": "DI-5", "disease_name": "Short disease", "description": "Too few words."},
    ]
    items, texts, dropped = module.make_items(rows)
    assert [item.code for item in items] == ["DI-1"]
    assert texts == [f"Second {words}."]
    assert sum(dropped.values()) == 4


def test_a_table_that_cannot_be_read_is_refused():
    for table, words in (
        (b"<broken", "not valid XML"),
        (b"<tryton/>", "no disease"),
        (b'<tryton><record><field name="name">DI-1</field></record></tryton>', "without code or name"),
    ):
        with pytest.raises(UserError, match=words):
            module.read_diseases(table)


@pytest.mark.usefixtures("packages")
def test_descriptions_belong_to_their_diseases():
    table = wheel_members(fetch(GNUHEALTH_UNIPROT), [module.DISEASES], "x")[module.DISEASES]
    items, _, _ = module.make_items(module.read_diseases(table))
    texts = {item.name: item.text for item in items}
    # Checked by hand.
    assert (
        "degeneration limited to selected thalamic nuclei and progressive insomnia" in texts["Fatal familial insomnia"]
    )
    assert "full- thickness cleft within the cerebral hemispheres" in texts["Schizencephaly"]
    assert "vas deferens aplasia resulting in azoospermia" in texts["Congenital bilateral absence of the vas deferens"]


@pytest.mark.usefixtures("packages")
def test_uniprot_questions_do_not_name_the_disease():
    made = module.make({"train": 60, "test": 12}, 0, 1).questions
    assert made == module.make({"train": 60, "test": 12}, 0, 2).questions
    clusters = {split: {one.cluster for one in made if one.split == split} for split in ("train", "test")}
    assert not clusters["train"] & clusters["test"]
    for question in made:
        assert question.answer.lower() not in question.question.lower()
        assert len(set(question.options)) == 4
        assert "CC-BY-4.0" in question.licence
