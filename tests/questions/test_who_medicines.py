import pytest

from octomed_jax.errors import UserError
from octomed_jax.questions.packages import who_medicines as module
from octomed_jax.questions.packages.archives import wheel_members
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import GNUHEALTH_MEDICINES

HEADINGS = {
    "em": ("WHO essential Medicines", "medicament"),
    "em_4": ("ANTIDOTES", "em"),
    "em_4_2": ("Specific", "em_4"),
    "em_6": ("ANTI-INFECTIVE MEDICINES", "em"),
    "em_6_4": ("Antiviral medicines", "em_6"),
    "em_6_4_2": ("Antiretrovirals", "em_6_4"),
    "em_6_4c": ("Complementary", "em_6_4"),
    "em_28": ("EAR CONDITIONS IN CHILDREN", "em"),
}


def record(name: str, heading: str) -> str:
    return f'<record><field name="active_component">{name}</field><field name="category" ref="{heading}"/></record>'


def read(*rows: str) -> dict[str, set[str]]:
    return module.read_medicines(f"<tryton>{''.join(rows)}</tryton>".encode(), HEADINGS)


def test_headings_that_say_nothing_alone_are_asked_for_by_their_section():
    found = read(record("naloxone", "em_4_2"), record("abacavir", "em_6_4_2"), record("zanamivir", "em_6_4c"))
    assert found == {"naloxone": {"em_4"}, "abacavir": {"em_6_4"}, "zanamivir": {"em_6_4"}}


def test_what_is_left_out():
    medicines = read(
        record("abacavir", "em_6_4_2"),
        record("abacavir + lamivudine", "em_6_4_2"),
        record("both", "em_6_4"),
        record("both", "em_4"),
        record("epinefrine (adrenaline)", "em_4_2"),
        record("drops", "em_28"),
        record("antiviral serum", "em_6_4"),
    )
    items, dropped = module.make_items(medicines, HEADINGS)
    assert [(item.code, item.name) for item in items] == [("abacavir", "Antiviral medicines")]
    assert sorted(dropped.values()) == [1, 1, 1, 1, 1]


def test_tables_that_cannot_be_read_are_refused():
    with pytest.raises(UserError, match="not valid XML"):
        module.read_headings(b"<broken")
    with pytest.raises(UserError, match="no heading 'em'"):
        module.read_headings(b"<tryton/>")
    for row in (record("", "em_4"), record("x", "em_99"), "<record/>"):
        with pytest.raises(UserError, match="without name or heading"):
            read(row)


@pytest.mark.usefixtures("packages")
def test_medicines_stand_under_their_headings():
    files = wheel_members(fetch(GNUHEALTH_MEDICINES), [module.HEADINGS, module.MEDICINES], "x")
    headings = module.read_headings(files[module.HEADINGS])
    items, _ = module.make_items(module.read_medicines(files[module.MEDICINES], headings), headings)
    found = {item.code: item.name for item in items}
    # Checked by hand.
    for name, heading in {
        "clarithromycin": "Antibacterials",
        "timolol": "Miotics and antiglaucoma medicines",
        "oseltamivir": "Antiviral medicines",
        "naloxone": "ANTIDOTES AND OTHER SUBSTANCES USED IN POISONINGS",
        "amiodarone": "Antiarrhythmic medicines",
        "mefloquine": "Antiprotozoal medicines",
    }.items():
        assert found[name] == heading


@pytest.mark.usefixtures("packages")
def test_medicine_questions_offer_headings_of_the_section_first():
    made = module.make({"train": 100, "test": 20}, 0, 1).questions
    for question in made:
        assert len({option.lower() for option in question.options}) == 4
        if question.answer == "Antibacterials":
            assert set(question.options) <= {
                *("Antibacterials", "Antifungal medicines", "Antiviral medicines", "Antiprotozoal medicines"),
                "Anthelminthics",
            }
    assert len({question.cluster for question in made}) == len(made)
