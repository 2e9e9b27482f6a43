"""Synthetic medical-looking questions with planted overlaps and near-duplicates, for benchmarks/curation.py and tests.

Words come as often as in real text (Zipf's law over 24,000 of them, the first of which are those of any question),
with numbers and units, sentences, stock beginnings and endings, and now and then a letter that is not ASCII. A
question has 20 to 150 words, one evaluation question in ten only 9 to 15; each has four options of one to five words
and an answer.

Every question is a function of the seed, its block of BLOCK questions and its place there, so that they can be written
block after block. What is planted where is in the column ``kind``; ``of`` is the evaluation question or earlier row.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

BLOCK = 10_000
WORDS = 24_000
EVALUATION_BLOCKS = 1 << 20  # numbers of blocks from here on are those of evaluation questions

_COMMON = (
    "the of and a in to with is for was on patient at which by following an from are as this that be his has history "
    "most likely after no or blood examination pain shows treatment disease diagnosis pressure not days right left "
    "acute chronic normal increased decreased serum level cell heart rate fever therapy infection risk chest bone"
)
_STEMS = (
    "cardi nephr hepat gastr neur derm oste arthr pulmon myel cyt aden angi encephal rhin ot cholecyst pancreat thyr "
    "splen lymph my col enter hem vascul bronch laryng ureter cyst prostat mast thorac crani spondyl"
)
_LINKS = ("", "o", "i", "al", "ic", "eo", "ul", "id", "at", "on", "er", "an")
_ENDINGS = (
    "itis oma osis ectomy pathy algia emia uria plasty scopy gram penia cyte genic lysis megaly plegia rrhea sclerosis "
    "stenosis tomy trophy ine ol azole mycin pril statin mab"
)
_ODD = ("µg/kg", "38.4°C", "β-blocker", "Crohn’s", "Sjögren", "Ménière", "≥", "–", "naïve", "CO₂")  # one word in 400
_UNITS = ("mg", "mL", "mm Hg", "mg/dL", "%", "weeks", "/min", "mEq/L")
# Phrases of nine and six words: longer ones, with a few chance words at them, are 16 words that two questions share.
_BEGINNINGS = (
    "A {}-year-old man comes in because of",
    "A {}-year-old woman is seen with",
    "In a {}-year-old patient with",
    "A {}-year-old boy presents with",
)
_LAST = (
    "What is the most likely diagnosis?",
    "Which of these is the cause?",
    "What is the best next step?",
    "All of these are true except:",
)

# What must go by an overlap of 16 words with an evaluation question, or as the whole of a short one.
OVERLAPS = ("verbatim", "case", "punctuation", "unicode", "option order", "fragment", "changed word", "short")
# What must stay by 16 words, and goes by 8 of them.
BROKEN = "every ninth word changed"
# What must go as a duplicate of an earlier row: the first by its exact key.
DUPLICATES = ("exact", "one word", "words added", "word and option order")
# What looks like a duplicate, and must stay.
LOOKALIKES = ("number changed", "other answer", "half changed")
CLEAN = "clean"


@dataclasses.dataclass(frozen=True)
class Item:
    """One question; ``kind`` and ``of`` say what was planted."""

    question: str
    options: tuple[str, ...]
    answer: str
    kind: str = CLEAN
    of: int = -1


class Questions:
    """Makes questions.

    Args:
        seed: of everything.
        evaluation: number of evaluation questions.
        planted: of each kind that has to do with evaluation, in all.
        copies: of each kind that has to do with earlier rows, in all.
        count: rows in all.
        stock: begin and end questions with phrases that many share.
    """

    def __init__(self, seed: int, count: int, evaluation: int, planted: int, copies: int, stock: bool = True) -> None:
        self.seed, self.count, self.stock = seed, count, stock
        self.words = _vocabulary(np.random.default_rng([seed, 0]))
        odds = 1 / (np.arange(len(self.words)) + 3.0)
        self.odds = np.cumsum(odds / odds.sum())
        self.evaluation = self._evaluation(evaluation)
        rng = np.random.default_rng([seed, 1])
        kinds = np.repeat(np.arange(1, len(OVERLAPS) + 2), planted)
        later = np.repeat(np.arange(len(DUPLICATES) + len(LOOKALIKES)), copies) + len(OVERLAPS) + 2
        sources = rng.permutation(count // 2)[: len(later)]  # of copies: in the first half
        free = np.setdiff1d(rng.permutation(count), sources, assume_unique=True)
        places = np.concatenate([rng.choice(free[free < count // 2], len(kinds) // 2, replace=False),
                                 free[free >= count // 2][: len(kinds) - len(kinds) // 2 + len(later)]])  # fmt: skip
        if len(places) < len(kinds) + len(later):
            raise ValueError(f"{count} rows are too few for what is planted: take {8 * (len(kinds) + len(later))}")
        self.sources = set(sources.tolist())
        short, long = rng.permutation(np.arange(0, evaluation, 10)), np.arange(evaluation)
        long = rng.permutation(long[long % 10 > 0])  # of each one overlap at most: no two rows are alike by it
        if len(short) < planted or len(long) < len(OVERLAPS) * planted:
            raise ValueError(f"{evaluation} evaluation questions: for {planted} of each kind take {10 * planted}")
        is_short = kinds == OVERLAPS.index("short") + 1
        of = np.empty(len(kinds), dtype=np.int64)
        of[is_short], of[~is_short] = short[: is_short.sum()], long[: (~is_short).sum()]
        order = rng.permutation(len(kinds))
        planted_places = zip(places[: len(kinds)].tolist(), kinds[order].tolist(), of[order].tolist(), strict=True)
        self.planted = {place: (kind, number) for place, kind, number in planted_places}
        copied = zip(places[len(kinds) :].tolist(), later.tolist(), sources.tolist(), strict=True)
        self.copies = {place: (kind, source) for place, kind, source in copied}
        self._kept: dict[int, Item] = {}

    def blocks(self) -> Iterator[list[Item]]:
        """Yield all rows, block after block."""
        for block in range(-(-self.count // BLOCK)):
            items = self._clean(block, min(BLOCK, self.count - block * BLOCK))
            for at in range(len(items)):
                place = block * BLOCK + at
                rng = np.random.default_rng([self.seed, 2, place])
                if place in self.sources:
                    items[at] = self._kept[place] = self._long(rng)
                elif place in self.planted:
                    items[at] = self._overlap(*self.planted[place], items[at])
                elif place in self.copies:
                    kind, of = self.copies[place]
                    items[at] = self._copy(rng, kind - len(OVERLAPS) - 2, of, self._kept.pop(of))
            yield items

    def _evaluation(self, count: int) -> list[Item]:
        items = [item for block in range(-(-count // BLOCK)) for item in self._clean(EVALUATION_BLOCKS + block, BLOCK)]
        items = items[:count]
        for at in range(0, count, 10):
            rng = np.random.default_rng([self.seed, 3, at])
            words = self._draw(rng, int(rng.integers(8, 15)))
            words[0] = f"{words[0].capitalize()}-{at}"  # so that no two are the same
            items[at] = dataclasses.replace(items[at], question=" ".join(words) + "?")
        return items

    def _clean(self, block: int, count: int) -> list[Item]:
        rng = np.random.default_rng([self.seed, 4, block])
        lengths = rng.integers(20, 151, count)
        option_lengths = rng.integers(1, 6, (count, 4))
        words = self._draw(rng, int(lengths.sum() + option_lengths.sum()))
        items, at = [], 0
        for length, sizes, choice in zip(
            lengths.tolist(), option_lengths.tolist(), rng.integers(0, 1 << 30, count).tolist(), strict=True
        ):
            question = self._sentences(words[at : at + length], choice)
            at += length
            options = []
            for size in sizes:
                options.append(" ".join(words[at : at + size]).capitalize())
                at += size
            items.append(Item(question, tuple(options), options[choice % 4]))
        return items

    def _long(self, rng: np.random.Generator) -> Item:
        """Return a question of which one changed word leaves more than 0.85 of the shingles of both together."""
        words = self._draw(rng, int(rng.integers(90, 150)))
        words[40] = "45 mg"
        options = [" ".join(self._draw(rng, 3)).capitalize() for _ in range(4)]
        return Item(self._sentences(words, int(rng.integers(1 << 30))), tuple(options), options[0])

    def _draw(self, rng: np.random.Generator, count: int) -> list[str]:
        words = self.words
        return [words[at] for at in np.searchsorted(self.odds, rng.random(count)).tolist()]

    def _sentences(self, words: list[str], choice: int) -> str:
        """Return words as sentences of 9 to 20, with a comma in each, and perhaps a stock beginning and end."""
        size = 9 + choice % 12
        parts = []
        for start in range(0, len(words), size):
            part = words[start : start + size]
            if len(part) > 6:
                part = [*part[:4], part[4] + ",", *part[5:]]
            text = " ".join(part)
            parts.append(text[:1].upper() + text[1:])
        text = ". ".join(parts) + "."
        if self.stock:
            text = f"{_BEGINNINGS[choice % 4].format(18 + choice % 70)} {text} {_LAST[choice // 4 % 4]}"
        return text

    def _overlap(self, kind: int, of: int, clean: Item) -> Item:
        name = (*OVERLAPS, BROKEN)[kind - 1]
        item = self.evaluation[of]
        question, options = _CHANGES[name](item, clean)
        return Item(question, tuple(options), item.answer, name, of)

    def _copy(self, rng: np.random.Generator, kind: int, of: int, item: Item) -> Item:
        name = (*DUPLICATES, *LOOKALIKES)[kind]
        question, options, answer = item.question, list(item.options), item.answer
        words = question.split(" ")
        if name in ("exact", "word and option order"):
            options = [options[at] for at in rng.permutation(4)]
        if name == "exact":
            question, answer = question.upper().replace(",", " ;"), answer + "."
        if name in ("one word", "word and option order"):
            words[_plain_place(rng, words)] = "instead"
        if name == "words added":
            words += ["Choose", "the", "best", "one."]
        if name == "number changed":
            words[words.index("45")] = "450"
        if name == "other answer":
            answer = options[1]
        if name == "half changed":
            for at in range(0, len(words), 9):
                if words[at].isalpha():
                    words[at] = "other"
        return Item(question if name == "exact" else " ".join(words), tuple(options), answer, name, of)


def columns(items: list[Item]) -> dict[str, pa.Array]:
    """Return questions as the columns of a table."""
    return {
        "question": pa.array([item.question for item in items]),
        "options": pa.array([item.options for item in items], pa.list_(pa.string())),
        "answer": pa.array([item.answer for item in items]),
        "kind": pa.array([item.kind for item in items]),
        "of": pa.array([item.of for item in items]),
    }


def _vocabulary(rng: np.random.Generator) -> list[str]:
    """Return words, the most frequent first; they have some seven letters on the average of a text."""
    words = dict.fromkeys(_COMMON.split())
    parts = (_STEMS.split(), _STEMS.split(), _LINKS, _ENDINGS.split())
    while len(words) < WORDS:
        stem, other, link, ending = (some[rng.integers(len(some))] for some in parts)
        if len(words) < 3000:
            words[stem[:3] + link + other[:3]] = None
        else:
            words[(other + "o" if rng.random() < 0.3 else "") + stem + link + ending] = None
    found = list(words)
    for at, number in enumerate(rng.integers(1, 3000, 400).tolist()):
        found[60 + at * 7] = f"{number / 10:g} {_UNITS[number % len(_UNITS)]}"
    for at, odd in enumerate(_ODD):
        found[600 + at * 40] = odd
    return found


def _plain_place(rng: np.random.Generator, words: list[str]) -> int:
    """Return the place of a word that is letters alone."""
    return int(rng.choice([at for at, word in enumerate(words) if word.isalpha()]))


def _fragment(item: Item, clean: Item) -> tuple[str, Sequence[str]]:
    words, around = item.question.split(" "), clean.question.split(" ")
    start = len(around) % (len(words) - 19)
    return " ".join([*around[:9], *words[start : start + 20], *around[9:]]), clean.options


def _changed(item: Item, clean: Item) -> tuple[str, Sequence[str]]:
    words = item.question.split(" ")
    words[-2] = "instead"  # before it there are 16 at least
    return " ".join(words), clean.options


def _broken(item: Item, clean: Item) -> tuple[str, Sequence[str]]:
    words = item.question.split(" ")
    for at in range(8, len(words), 9):
        words[at] = "instead"
    return " ".join(words), clean.options


def _punctuation(item: Item, _: Item) -> tuple[str, Sequence[str]]:
    text = "(" + item.question.replace(", ", " - ").replace(". ", "; ").replace("?", " ... ")
    return text, [f"({option})" for option in item.options]


def _unicode(item: Item, _: Item) -> tuple[str, Sequence[str]]:
    wide = {ord(letter): ord(letter) + 0xFEE0 for letter in "ABCDEFGHIJKLM"}
    other = {ord("e"): "é", ord("-"): "\u2011", ord("'"): "’", ord(","): "，"}
    text = item.question.translate(wide | other).replace(" ", "\u00a0", 5).replace("t", "t\u00ad", 3)
    return text.replace("fi", "ﬁ"), item.options


def _shuffled(item: Item, _: Item) -> tuple[str, Sequence[str]]:
    return item.question, [item.options[at] for at in (2, 0, 3, 1)]


_CHANGES: dict[str, Callable[[Item, Item], tuple[str, Sequence[str]]]] = {
    "verbatim": lambda item, _: (item.question, item.options),
    "case": lambda item, _: (item.question.upper(), [option.upper() for option in item.options]),
    "punctuation": _punctuation,
    "unicode": _unicode,
    "option order": _shuffled,
    "fragment": _fragment,
    "changed word": _changed,
    "short": _shuffled,
    BROKEN: _broken,
}
