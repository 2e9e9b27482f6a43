r"""Short answers that are one exact number: ``\frac{3}{4}``, 3/4, 75\%, 3 \times 10^{5}, perhaps with a unit.

Nothing is rounded: 0.33 is not a third. Only a text that is such a number, its unit and nothing else is read, so that a
name with a number in it stays a name. What looks alike and may be no number (3/4 is a date and a grade of a murmur too,
120/80 a blood pressure, 250.0 and 250.00 two codes) is undecided where its value is equal, and never right.
"""

import dataclasses
import math
import re
from fractions import Fraction

from octomed_jax.verification.text import SENTENCE_BREAK, fold
from octomed_jax.verification.units import powers_between, whole_unit

CHARACTERS = 80

_TEN = r"10\s?\^\s?(?:\{\s?(?P<braced>[+-]?\d{1,2})\s?\}|(?P<power>[+-]?\d{1,2}))"
_FORMS = (
    re.compile(
        r"(?P<sign>[+-]?)\s?\\[tdc]?frac\s?"
        r"(?:\{\s?(?P<top>[+-]?\d{1,9})\s?\}\s?\{\s?(?P<bottom>\d{1,9})\s?\}|(?P<digit>\d)\s?(?P<by>\d))"
    ),
    re.compile(r"(?P<sign>[+-]?)(?P<over>\d{1,9})\s?/\s?(?P<under>\d{1,9})"),
    re.compile(rf"(?P<sign>[+-]?){_TEN}"),
    re.compile(
        r"(?P<sign>[+-]?)(?P<number>(?:[1-9]\d{0,2}(?:(?:,|\{,\})\d{3}){1,4}|0|[1-9]\d{0,11})(?:\.\d{1,12})?)"
        rf"(?:\s?(?:\\times|\\cdot|[×·x])\s?{_TEN})?"
    ),
)
_REST = re.compile(
    r"(?P<percent>\s{0,2}(?:%|per\s?cent\b))?\s{0,2}(?P<unit>(?:[a-zμµ°](?:[a-zμµ°/ .-]|\^-?\d|\^\{-?\d\}){0,40})?)"
)
# What is asked for is a share of one, which may be written as a fraction, a decimal, or in percent.
_SHARE = re.compile(
    r"\b(?:probability|chances?|likelihood|proportion|fraction|percent(?:age)?|(?:the|recurrence)\srisk)\b"
)


@dataclasses.dataclass(frozen=True)
class Exact:
    """A number with its unit.

    Attributes:
        value: the number; of a percentage 75, not 0.75.
        kind: ``plain`` (a decimal and nothing else), ``slash`` (3/4), ``percent``, or ``sure``.
        unit: what follows it, folded and without blanks.
        ratio: numerator and denominator as they are written, where they are.
    """

    value: Fraction
    kind: str
    unit: str
    ratio: tuple[int, int] | None = None


def exact(text: str) -> Exact | None:
    """Return the number that a cleaned and folded text is; None where it is none, or more than that."""
    if len(text) > CHARACTERS:
        return None
    match = next((found for form in _FORMS if (found := form.match(text))), None)
    rest = _REST.fullmatch(text, match.end()) if match else None
    if not match or not rest:
        return None
    parts, unit = match.groupdict(), rest["unit"].replace(" ", "")
    sign, ratio = -1 if parts["sign"] == "-" else 1, None
    top = parts.get("top") or parts.get("digit") or parts.get("over")
    bottom = parts.get("bottom") or parts.get("by") or parts.get("under")
    if top and bottom:
        ratio = (sign * int(top), int(bottom))
        if not ratio[1]:
            return None
        value, kind = Fraction(*ratio), "slash" if parts.get("over") else "sure"
    else:
        written, power = parts.get("number") or "1", parts["braced"] or parts["power"]
        digits = re.sub(r"[{},]", "", written)
        value = sign * Fraction(digits) * Fraction(10) ** int(power or 0)
        kind = "sure" if power or digits != written or unit else "plain"
    return Exact(value, "percent" if rest["percent"] else kind, unit, ratio)


def asks_share(question: str) -> bool:
    """Say whether the last sentence of a question asks for a share of one."""
    return _SHARE.search(fold(SENTENCE_BREAK.split(question.strip())[-1])) is not None


def equal(gold: Exact, answer: Exact, share: bool) -> bool | None:
    """Say whether an answer is the gold number; None where its value is equal and it may mean another thing.

    Args:
        gold: of the question.
        answer: what was read.
        share: whether a share of one is asked for.
    """
    shift = _powers(answer.unit, gold.unit)
    if shift is None:
        return False
    kinds = {gold.kind, answer.kind}
    if "percent" in kinds and len(kinds) > 1:
        return (share or None) if not shift and _hundreds(gold) == _hundreds(answer) else False
    if gold.value != answer.value * Fraction(10) ** shift:
        return False
    if share or (gold.ratio and gold.ratio == answer.ratio):
        return True
    if gold.kind == "slash" or (answer.kind == "slash" and not _is_reduced(answer.ratio)):
        return None
    return None if kinds == {"plain"} else True


def _hundreds(number: Exact) -> Fraction:
    return number.value if number.kind == "percent" else 100 * number.value


def _is_reduced(ratio: tuple[int, int] | None) -> bool:
    """Say whether 3/4 stands in lowest terms, as 120/80, 20/40 and 2/1 do not."""
    return ratio is not None and ratio[1] > 1 and math.gcd(*ratio) == 1


def _powers(unit: str, asked: str) -> int | None:
    """Return by which power of ten a number in a unit is multiplied to be in another one; None: not known."""
    if unit == asked:
        return 0
    one, other = whole_unit(unit), whole_unit(asked)
    return powers_between(one, {other}) if one and other and not (one[2] or other[2]) else None
