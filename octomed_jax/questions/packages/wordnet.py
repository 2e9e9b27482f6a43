"""WordNet's definitions of human diseases and body parts, and the word that each defines."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from octomed_jax.errors import UserError
from octomed_jax.questions.packages.archives import deb_members
from octomed_jax.questions.packages.choices import Item, Table, ask, family, says
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import WORDNET_BASE
from octomed_jax.questions.packages.source import Made, Source
from octomed_jax.schema import Question

NOUNS = "usr/share/wordnet/data.noun"
LICENCE = "LicenseRef-WordNet-3.0"
# What is asked for: the word in the question, the noun over all that it is asked of (by its place in the file), and the
# group of nouns (states, bodies) that these belong to: a shell of a turtle is a body part among the animals.
KINDS = {"disease": ("disease", "14070360", "26"), "body_part": ("body part", "05220461", "08")}
# Whole branches that are not of people, or not to be named before them.
NOT_HUMAN = ("plant_disease", "animal_disease", "plant_part")
ODD = re.compile(
    r"\b(plants?|trees?|leaf|leaves|stems?|flowers?|crops?|botany|fung(us|i) (of|on)|seeds?|fruits?|petals?|moss|algae|"
    r"animals?|mammals?|birds?|insects?|fish(es)?|mollus[ck]s?|snails?|crustaceans?|arthropods?|invertebrates?|"
    r"vertebrates?|reptiles?|snakes?|amphibians?|frogs?|horses?|hoof|hoofed|cattle|cows?|sheep|pigs?|swine|dogs?|cats?|"
    r"poultry|chickens?|fowl|deer|whales?|sharks?|worms?|spiders?|bees?|wings?|feathers?|antlers?|horns?|echinoderms?|"
    r"starfish|sponge|jellyfish|quadrupeds?|carnivores?|ruminants?|rodents?|elephants?|livestock|"
    r"zoology|zoological|bovines?|\w*snakes?|slang|obscene|informal|vulgar|offensive|archaic|of the same name)\b",
    re.IGNORECASE,
)
SHORTEST = 45  # letters of a definition; shorter ones fit several words


@dataclasses.dataclass(frozen=True)
class Noun:
    """One meaning: its group, its words, the codes of the meanings right above and below it, and its definition."""

    group: str
    words: tuple[str, ...]
    above: tuple[str, ...]
    below: tuple[str, ...]
    definition: str


def read_nouns(table: bytes) -> dict[str, Noun]:
    """Return code (the byte that its line begins at) to noun.

    Raises:
        UserError: a line of another form.
    """
    nouns = {}
    for line in table.decode("utf-8", "replace").splitlines():
        if line.startswith("  "):  # the licence
            continue
        try:
            code, noun = _noun(line)
        except (ValueError, IndexError) as error:
            raise UserError(
                f"{NOUNS} has an odd line {line[:60]!r}; delete {WORDNET_BASE.filename} from the cache"
            ) from error
        nouns[code] = noun
    for kind, (_, root, _) in KINDS.items():
        if root not in nouns:
            raise UserError(f"{NOUNS} has no root of {kind}; delete {WORDNET_BASE.filename} from the cache")
    return nouns


def _noun(line: str) -> tuple[str, Noun]:
    """Read one line: code, file, type, number of words (hexadecimal), words, number of pointers, pointers, gloss."""
    head, gloss = line.split(" | ", 1)
    fields = head.split(" ")
    last = 4 + 2 * int(fields[3], 16)
    pointers = [fields[place : place + 3] for place in range(last + 1, last + 1 + 4 * int(fields[last]), 4)]
    above, below = (tuple(code for mark, code, of in pointers if mark == sign and of == "n") for sign in ("@", "~"))
    spelled = tuple(word.replace("_", " ") for word in fields[4:last:2])
    # Examples follow the definition, in quotes.
    return fields[0], Noun(fields[1], spelled, above, below, gloss.strip().split('; "')[0].strip())


def under(nouns: Mapping[str, Noun], root: str) -> set[str]:
    """Return the codes of all that stands under a noun."""
    found: set[str] = set()
    todo = [root]
    while todo:
        for code in nouns[todo.pop()].below:
            if code not in found:
                found.add(code)
                todo.append(code)
    return found


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Make questions on diseases and body parts for both splits; the wrong options are words of the same branch.

    Raises:
        UserError: there are fewer words than are asked for.
    """
    nouns = read_nouns(deb_members(fetch(WORDNET_BASE), [NOUNS], WORDNET_BASE.filename)[NOUNS])
    questions: list[Question] = []
    dropped: dict[str, int] = {}
    for kind in KINDS:
        items, left_out = make_items(nouns, kind)
        codes = {item.code for item in items}

        def near(item: Item, rng: np.random.Generator, codes: set[str] = codes) -> Iterable[str]:
            return _near(item.code, nouns, codes, rng)

        wanted = {split: settings[f"{kind}_{split}"] for split in ("train", "test")}
        made = ask(Table("wordnet", f"wordnet_{kind}", LICENCE, items, near), wanted, seed)
        questions += made.questions
        dropped |= {f"{kind}: {reason}": count for reason, count in {**left_out, **made.dropped}.items()}
    return Made(questions, dropped)


def _near(code: str, nouns: Mapping[str, Noun], codes: set[str], rng: np.random.Generator) -> Iterable[str]:
    """Return the first words of siblings in random order, then of what stands ever further up; none above or below."""
    seen = {code} | under(nouns, code)
    ring = {code}
    while ring:
        ring = {above for one in ring for above in nouns[one].above if above in nouns}
        seen |= ring
        nearby = sorted((set().union(*(under(nouns, above) for above in ring)) if ring else set()) & codes - seen)
        for place in rng.permutation(len(nearby)):
            yield nouns[nearby[place]].words[0]
        seen.update(nearby)


def make_items(nouns: Mapping[str, Noun], kind: str) -> tuple[list[Item], dict[str, int]]:
    """Return the words of a kind that can be asked for, and how many were left out for what."""
    title, root, group = KINDS[kind]
    candidates = {code for code in under(nouns, root) if nouns[code].group == group}
    for code in sorted(candidates):
        if nouns[code].words[0].replace(" ", "_") in NOT_HUMAN:
            candidates = candidates - under(nouns, code) - {code}
    items: list[Item] = []
    dropped: Counter[str] = Counter()
    meanings = Counter(text for code in candidates for text in (nouns[code].words[0], nouns[code].definition))
    for code in sorted(candidates):
        noun = nouns[code]
        if ODD.search(noun.definition):
            dropped["not of people, or slang"] += 1
        elif any(says(noun.definition, word) for word in noun.words):
            dropped["the definition says the word"] += 1
        elif len(noun.definition) < SHORTEST:
            dropped["too short a definition"] += 1
        elif meanings[noun.words[0]] > 1 or meanings[noun.definition] > 1:
            dropped["of several meanings or words"] += 1
        else:
            items.append(_item(code, noun, title))
    return items, dropped


def _item(code: str, noun: Noun, title: str) -> Item:
    also = f", also called {', '.join(noun.words[1:])}" if noun.words[1:] else ""
    return Item(
        code=code,
        name=noun.words[0],
        text=f"Which {title} does this define: {noun.definition}?",
        explanation=f"Asked: {title}. WordNet defines {noun.words[0]} so{also}.",
        family=family(noun.words[0]),
    )


SOURCE = Source(
    name="wordnet",
    title="dictionary definitions of diseases and body parts, multiple choice among words of the same branch",
    licence=LICENCE,
    access="open",
    attribution="WordNet 3.0, Copyright 2006 by Princeton University. All rights reserved. As packaged in Debian.",
    gives={"wordnet_disease": "train and test", "wordnet_body_part": "train and test"},
    packages=(WORDNET_BASE,),
    settings=("disease_train", "disease_test", "body_part_train", "body_part_test"),
    make=make,
)
