"""Reading a number: one value, perhaps with its unit, and comparing it with the gold's limits."""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from octomed_jax.schema import Question
from octomed_jax.verification.dates import gold_date, read_date, read_weeks
from octomed_jax.verification.phrases import CONDITIONAL, EXAMPLE, NOT_GIVEN, OTHER_VALUE
from octomed_jax.verification.text import Reading, clean, fold
from octomed_jax.verification.units import differs, powers_between, unit_of, units_in
from octomed_jax.verification.words import digits

FREE_CHARACTERS = 200
NUMBER_CHARACTERS = 30

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPTS = re.compile(r"[⁰¹²³⁴-⁹⁻]{1,10}")
_THIN = re.compile(r"(?<=\d)(?:\\,|\{,\}|[\u202f\u2009'’])(?=\d{3}(?!\d))")
_SPACED = re.compile(r"^(\d{1,3})((?:[ \u00a0]\d{3})+)$")
_FRACTION = re.compile(r"(?P<whole>\d\s?)?\\[tdc]?frac\s?(?:\{([^{}]{0,30})\}\s?\{([^{}]{0,30})\}|(\d)\s?(\d))")
_SLASHED = re.compile(r"(?<![\w./])([+-]?\d{1,9})\s?/\s?(\d{1,9})(?![\d./]|\s?[a-z])", re.IGNORECASE)
_BRACED_POWER = re.compile(r"\^\s?\{([^{}]{0,10})\}")
_NUMBER = re.compile(
    r"[+-]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[+-]?\d{1,3}(?![\w.]))?|[+-]?\.\d+", re.IGNORECASE
)
_UNIT_NUMBER = re.compile(r"(?:\bper\s{1,2}|(?<=[a-z%])/\s?|(?<=[a-z%]\s)/\s?)\d+(?:[.,]\d+)?", re.IGNORECASE)
_OUT_OF = re.compile(r"\b(?:out\s{1,2}of|of\s{1,2}a\s{1,2}possible|of\s{1,2}a\s{1,2}maximum(?:\s{1,2}of)?)\s{1,2}\d+")
_ASIDE = re.compile(r"\([^()]{0,300}\)")
_POWER = re.compile(r"\s?[x×*]\s?10\s?\^\s?\(?([+-]?\d{1,3})\)?")
_PERCENT = re.compile(r"\s{0,2}(?:%|per\s?cent\b|percentage\b)", re.IGNORECASE)
_ASKS_PERCENT = re.compile(r"(?<!\d)(?<!\d\s)(?:%|\bper\s?cent)", re.IGNORECASE)
_MAGNITUDE = re.compile(
    r"\s{0,2}(?:thousand|million|billion|trillion|lakh|crore|dozen|hundred|k\b(?!g))", re.IGNORECASE
)
_MINUS = re.compile(r"\b(?:minus|negative)\s{1,2}(?=\d)|(?<![\w)])-\s(?=\d)", re.IGNORECASE)
_LEAD = re.compile(
    r"^[\s(\[{$]{0,4}(?:(?:about|approximately|approx\.?|around|roughly|nearly|exactly|is|of|a|the|total|score|value|="
    r"|≈|~)\s{0,2}){0,5}$"
)
# Words before the number are held to _LEAD, so "at least 4" is out already; these spoil a number before them.
_NOT_ONE_VALUE = re.compile(
    r"[<>≤≥±?]|\+/-|\\pm|\\geq?|\\leq?"
    r"|\b(?:or|versus|vs|either|unknown|is not|is wrong|is incorrect|if|unless|assuming|maybe|perhaps|possibly)\b"
)
_STATED = re.compile(
    r"[^.\d;:?]{0,80}?(?:\b(?:is|equals|was|would be|comes (?:out )?to)|=|≈)\s{1,2}(?!not\b)([^?]{1,200})$",
    re.IGNORECASE,
)
_EXPLAINED = re.compile(
    r"[,;]\s{1,2}(?!(?:or|and|to|but|maybe|perhaps|possibly|not)\b)(?=[a-z])|\.\s{1,2}(?=[A-Z])", re.IGNORECASE
)
_NOT_BUT = re.compile(r"\bnot\s[\d.,]{1,12}\s?[a-z%/]{0,8},?\s(?:but|rather)\s", re.IGNORECASE)
_COMMA = re.compile(r"(?<![\d,.])(\d{1,6}),(\d{1,2})(?![\d,]|\.\d)")
_POINT = re.compile(r"\d\.\d")
_UNIT_FRACTION = re.compile(r"(?:\\[,;: ]|\s){0,4}\\[td]?frac\s?\{\\(?:text|mathrm|rm).*$", re.DOTALL)
_OUT_OF_SLASH = re.compile(r"(?<![\w./])(\d{1,3})\s?/\s?(\d{1,3})(?![\d./])")
_ASKS_SCORE = re.compile(r"\b(?:score|scale|points?|criteria|index|gcs|apgar)\b", re.IGNORECASE)
_BARE = re.compile(r"(?<![\w-])[+-]?\d")  # a number that is no part of a name such as CURB-65
# After a number: a dose that is not the whole of it, or another quantity.
_OTHER_AFTER = re.compile(
    r"^\W{0,3}(?:-?\s?years?(?:-|\s)old|[a-z]{1,6}\s(?:twice|thrice|three times|four times|bid|tid|qid"
    r"|q\d{1,2}h|every\s\d)|[a-z]{1,6}\s?(?:/|per\s)\s?kg|(?:iu|units?|tablets?|components?|criteria|items)\b)"
)
_DIVIDED = re.compile(r"\s{0,2}[/÷]\s{0,2}\d")
_MORE = re.compile(r"^(?:\+|\s?\^|\s{0,2}(?:and (?:above|over|more)|to\s\d))")

Value = Callable[[str], Reading]


class Numbers:
    """Reads the answers of a question whose gold is a number, a date, or a gestational age."""

    joins, emphasis, closed = False, True, False

    def __init__(self, question: Question):
        self._gold, self._limits = question.answer, (question.lower_limit, question.upper_limit)
        self._limited = self._limits != (None, None)
        self._date = "" if self._limited else gold_date(self._gold)
        self._weeks = "" if self._limited or self._date else read_weeks(self._gold).value or ""
        self._number, after = gold_number(self._gold)
        self._asked = f"{question.question} {self._gold}"
        self._percent = bool(_ASKS_PERCENT.search(question.question) or _PERCENT.match(after))
        self._percent_only = bool(_PERCENT.match(after)) and not _ASKS_PERCENT.search(question.question)
        unit = unit_of(fold(after))
        self._units = {unit} if unit else units_in(question.question)
        whole = self._number is not None and self._number == self._number.to_integral_value()
        self._scores = whole and not self._limited and _ASKS_SCORE.search(question.question) is not None
        self._divides = self._limited or (self._number is not None and not whole)

    def grade(self, value: str) -> bool | None:
        """Say whether a value is right; None where the gold answer or the limits cannot be read."""
        if self._date or self._weeks:
            return value == (self._date or self._weeks)
        return within(value, self._number, *self._limits)

    def prepared(self, answer: str, foreign: bool) -> str:
        """Return the answer part with decimal commas as points, where its language writes them."""
        return _COMMA.sub(r"\1.\2", answer) if foreign and not _POINT.search(answer) else answer

    def read(self, text: str) -> Reading:
        """Read a text that is meant as the answer: one number, date or age."""
        if self._date:
            return read_date(text)
        return read_weeks(text) if self._weeks else self._read_number(text)

    def read_bare(self, text: str) -> Reading:
        """Read a text that is the answer and nothing else; a number among words is not one."""
        if self._date or self._weeks:
            return self.read(text) if len(text) <= 60 else Reading(None, "no_date")
        plain = clean(text)
        if stated := _STATED.match(plain):
            return self.read(stated[1])
        if len(plain) <= 60 and _LEAD.match(re.split(r"[\d.+-]", fold(plain))[0]):
            return self.read(text)
        return Reading(None, "no_number")

    def read_freely(self, text: str) -> Reading:
        """Read free text that is short and holds one number only."""
        if len(text) > FREE_CHARACTERS:
            return Reading(None, "no_answer")
        if self._date or self._weeks:
            reading = self.read(text)
        else:
            head, found, tail = text.rpartition(" is ")
            if found and OTHER_VALUE.search(fold(head)):
                return Reading(None, "undecided")
            reading = self.read(tail if found and not re.search(r"\d", head) else text)
            if NOT_GIVEN.search(fold(text)) or EXAMPLE.search(fold(text)) or CONDITIONAL.search(fold(text)):
                return Reading(None, "undecided")
        return reading if reading.value is not None or reading.reason == "undecided" else Reading(None, "no_answer")

    def _read_number(self, text: str) -> Reading:
        """Read one number; the value is a plain decimal such as ``-12.5``.

        Ranges, inequalities, rivals, a decimal comma, and percentages where none is asked for, are not decided.
        """
        text = _cut(self._prepare(text))
        if not text:
            return Reading(None, "empty_answer")
        found = _standalone(text)
        if not found:
            return Reading(None, "no_number" if not re.search(r"\d", text) else "undecided")
        if _NOT_ONE_VALUE.search(fold(text)) or len(found) > 1 or found[0] is None:
            return Reading(None, "undecided")
        match = found[0]
        if not _LEAD.match(fold(text[: match.start()])):
            return Reading(None, "undecided")
        after = text[match.end() :]
        if _PERCENT.match(after) is None if self._percent_only else (_PERCENT.match(after) and not self._percent):
            return Reading(None, "undecided")
        if _MAGNITUDE.match(after) or _MORE.match(after):
            return Reading(None, "undecided")
        if OTHER_VALUE.search(fold(text[: match.start()])) or self._is_other(fold(after)):
            return Reading(None, "undecided")
        reading = self._scaled(match.group(), after)
        if reading.value is not None and self._percent and not _PERCENT.match(after) and self._is_share(reading.value):
            return Reading(None, "undecided")  # 0.25 where 25 percent are right
        return reading

    def _is_other(self, after: str) -> bool:
        """Say whether what follows makes it another quantity, which gold and question do not speak of."""
        match = _OTHER_AFTER.match(after)
        return match is not None and re.sub(r"\W", "", match.group()) not in re.sub(r"\W", "", fold(self._asked))

    def _is_share(self, value: str) -> bool:
        return bool(self.grade(str(100 * Decimal(value)))) and not self.grade(value)

    def _scaled(self, number: str, after: str) -> Reading:
        """Read a number with its power of ten, in the unit that was asked for."""
        power, reading = _POWER.match(after), _value(number, after)
        unit = unit_of(fold(after[power.end() if power else 0 :]))
        if reading.value is None:
            return reading
        if power and after[power.end() :].strip() and self.grade(_value(number, "").value or "0"):
            return Reading(None, "undecided")  # 3.5 x 10^9/L: the power belongs to the unit
        if not differs(unit, self._units):
            return reading
        shift = powers_between(unit, self._units)
        return Reading(None, "undecided") if shift is None else Reading(_plain(Decimal(reading.value).scaleb(shift)))

    def _prepare(self, text: str) -> str:
        """Bring LaTeX and typographic spellings to plain ones, and keep what stands after the last equals sign."""
        text = _SUPERSCRIPTS.sub(lambda match: "^" + match.group().translate(_SUPERSCRIPT), text)
        text = _THIN.sub("", text)
        text = _BRACED_POWER.sub(r"^\1", text).replace("\\times", "×").replace("\\cdot", "×").replace("\\approx", "≈")
        text = _UNIT_FRACTION.sub("", _FRACTION.sub(_latex_fraction, text))
        text = clean(text.replace("{,}", ",").replace("\\circ", "°"))
        if spaced := _SPACED.match(text):
            text = spaced[1] + re.sub(r"\s", "", spaced[2])
        text = _MINUS.sub("-", digits(text))
        text = _NOT_BUT.sub("", text)
        if self._scores:
            text = _OUT_OF_SLASH.sub(_score_of, text)
        if self._divides:
            text = _SLASHED.sub(lambda match: _divide(match[1], match[2]), text)
        if _BARE.search(_ASIDE.sub(" ", text)):
            text = " ".join(_ASIDE.sub(" ", text).split())  # asides are not the answer, unless they are all there is
        for sign in ("=", "≈", ":"):
            head, found, tail = text.rpartition(sign)
            if found and _NUMBER.match(tail.strip(" ~≈=$")) and not (sign == ":" and _BARE.search(head)):
                text = tail.strip(" ~≈=$")
            elif found and sign == ":" and not re.search(r"\d", tail):
                text = head
        return text


def _latex_fraction(match: re.Match[str]) -> str:
    if match["whole"]:
        return match.group().replace("\\", " ")  # 58 1/2: not decided
    return _divide(match[2] or match[4] or "", match[3] or match[5] or "")


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
            text[match.end() : match.end() + 1] in ("/", ",", ".", ":")
            and text[match.end() + 1 : match.end() + 2].isdigit()
        ) or _DIVIDED.match(text, match.end()):
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
    if power := _POWER.match(after):
        value = value.scaleb(int(power.group(1)))
    return Reading(None, "undecided") if abs(value.adjusted()) > 40 else Reading(_plain(value))


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _score_of(match: re.Match[str]) -> str:
    """Return 12 for 12/15, where a score is asked for."""
    return match[1] if int(match[1]) <= int(match[2]) else match.group()


def _cut(text: str) -> str:
    """Return a text up to the comma after its first number, where an explanation follows and no other value."""
    number = _NUMBER.search(text)
    match = number and _EXPLAINED.search(text, number.end())
    return text[: match.start()] if match else text


def decimal_of(text: str) -> Decimal | None:
    """Return the finite decimal that a gold answer spells, or None."""
    try:
        value = Decimal(text.strip().replace(",", ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


_GOLD = re.compile(r"^\s*([+-]?(?:\d[\d,]*)?\.?\d+(?:e[+-]?\d{1,3})?)(?![\d.])\s*(.{0,40})$", re.IGNORECASE)


def gold_number(text: str) -> tuple[Decimal | None, str]:
    """Return the number of a gold answer and what follows it, such as its unit."""
    match = _GOLD.match(text)
    if not match or re.match(r"[-/,]?\d", match[2]):
        return decimal_of(text), ""
    return decimal_of(match[1]), match[2]


def within(value: str, gold: Decimal | None, lower: float | None, upper: float | None) -> bool | None:
    """Say whether ``value`` is accepted: within the inclusive limits, or equal to ``gold`` where there are none.

    Returns None where the question itself is broken (no readable gold, or limits that are not numbers).
    """
    number = Decimal(value)
    if lower is None and upper is None:
        return None if gold is None else number == gold
    low, high = (None if limit is None else decimal_of(repr(float(limit))) for limit in (lower, upper))
    if (lower is not None and low is None) or (upper is not None and high is None):
        return None
    return (low is None or number >= low) and (high is None or number <= high)
