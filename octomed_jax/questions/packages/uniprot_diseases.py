"""UniProt's descriptions of human diseases and the disease that each describes, out of GNU Health's copy of them."""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from octomed_jax.errors import UserError
from octomed_jax.questions.packages.archives import wheel_members
from octomed_jax.questions.packages.choices import Item, Table, ask, family, says
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.likeness import Likeness
from octomed_jax.questions.packages.pinned import GNUHEALTH_UNIPROT
from octomed_jax.questions.packages.source import Made, Source

DISEASES = "trytond/modules/health_genetics_uniprot/data/protein_diseases.xml"
LICENCE = "CC-BY-4.0 (UniProt); GPL-3.0-or-later (GNU Health)"
FEWEST_WORDS = 12
MOST_ALIKE = 0.6  # a disease whose description is more alike than this could be meant as well


def read_diseases(table: bytes) -> list[dict[str, str]]:
    """Return the fields of each disease.

    Raises:
        UserError: not the XML that the diseases are known to be in.
    """
    try:
        root = ElementTree.fromstring(table)
    except ElementTree.ParseError as error:
        raise _refusal(f"is not valid XML ({error})") from error
    found = [
        {field.get("name", ""): " ".join((field.text or "").split()) for field in record}
        for record in root.iter("record")
    ]
    for fields in found:
        if not fields.get("name") or not fields.get("disease_name"):
            raise _refusal("has a disease without code or name")
    if not found:
        raise _refusal("has no disease")
    return found


def _refusal(what: str) -> UserError:
    return UserError(f"{DISEASES} {what}; delete {GNUHEALTH_UNIPROT.filename} from the cache")


def telling(fields: Mapping[str, str]) -> str:
    """Return the description without the sentences that name the disease; empty where the first one does."""
    sentences = re.split(r"(?<=\.)\s+(?=[A-Z])", fields.get("description", ""))
    kept = [sentence for sentence in sentences if not _names(sentence, fields)]
    return " ".join(kept) if kept and kept[0] == sentences[0] else ""


def _names(sentence: str, fields: Mapping[str, str]) -> bool:
    acronym = fields.get("acronym", "")
    return says(sentence, family(fields["disease_name"])) or bool(acronym and says(sentence, acronym))


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Make ``train`` and ``test`` questions, one of a family; the wrong options are diseases described in like words.

    Raises:
        UserError: there are fewer diseases than are asked for.
    """
    table = wheel_members(fetch(GNUHEALTH_UNIPROT), [DISEASES], GNUHEALTH_UNIPROT.filename)[DISEASES]
    items, texts, dropped = make_items(read_diseases(table))
    place = {item.code: index for index, item in enumerate(items)}
    likeness = Likeness([set(re.findall(r"[a-z]{3,}", text.lower())) for text in texts])

    def near(item: Item, _rng: object) -> Iterable[str]:
        return (items[other].name for other, alike in likeness.nearest(place[item.code]) if alike < MOST_ALIKE)

    made = ask(Table("uniprot_diseases", "uniprot_disease", LICENCE, items, near), settings, seed)
    return Made(made.questions, {**dropped, **made.dropped})


def make_items(diseases: Sequence[Mapping[str, str]]) -> tuple[list[Item], list[str], dict[str, int]]:
    """Return one disease of each family with the text that describes it, and how many were left out for what."""
    described: dict[str, set[str]] = {}
    for fields in diseases:
        described.setdefault(telling(fields), set()).add(family(fields["disease_name"]))
    items: dict[str, Item] = {}
    texts = []
    dropped: Counter[str] = Counter()
    for fields in sorted(diseases, key=lambda fields: fields["name"]):
        text, name = telling(fields), fields["disease_name"]
        if len(text.split()) < FEWEST_WORDS:
            dropped["no description is left without its name"] += 1
        elif family(name) in items:
            dropped["of a family that is asked for"] += 1
        elif len(described[text]) > 1:
            dropped["several share it"] += 1
        else:
            items[family(name)] = _item(fields["name"], name, text)
            texts.append(text)
    return list(items.values()), texts, dropped


def _item(code: str, name: str, text: str) -> Item:
    return Item(
        code=code,
        name=name,
        text=f"Which disease does this describe? {text}",
        explanation=f"Asked: disease. UniProt describes {name} ({code}) so.",
        family=family(name),
    )


SOURCE = Source(
    name="uniprot_diseases",
    title="descriptions of genetic diseases and the disease, multiple choice among diseases described in like words",
    licence=LICENCE,
    access="open",
    attribution=(
        "Human diseases of UniProtKB, (C) UniProt Consortium, uniprot.org (CC BY 4.0); changed: sentences that name "
        "the disease are left out. As packaged in GNU Health, (C) 2008-2026 Luis Falcon and GNU Solidario."
    ),
    gives={"uniprot_disease": "train and test"},
    packages=(GNUHEALTH_UNIPROT,),
    settings=("train", "test"),
    make=make,
)
