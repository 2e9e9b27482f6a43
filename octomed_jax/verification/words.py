"""Number words and digits are one spelling."""

import re

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
_VALUES = {word: number for number, word in enumerate(_ONES)} | {word: 10 * n for n, word in enumerate(_TENS, 2)}
_WORD = re.compile(
    rf"\b(?:(?P<tens>{'|'.join(_TENS)})[\s-](?P<ones>{'|'.join(_ONES[1:10])})"
    rf"|(?P<single>{'|'.join([*_TENS, *_ONES])}))\b",
    re.IGNORECASE,
)


def digits(text: str) -> str:
    """Return ``text`` with the numbers from zero to ninety-nine that are written as words in digits."""
    return _WORD.sub(_number, text)


def _number(match: re.Match[str]) -> str:
    if match["single"]:
        return str(_VALUES[match["single"].lower()])
    return str(_VALUES[match["tens"].lower()] + _VALUES[match["ones"].lower()])
