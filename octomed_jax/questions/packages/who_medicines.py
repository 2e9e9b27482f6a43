"""Medicines of the WHO Model List of Essential Medicines and their headings, out of GNU Health's copy."""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from octomed_jax.errors import UserError
from octomed_jax.questions.packages.archives import wheel_members
from octomed_jax.questions.packages.choices import Item, Table, ask, says, words
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import GNUHEALTH_MEDICINES
from octomed_jax.questions.packages.source import Made, Source

FOLDER = "trytond/modules/health_who_essential_medicines/data/"
HEADINGS, MEDICINES = FOLDER + "medicament_categories.xml", FOLDER + "WHO_list_of_essential_medicines.xml"
LICENCE = "GPL-3.0-or-later (GNU Health)"
ROOT = "em"
# Headings that say nothing without the one above them; their medicines are asked for by that.
BARE = re.compile(r"Complementary|Specific|Non-specific|For |Oral$|Parenteral|Miscellaneous|Other ")
# Sections by the patient and not by what the medicine is.
LEFT_OUT = ("em_28", "em_29")
# Spelt so in the table, and therefore taken for other medicines than those of the right spelling.
MISSPELT = ("choloroquine", "epinefrine (adrenaline)")


def read_headings(table: bytes) -> dict[str, tuple[str, str]]:
    """Return code of a heading to its text and the code of the heading above it.

    Raises:
        UserError: not the XML that the headings are known to be in.
    """
    found = {}
    for record in _records(table, HEADINGS):
        text, above = record.findtext("field[@name='name']"), record.find("field[@name='parent']")
        found[record.get("id", "")] = (text or "", "" if above is None else above.get("ref", ""))
    if ROOT not in found:
        raise UserError(f"{HEADINGS} has no heading {ROOT!r}; delete {GNUHEALTH_MEDICINES.filename} from the cache")
    return found


def read_medicines(table: bytes, headings: Mapping[str, tuple[str, str]]) -> dict[str, set[str]]:
    """Return medicine to the codes of the headings it stands under, each a section's or the one below it.

    Raises:
        UserError: not the XML that the medicines are known to be in.
    """
    found: dict[str, set[str]] = {}
    for record in _records(table, MEDICINES):
        name, category = record.findtext("field[@name='active_component']"), record.find("field[@name='category']")
        code = "" if category is None else category.get("ref", "")
        if not name or code not in headings:
            raise UserError(
                f"{MEDICINES} has a medicine without name or heading; delete {GNUHEALTH_MEDICINES.filename}"
            )
        found.setdefault(" ".join(name.split()), set()).add(_asked(code, headings))
    return found


def _records(table: bytes, name: str) -> Iterable[ElementTree.Element]:
    try:
        return ElementTree.fromstring(table).iter("record")
    except ElementTree.ParseError as error:
        raise UserError(f"{name} is not valid XML ({error}); delete {GNUHEALTH_MEDICINES.filename}") from error


def _path(code: str, headings: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return the codes from the section down to a heading."""
    path: list[str] = []
    while code and code != ROOT:
        path.insert(0, code)
        code = headings[code][1]
    return path


def _asked(code: str, headings: Mapping[str, tuple[str, str]]) -> str:
    """Return the heading to ask for: the second from above, or the section where that one says nothing alone."""
    path = _path(code, headings)[:2]
    return path[-1] if not BARE.match(headings[path[-1]][0]) else path[0]


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Make ``train`` and ``test`` questions; the wrong options are headings of the same section, then others.

    Raises:
        UserError: there are fewer medicines than are asked for.
    """
    files = wheel_members(fetch(GNUHEALTH_MEDICINES), [HEADINGS, MEDICINES], GNUHEALTH_MEDICINES.filename)
    headings = read_headings(files[HEADINGS])
    medicines = read_medicines(files[MEDICINES], headings)
    items, dropped = make_items(medicines, headings)
    used = sorted({code for codes in medicines.values() for code in codes})

    def near(item: Item, rng: np.random.Generator) -> Iterable[str]:
        own = medicines[item.code]
        sections = {_path(code, headings)[0] for code in own}
        # Neither a heading of its own nor the section over it: both would be right.
        others = [used[place] for place in rng.permutation(len(used)) if used[place] not in own | sections]
        others.sort(key=lambda code: _path(code, headings)[0] not in sections)
        rights = [headings[code][0] for code in own]
        return (headings[code][0] for code in others if not any(_alike(headings[code][0], right) for right in rights))

    made = ask(Table("who_medicines", "who_medicine", LICENCE, items, near), settings, seed)
    return Made(made.questions, {**dropped, **made.dropped})


def _alike(one: str, other: str) -> bool:
    return says(one, other) or says(other, one)


def make_items(
    medicines: Mapping[str, set[str]], headings: Mapping[str, tuple[str, str]]
) -> tuple[list[Item], dict[str, int]]:
    """Return the medicines that stand under one heading, and how many were left out for what."""
    items: list[Item] = []
    dropped: Counter[str] = Counter()
    for name, codes in sorted(medicines.items()):
        code = min(codes)
        if name in MISSPELT:
            dropped["spelt wrong in the table"] += 1
        elif "+" in name:
            dropped["a combination, of medicines that are asked for alone"] += 1
        elif len(codes) > 1:
            dropped["under several headings"] += 1
        elif _path(code, headings)[0] in LEFT_OUT:
            dropped["by the patient, not by what it is"] += 1
        elif _shared(name, headings[code][0]):
            dropped["the heading says the name"] += 1
        else:
            items.append(_item(name, headings[code][0]))
    return items, dropped


def _shared(name: str, heading: str) -> bool:
    """Return whether name and heading have a word in common, in whatever number: vaccine and Vaccines."""
    stems = [{word[:6] for word in words(text).split() if len(word) > 4} for text in (name, heading)]
    return bool(stems[0] & stems[1])


def _item(name: str, heading: str) -> Item:
    return Item(
        code=name,
        name=heading,
        text=f"Under which heading of the WHO Model List of Essential Medicines is {name} listed?",
        explanation=f"Asked: heading. The list has {name} under {heading}.",
        family=words(re.split(r"[(,]", name)[0]),
    )


SOURCE = Source(
    name="who_medicines",
    title="essential medicines and their heading, multiple choice among headings of the same section",
    licence=LICENCE,
    access="open",
    attribution=(
        "WHO Model List of Essential Medicines: World Health Organization; as packaged in GNU Health, (C) 2008-2026 "
        "Luis Falcon and GNU Solidario (GPL-3.0-or-later)."
    ),
    gives={"who_medicine": "train and test"},
    packages=(GNUHEALTH_MEDICINES,),
    settings=("train", "test"),
    make=make,
)
