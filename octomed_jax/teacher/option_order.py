"""The order in which a request shows the options of a question, so that no letter is favoured.

Options that speak of others by their place stay where they are: "all of the above" and the like. A question whose
options or text name letters ("A and B", "option C") is left as it is.
"""

import functools
import hashlib
import re

from octomed_jax.schema import Question

_PLACE = r"(?:above|below|preceding|previous|foregoing|following|these|those|listed|mentioned)"
_OTHERS = r"(?:options?|choices?|answers?|alternatives?|statements?|responses?|items?)"
# "all of the above", "none of these", "both of the above options", "neither of the other choices", "any of them"
_ANCHOR = re.compile(
    rf"(?:all|none|any|both|neither|either|two|three|some|more than one|not any)\b(?:\W+\w+){{0,3}}?\W+"
    rf"(?:{_PLACE}|{_OTHERS}|them)(?:\s+(?:is|are|apply|applies)\b.*)?"
    rf"|(?:all|none|both|neither|either|two|three)\s+(?:is|are|apply|applies)\b.*"
    rf"|.*\b(?:from|by|of|than|as|with)\s+the\s+(?:above|foregoing|preceding)(?:\s+{_OTHERS})?"
    rf"|none|all|both|neither|either",
    re.IGNORECASE,
)
# The same in other languages of exams, by the words that only such options have.
_FOREIGN = re.compile(
    r"\b(?:anteriores|antérieures|précédent(?:e?s)?|ci-dessus|genannten|obigen|vorstehenden|precedenti)\b"
    r"|以上|上述|上記|위의|выше",
    re.IGNORECASE,
)
# "A and B", "both A & C", "either (b) or (c)", "A, B and D", "only A", "all except C"
_LETTER = r"\(?[A-Ja-j]\)?"
_LETTERS = re.compile(
    rf"(?:both|either|neither|only|all(?:\s+of\s+the\s+above)?\s+(?:except|but)|options?|choices?|answers?"
    rf"|(?:the\s+)?same\s+as|opposite\s+of)?\W*"
    rf"{_LETTER}(?:\s*(?:,|and|or|nor|&|/|\+)\s*(?:(?:and|or|nor)\s+)?{_LETTER})*(?:\s+(?:only|alone|are\s+\w+))?",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\b(?:options?|choices?|answers?|alternatives?)\s+\(?[A-J]\b", re.IGNORECASE)


@functools.lru_cache(maxsize=4096)  # the requests of a question come one after the other
def is_anchored(option: str) -> bool:
    """Return whether an option speaks of the others by their place."""
    return bool(_ANCHOR.fullmatch(_bare(option)) or _FOREIGN.search(option))


@functools.lru_cache(maxsize=4096)
def names_letters(option: str) -> bool:
    """Return whether an option is made of the letters of others; a single letter is too."""
    return bool(_LETTERS.fullmatch(_bare(option)))


def _bare(option: str) -> str:
    return " ".join(option.split()).strip(" .!;:")


def option_order(question: Question, seed: int, group: int) -> tuple[int, ...]:
    """Return the order for one request: at place p it shows option ``order[p]``; empty: as they are.

    Anchored options keep their place, and no other option moves past one: what stood above it still does. The order
    depends on the config's seed, the question's id and the number of the request only.
    """
    options = question.options
    if question.task != "mcq" or len(options) < 2:
        return ()
    if _NAMED.search(question.question) or any(map(names_letters, options)):
        return ()

    def drawn(place: int) -> bytes:  # by hashes: a random generator may draw otherwise in its next version
        return hashlib.sha256(f"options|{seed}|{question.id}|{group}|{place}".encode()).digest()

    order: list[int] = []
    run: list[int] = []
    for place, option in enumerate(options):
        if is_anchored(option):
            order += [*sorted(run, key=drawn), place]
            run = []
        else:
            run.append(place)
    order += sorted(run, key=drawn)
    return () if order == list(range(len(options))) else tuple(order)
