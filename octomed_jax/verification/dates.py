"""Dates, and gestational ages in weeks and days: exact, in any spelling that has one reading."""

import datetime
import re

from octomed_jax.verification.phrases import HEDGE, NEGATION
from octomed_jax.verification.text import Reading, clean, fold
from octomed_jax.verification.words import digits

_MONTHS = (
    "january jan janvier januar enero gennaio janeiro",
    "february feb février fevrier februar febrero febbraio fevereiro",
    "march mar mars märz marz marzo março", "april apr avril abril aprile", "may mai mayo maggio maio",
    "june jun juin juni junio giugno junho", "july jul juillet juli julio luglio julho",
    "august aug août aout agosto", "september sep sept septembre septiembre settembre setembro",
    "october oct octobre oktober okt octubre ottobre outubro", "november nov novembre noviembre novembro",
    "december dec décembre decembre dezember dez diciembre dicembre dezembro",
)  # fmt: skip
_NUMBER_OF = {name: number for number, names in enumerate(_MONTHS, 1) for name in names.split()}
_MONTH = "|".join(sorted(_NUMBER_OF, key=len, reverse=True))
_NUMERIC = re.compile(r"(?<![\d/.-])(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?![\d/-]|\.\d)")
_ISO = re.compile(r"(?<![\d/.-])(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?![\d/-]|\.\d)")
_NAMED = re.compile(
    rf"\b(?:({_MONTH})\.?\s{{1,2}}(\d{{1,2}})(?:st|nd|rd|th)?,?\s{{1,2}}(\d{{4}})"
    rf"|(\d{{1,2}})(?:st|nd|rd|th|er|\.)?\s{{1,2}}(?:(?:of|de)\s{{1,2}})?({_MONTH})\.?,?\s{{1,2}}(?:de\s{{1,2}})?(\d{{4}}))\b"
)
_SPACED = re.compile(r"(?<=\d)\s?/\s?(?=\d)")
_BOUND = re.compile(
    r"±|\b(?:lmp|last|menstrual|today|born|admitted|seen on"
    r"|before|after|until|by|between|around|about|since|from|or|to|earlier|later)\b"
)
_WEEKS = re.compile(
    r"(?<![\d.+-])(\d{1,3})(?:\s?\+\s?(\d)\s{0,2}(?:weeks?|wks?|w)\b|[\s']{0,2}(?:weeks?|wks?|w)[\s,')(]{0,5}(?:and\s{1,2})?[\s(']{0,3}(\d{1,2})[\s']{0,2}(?:days?|d)\b)"
)
_ANY = re.compile(r"\d")
FREE_CHARACTERS = 200


def gold_date(text: str) -> str:
    """Return the ISO date that a gold answer spells, or an empty string."""
    return found.value if (found := read_date(text)).value else ""


def read_date(text: str) -> Reading:
    """Read the one date in a text; the value is ISO (2023-08-31).

    Of 08/09/2023 the first is the month; with points (08.09.2023) the order is not known.
    """
    folded = _SPACED.sub("/", fold(clean(text)))
    if not folded:
        return Reading(None, "empty_answer")
    found = [_numeric(match) for match in _NUMERIC.finditer(folded)]
    found += [_date(*map(int, match.groups())) for match in _ISO.finditer(folded)]
    for month, day, year, day_first, month_later, year_last in _NAMED.findall(folded):
        number = _NUMBER_OF[month or month_later]
        found.append(_date(int(year or year_last), number, int(day or day_first)))
    if not found:
        return Reading(None, "no_date")
    outside = _NAMED.sub(" ", folded)
    if len(set(found)) != 1 or not found[0] or _doubted(outside):
        return Reading(None, "undecided")
    return Reading(found[0])


def _numeric(match: re.Match[str]) -> str:
    first, mark, second, year = int(match[1]), match[2], int(match[3]), int(match[4])
    if first > 12 or second > 12:
        return _date(year, second, first) if first > 12 else _date(year, first, second)
    if mark == "." and first != second:
        return ""
    return _date(year, first, second)


def _date(year: int, month: int, day: int) -> str:
    try:
        return datetime.date(year, month, day).isoformat()
    except ValueError:
        return ""


def _doubted(outside: str) -> bool:
    return bool(_BOUND.search(outside) or HEDGE.search(outside) or NEGATION.search(outside) or "?" in outside)


def read_weeks(text: str) -> Reading:
    """Read a gestational age; the value is ``16 weeks 2 days``. Both parts must be there."""
    folded = digits(fold(clean(text)))
    if not folded:
        return Reading(None, "empty_answer")
    found = {f"{int(weeks)} weeks {int(plus or days)} days" for weeks, plus, days in _WEEKS.findall(folded)}
    outside = _WEEKS.sub(" ", folded)
    if not found:
        return Reading(None, "undecided" if _ANY.search(folded) else "no_number")
    if len(found) > 1 or _ANY.search(outside) or _doubted(outside):
        return Reading(None, "undecided")
    return Reading(found.pop())
