"""Reading a number: one value, perhaps with its unit, and comparing it with the gold's limits."""

import re
from decimal import Decimal, InvalidOperation

from octomed_jax.verification.text import Reading, clean, fold

LOOSE_CHARACTERS = 200
NUMBER_CHARACTERS = 30

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPTS = re.compile(r"[⁰¹²³⁴-⁹⁻]{1,10}")
_THIN = re.compile(r"(?<=\d)(?:\\,|\{,\})(?=\d{3})")
_FRACTION = re.compile(r"\\[tdc]?frac\s?\{([^{}]{0,30})\}\s?\{([^{}]{0,30})\}")
_BRACED_POWER = re.compile(r"\^\s?\{([^{}]{0,10})\}")
_NUMBER = re.compile(
    r"[+-]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[+-]?\d{1,3}(?![\w.]))?|[+-]?\.\d+", re.IGNORECASE
)
_UNIT_NUMBER = re.compile(r"(?:\bper\s{1,2}|(?<=[a-z%])\s?/\s?|(?<=\s)/\s?)\d+(?:[.,]\d+)?", re.IGNORECASE)
_OUT_OF = re.compile(r"\b(?:out\s{1,2}of|of\s{1,2}a\s{1,2}possible|of\s{1,2}a\s{1,2}maximum(?:\s{1,2}of)?)\s{1,2}\d+")
_ASIDE = re.compile(r"\([^()]{0,300}\)")
_POWER = re.compile(r"\s?[x×*]\s?10\s?\^\s?\(?([+-]?\d{1,3})\)?")
_LEAD = re.compile(
    r"^[\s(\[$]{0,4}(?:(?:about|approximately|approx\.?|around|roughly|nearly|exactly|is|of|a|the|total|score|value|="
    r"|≈|~)\s{0,2}){0,5}$"
)
# Words before the number are held to _LEAD, so "at least 4" is out already; these spoil a number before them.
_NOT_ONE_VALUE = re.compile(r"[<>≤≥±]|\+/-|\\pm|\b(?:or|versus|either|unknown|is not|is wrong|is incorrect)\b")


def read_number(text: str) -> Reading:
    """Read a text that is meant as one number; the value is a plain decimal such as ``-12.5``.

    Ranges, inequalities, rivals, ``a/b`` and a decimal comma are not decided.
    """
    text = _prepare(text)
    if not text:
        return Reading(None, "empty_answer")
    found = _standalone(text)
    if not found:
        return Reading(None, "no_number" if not re.search(r"\d", text) else "undecided")
    if _NOT_ONE_VALUE.search(fold(text)):
        return Reading(None, "undecided")
    if len(found) > 1 or found[0] is None:
        return Reading(None, "undecided")
    match = found[0]
    if not _LEAD.match(fold(text[: match.start()])):
        return Reading(None, "undecided")
    return _value(match.group(), text[match.end() :])


def read_number_loosely(text: str) -> Reading:
    """Read free text that is short and holds one number only."""
    if len(text) > LOOSE_CHARACTERS:
        return Reading(None, "no_answer")
    head, found, tail = text.rpartition(" is ")
    reading = read_number(tail if found and not re.search(r"\d", head) else text)
    return reading if reading.value is not None or reading.reason == "undecided" else Reading(None, "no_answer")


def _prepare(text: str) -> str:
    """Bring LaTeX and typographic spellings to plain ones, and keep what stands after the last equals sign."""
    text = _SUPERSCRIPTS.sub(lambda match: "^" + match.group().translate(_SUPERSCRIPT), text)
    text = _THIN.sub("", text)
    text = _BRACED_POWER.sub(r"^\1", text).replace("\\times", "×").replace("\\cdot", "×").replace("\\approx", "≈")
    text = _FRACTION.sub(lambda match: _divide(match.group(1), match.group(2)), text)
    text = clean(text.replace("{,}", ","))
    for sign in ("=", "≈", ":"):
        head, found, tail = text.rpartition(sign)
        if found and _NUMBER.match(tail.strip(" ~≈=$")):
            text = tail.strip(" ~≈=$")
        elif found and sign == ":" and not re.search(r"\d", tail):
            text = head
    return text


def _divide(top: str, bottom: str) -> str:
    try:
        quotient = Decimal(top.strip()) / Decimal(bottom.strip())
    except (InvalidOperation, ZeroDivisionError):
        return f"{top}/{bottom}"
    return f" {quotient:.12f} " if quotient.is_finite() and abs(quotient) < 10**12 else f"{top}/{bottom}"


def _standalone(text: str) -> list[re.Match[str] | None]:
    """Return the numbers that are not part of a name, a unit or an aside; None stands for one that cannot be read."""
    bare = _ASIDE.sub(lambda match: " " * len(match.group()), text)
    if _NUMBER.search(bare):
        text = bare
    for pattern in (_OUT_OF, _UNIT_NUMBER):
        text = pattern.sub(lambda match: " " * len(match.group()), text)
    text = _POWER.sub(lambda match: " " * len(match.group()), text)
    found: list[re.Match[str] | None] = []
    for match in _NUMBER.finditer(text):
        before = text[match.start() - 1 : match.start()]
        signed = match.group()[0] in "+-"
        if before.isalpha() or before in ("_", "^"):
            continue  # CHA2DS2, CURB-65, m2, m^2
        if (signed and (before.isdigit() or before == ")")) or (before and before in "/.,"):
            found.append(None)  # 3-5, 120/80, 3,5
        elif (
            text[match.end() : match.end() + 1] in ("/", ",", ".") and text[match.end() + 1 : match.end() + 2].isdigit()
        ):
            found.append(None)
        else:
            found.append(match)
        if len(found) > 1:
            break
    return found


def _value(number: str, after: str) -> Reading:
    if len(number) > NUMBER_CHARACTERS:
        return Reading(None, "undecided")
    value = Decimal(number.replace(",", ""))
    power = _POWER.match(after)
    if power:
        unit = after[power.end() :].strip()
        if unit.startswith("/") or unit[:1].isalpha():
            return Reading(None, "undecided")  # 3.5 x 10^9/L: the power may belong to the unit
        value = value.scaleb(int(power.group(1)))
    if abs(value.adjusted()) > 40:
        return Reading(None, "undecided")
    text = f"{value:f}"
    return Reading(text.rstrip("0").rstrip(".") if "." in text else text)


def decimal_of(text: str) -> Decimal | None:
    """Return the finite decimal that a gold answer spells, or None."""
    try:
        value = Decimal(text.strip().replace(",", ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def within(value: str, gold: str, lower: float | None, upper: float | None) -> bool | None:
    """Say whether ``value`` is accepted: within the inclusive limits, or equal to ``gold`` where there are none.

    Returns None where the question itself is broken (no readable gold, or limits that are not numbers).
    """
    number = Decimal(value)
    if lower is None and upper is None:
        exact = decimal_of(gold)
        return None if exact is None else number == exact
    low, high = (None if limit is None else decimal_of(repr(float(limit))) for limit in (lower, upper))
    if (lower is not None and low is None) or (upper is not None and high is None):
        return None
    return (low is None or number >= low) and (high is None or number <= high)
