"""Finding known names in a text, and which of them it rules out. All linear in the text's length."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence

from octomed_jax.verification.phrases import DENIED_AFTER, DENIED_BEFORE

# Between two names of one list: "A, B and C".
_JOINS = re.compile(
    r"[\s)\]]{0,3}(?:(?P<comma>,)|(?:,\s?)?(?:/|&|\+|\band/or\b|\band\b|\bor\b|\bnor\b|\bas well as\b))[\s(\[]{0,3}"
    r"(?:(?:option|options|answer|the|a|an)\s)?[(\[]?"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Mention:
    """One place where a known name stands.

    Attributes:
        index: which name.
        start, end: from where to where.
        negated: the text rules it out.
        letter: it is an option's letter.
    """

    index: int
    start: int
    end: int
    negated: bool = False
    letter: bool = False


def ruled_out(folded: str, found: Sequence[Mention]) -> list[Mention]:
    """Return mentions, in order, with those marked that the text rules out.

    A list is ruled out as a whole ("A, B and C are wrong").
    """
    marked: list[Mention] = []
    reach = -1  # where the last "is not ..." ends: a name within it ("not indicated") is no answer either
    for group in _lists(folded, found):
        start, end = group[0].start, group[-1].end
        match = DENIED_AFTER.match(folded[end : end + 60])
        after, reach = match is not None or start < reach, end + match.end() if match else -1
        before = DENIED_BEFORE.search(folded[max(0, start - 60) : start]) is not None
        # "Unlike A, B": commas alone make no list that a word before it could rule out.
        join = _JOINS.fullmatch(folded, group[-2].end, group[-1].start) if len(group) > 1 else None
        listed = join is None or not join["comma"]
        for number, mention in enumerate(group):
            negated = after or (before and (listed or number == 0))
            marked.append(dataclasses.replace(mention, negated=True) if negated else mention)
    return marked


def _lists(folded: str, found: Sequence[Mention]) -> list[list[Mention]]:
    """Return mentions in groups: those joined by commas, "and" or "or" are one."""
    groups: list[list[Mention]] = []
    for mention in found:
        end = groups[-1][-1].end if groups else 0
        if groups and mention.start - end <= 24 and _JOINS.fullmatch(folded, end, mention.start):
            groups[-1].append(mention)
        else:
            groups.append([mention])
    return groups


def find_names(folded: str, names: Mapping[str, int] | Sequence[str]) -> list[Mention]:
    """Return where ``names`` (folded) stand in a folded text as whole words, longer names before shorter ones.

    A name inside a longer one that matched is not counted; digits next to a number are part of another number.
    """
    table = names if isinstance(names, Mapping) else {name: index for index, name in reversed(list(enumerate(names)))}
    return [Mention(table[folded[start:end]], start, end) for start, end in _find(folded, tuple(table))]


@functools.lru_cache(maxsize=1024)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str] | None:
    known = sorted(filter(None, names), key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, known))) if known else None


def _find(folded: str, names: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    pattern, position = _pattern(names), 0
    while pattern and (match := pattern.search(folded, position)):
        start, end = match.span()
        if _whole(folded, start, end):
            yield start, end
            position = end
        else:
            position = start + 1


def _whole(folded: str, start: int, end: int) -> bool:
    """Say whether ``folded[start:end]`` is not a part of a longer word or number."""
    before, after = folded[start - 1 : start], folded[end : end + 1]
    if (before.isalnum() and folded[start].isalnum()) or (after.isalnum() and folded[end - 1].isalnum()):
        return False
    if folded[start].isdigit():
        further = folded[start - 2 : start - 1] if start > 1 else ""
        if before in ("-", "/", "<", ">", "=", "^") or (before in (".", ",") and further.isdigit()) or before == ".":
            return False
    if folded[end - 1].isdigit():
        further = folded[end + 1 : end + 2]
        if after == "/" or (after in (".", ",", "-") and further.isdigit()):
            return False
    return after != "-" or not folded[end + 1 : end + 2].isalnum()


def masked(text: str, found: Sequence[Mention]) -> str:
    """Return ``text`` with the mentioned names blanked out, at the same length."""
    pieces, position = [], 0
    for mention in found:
        pieces += [text[position : mention.start], " " * (mention.end - mention.start)]
        position = mention.end
    return "".join([*pieces, text[position:]])
