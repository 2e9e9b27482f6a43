"""Multiple choice out of tables of terms: what is held out, which options stand beside the right one, and where.

A term is held out by its name alone, so that a disease that several sources describe stands in one split in all of
them, and so do the numbered types of one disease.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from octomed_jax.errors import UserError
from octomed_jax.questions.packages.source import Made, generator
from octomed_jax.schema import Question
from octomed_jax.storage import sha256_bytes

OPTIONS = 4
TEST_SHARE = 6  # one family of so many goes to test
# Words at the end of a name that tell the types of one disease apart: 2, 2B, iv, A, type.
_TYPE = re.compile(r"\d+[a-z]*|[ivx]+[a-z]?|[a-z]\d*|types?")


@dataclasses.dataclass(frozen=True)
class Item:
    """One term that can be asked for.

    Attributes:
        code: the source's own code of it, unique.
        name: the right option.
        text: the question.
        explanation: how the answer follows.
        family: what may not stand in both splits.
    """

    code: str
    name: str
    text: str
    explanation: str
    family: str


@dataclasses.dataclass(frozen=True)
class Table:
    """Terms of one kind, and which other names come near to each.

    Attributes:
        source, benchmark, licence: of the questions.
        items: in any order; the codes are unique.
        near: an item and a random generator to names that are not right for it, nearest first.
    """

    source: str
    benchmark: str
    licence: str
    items: Sequence[Item]
    near: Callable[[Item, np.random.Generator], Iterable[str]]


def words(text: str) -> str:
    """Return a text as lower-case words of letters and digits with single spaces."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def family(name: str) -> str:
    """Return what the types of one disease share: the words up to the first comma, without numbers at the end."""
    kept = (words(name.split(",")[0]) or words(name)).split()
    while len(kept) > 1 and _TYPE.fullmatch(kept[-1]):
        kept.pop()
    return " ".join(kept)


def held_out(name: str) -> bool:
    """Return whether a family is held out: a fixed sixth of them, whatever the seed and the source."""
    return int(sha256_bytes(name.encode())[:8], 16) % TEST_SHARE == 0


def says(text: str, name: str) -> bool:
    """Return whether a text has the words of a name in their order, as whole words."""
    return f" {words(name)} " in f" {words(text)} "


def ask(table: Table, wanted: Mapping[str, int], seed: int) -> Made:
    """Make so many questions of each split; every letter is right equally often.

    Args:
        table: the terms.
        wanted: ``train`` and ``test`` to a number of questions.
        seed: decides which terms are asked for, and which others are offered.

    Raises:
        UserError: the table has fewer terms than are asked for.
    """
    made: list[Question] = []
    lonely = 0
    for split, count in wanted.items():
        rng = generator(table.source, table.benchmark, seed, split)
        pool = sorted(
            (one for one in table.items if held_out(one.family) == (split == "test")), key=lambda one: one.code
        )
        # Every letter is right equally often, so that guessing one letter gains nothing.
        letters = rng.permutation(np.arange(count) % OPTIONS)
        before = len(made)
        for position in rng.permutation(len(pool)):
            if len(made) - before == count:
                break
            item = pool[position]
            others = _others(item, table.near(item, generator(table.source, table.benchmark, seed, item.code)))
            if len(others) < OPTIONS - 1:
                lonely += 1
                continue
            made.append(_question(table, split, item, others, int(letters[len(made) - before])))
        if len(made) - before < count:
            raise UserError(
                f"{table.benchmark} has {len(made) - before} terms for {count} {split} questions; "
                f"lower the number in config.questions.{table.source}"
            )
    return Made(made, {"fewer than three near terms": lonely} if lonely else {})


def _others(item: Item, near: Iterable[str]) -> list[str]:
    """Return the nearest three names of which none holds another one, or the right one: each must be another thing."""
    taken = [family(item.name)]
    others: list[str] = []
    for name in near:
        mine = family(name)
        if not any(says(mine, one) or says(one, mine) for one in taken):
            taken.append(mine)
            others.append(name)
            if len(others) == OPTIONS - 1:
                break
    return others


def _question(table: Table, split: str, item: Item, others: Sequence[str], letter: int) -> Question:
    options = [*others[:letter], item.name, *others[letter:]]
    code = re.sub(r"[^a-z0-9:.-]+", "_", item.code.lower())
    return Question(
        id=f"{table.source}:{table.benchmark}:{code}",
        source=table.source,
        benchmark=table.benchmark,
        split=split,
        task="mcq",
        question=item.text,
        options=tuple(options),
        answer=item.name,
        explanation=item.explanation,
        cluster=item.family,
        licence=table.licence,
    )
