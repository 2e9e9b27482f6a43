"""ICD-10-CM terms and the chapter they belong to, out of simple-icd-10-cm's copy of the CDC table."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping

import numpy as np

from octomed_jax.errors import UserError
from octomed_jax.questions.packages.archives import wheel_members
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import SIMPLE_ICD_10_CM
from octomed_jax.questions.packages.source import Made, Source, generator
from octomed_jax.schema import Question
from octomed_jax.storage import sha256_bytes

TABLE = "simple_icd_10_cm/data/icd10c-tabular-April-1-2026.xml"
LICENCE = "MIT; US public domain (ICD-10-CM)"
# Chapter number of the table -> short name. Symptoms, external causes, factors and special purposes are left out: their
# terms name no disease.
CHAPTERS = {
    "1": "infections",
    "2": "neoplasms",
    "3": "blood and immune system",
    "4": "endocrine and metabolic",
    "5": "mental disorders",
    "6": "nervous system",
    "7": "eye",
    "8": "ear",
    "9": "circulatory system",
    "10": "respiratory system",
    "11": "digestive system",
    "12": "skin",
    "13": "musculoskeletal system",
    "14": "genitourinary system",
    "15": "pregnancy and childbirth",
    "16": "perinatal conditions",
    "17": "congenital malformations",
    "19": "injury and poisoning",
}
OPTIONS = 4
TEST_SHARE = 6  # one category of so many goes to test
LONGEST = 60
# Words that name the chapter's rule rather than a disease, and terms that need their heading to be understood.
ODD = re.compile(r"unspecified|elsewhere|other |NOS|NEC|\(|\[|:|,|^with|^due|^in |^of |classified", re.IGNORECASE)


def read_terms(table: bytes) -> dict[str, dict[str, list[str]]]:
    """Return chapter name to three-character category to its terms, from the tabular list (XML).

    Raises:
        UserError: not the XML that the table is known to be.
    """
    try:
        root = ElementTree.fromstring(table)
    except ElementTree.ParseError as error:
        raise UserError(
            f"{TABLE} is not valid XML ({error}); delete {SIMPLE_ICD_10_CM.filename} and fetch again"
        ) from error
    chapters: dict[str, dict[str, list[str]]] = {}
    seen: dict[str, str] = {}
    for chapter in root.iter("chapter"):
        name = CHAPTERS.get(chapter.findtext("name", ""))
        if name is None:
            continue
        for category in chapter.findall("section/diag"):
            code = category.findtext("name", "")
            for term in _terms(category):
                # A term that stands under two categories would let train and test share a question.
                if seen.setdefault(term.lower(), code) == code:
                    chapters.setdefault(name, {}).setdefault(code, []).append(term)
    missing = set(CHAPTERS.values()) - set(chapters)
    if missing:
        raise UserError(f"{TABLE} has no terms for chapter {min(missing)!r}; delete {SIMPLE_ICD_10_CM.filename}")
    return {
        name: {code: sorted(set(terms)) for code, terms in sorted(chapters[name].items())} for name in CHAPTERS.values()
    }


def _terms(category: ElementTree.Element) -> list[str]:
    notes = [note.text or "" for note in category.iterfind(".//inclusionTerm/note")]
    descriptions = [desc.text or "" for desc in category.iter("desc")]
    return [term for text in notes + descriptions if (term := " ".join(text.split())) and _plain(term)]


def _plain(term: str) -> bool:
    return 5 <= len(term) <= LONGEST and term.isascii() and not ODD.search(term)


def is_test_category(code: str) -> bool:
    """Return whether a category is held out: a fixed sixth of them, whatever the seed."""
    return int(sha256_bytes(code.encode())[:8], 16) % TEST_SHARE == 0


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Make ``train`` and ``test`` questions, chapters in equal parts, categories disjoint.

    Raises:
        UserError: the table has fewer terms than are asked for.
    """
    table = wheel_members(fetch(SIMPLE_ICD_10_CM), [TABLE], SIMPLE_ICD_10_CM.filename)[TABLE]
    chapters = read_terms(table)
    questions = []
    for split in ("train", "test"):
        rng = generator("icd10", seed, split)
        pools = {name: _pool(categories, split, rng) for name, categories in chapters.items()}
        # Every letter is right equally often, so that guessing one letter gains nothing.
        letters = rng.permutation(np.arange(settings[split]) % OPTIONS)
        for index in range(settings[split]):
            chapter = list(chapters)[index % len(chapters)]
            if not pools[chapter]:
                raise UserError(
                    f"ICD-10-CM has too few terms on {chapter} for {settings[split]} {split} questions; "
                    f"lower config.questions.icd10.{split}"
                )
            code, term = pools[chapter].pop()
            questions.append(_question(split, index, code, term, chapter, int(letters[index]), rng))
    return Made(questions)


def _pool(categories: Mapping[str, list[str]], split: str, rng: np.random.Generator) -> list[tuple[str, str]]:
    held = [
        (code, term)
        for code, terms in categories.items()
        if is_test_category(code) == (split == "test")
        for term in terms
    ]
    return [held[position] for position in rng.permutation(len(held))]


def _question(
    split: str, index: int, code: str, term: str, chapter: str, letter: int, rng: np.random.Generator
) -> Question:
    others = [name for name in CHAPTERS.values() if name != chapter]
    options = [others[position] for position in rng.permutation(len(others))[: OPTIONS - 1]]
    options.insert(letter, chapter)
    return Question(
        id=f"icd10:{split}:{index:05d}",
        source="icd10",
        benchmark="icd10",
        split=split,
        task="mcq",
        question=f"Which chapter of ICD-10-CM holds this term: {term}?",
        options=tuple(options),
        answer=chapter,
        explanation=f"Asked: chapter. The code is {code}, in {chapter}.",
        cluster=code,
        licence=LICENCE,
    )


SOURCE = Source(
    name="icd10",
    title="ICD-10-CM terms and their chapter, multiple choice; held-out questions have categories of their own",
    licence=LICENCE,
    access="open",
    attribution=(
        "ICD-10-CM, April 2026 release: Centers for Disease Control and Prevention, National Center for Health "
        "Statistics (public domain in the US), as packaged in simple-icd-10-cm, (C) 2021-2026 Stefano Travasci (MIT)."
    ),
    gives={"icd10": "train and test"},
    packages=(SIMPLE_ICD_10_CM,),
    settings=("train", "test"),
    make=make,
)
