"""Units of measurement, as far as needed to tell whether a number is given in another size or kind than asked for."""

import re

_PREFIXES = {"k": 3, "d": -1, "c": -2, "m": -3, "µ": -6, "u": -6, "mc": -6, "n": -9, "p": -12}
_NAMES = {
    "kilo": 3, "deci": -1, "centi": -2, "milli": -3, "micro": -6, "nano": -9, "pico": -12,
}  # fmt: skip
_BASES = {
    "g": ("gram", "grams", "gm"),
    "l": ("liter", "liters", "litre", "litres"),
    "mol": ("mole", "moles"),
    "m": ("meter", "meters", "metre", "metres"),
    "eq": ("equivalent", "equivalents"),
    "osm": (),
    "pa": (),
}
_OTHERS = {
    "second": ("s", "sec", "secs", "second", "seconds"),
    "minute": ("min", "mins", "minute", "minutes"),
    "hour": ("h", "hr", "hrs", "hour", "hours"),
    "day": ("d", "day", "days"),
    "week": ("wk", "wks", "week", "weeks"),
    "month": ("mo", "month", "months"),
    "year": ("y", "yr", "yrs", "year", "years"),
    "mmhg": ("mmhg",),
    "cmh2o": ("cmh2o",),
    "kcal": ("kcal", "kilocalorie", "kilocalories"),
    "celsius": ("°c", "celsius"),
    "fahrenheit": ("°f", "fahrenheit"),
    "inch": ("in", "inch", "inches"),
    "foot": ("ft", "foot", "feet"),
    "pound": ("lb", "lbs", "pound", "pounds"),
}
_KINDS = {
    "second": "time", "minute": "time", "hour": "time", "day": "time", "week": "time", "month": "time", "year": "time",
    "mmhg": "pa", "cmh2o": "pa", "celsius": "temperature", "fahrenheit": "temperature", "inch": "m", "foot": "m",
    "pound": "g",
}  # fmt: skip


def _table() -> dict[str, tuple[str, str]]:
    table = {}
    for base, words in _BASES.items():
        for word in (base, *words):
            table[word] = (base, base)
            prefixes = _PREFIXES if word == base else _NAMES
            for prefix, power in prefixes.items():
                table[prefix + word] = (base, f"{base}e{power}")
    table["cc"] = table["ml"]
    for unit, words in _OTHERS.items():
        for word in words:
            table[word] = (_KINDS.get(unit, unit), unit)
    return table


_POWER_OF_TEN = re.compile(r"e(-?\d+)$")


def powers_between(unit: tuple[str, ...], asked: "set[tuple[str, ...]]") -> int | None:
    """Return by which power of ten a number in ``unit`` is multiplied to be in the unit asked for; None: not known."""
    alike = [other for other in asked if other[0] == unit[0]]
    if len(alike) != 1 or (alike[0][2] and unit[2] and alike[0][2] != unit[2]):
        return None
    powers = []
    for base, name, _ in (unit, alike[0]):
        match = _POWER_OF_TEN.search(name)
        if not match and name != base:
            return None  # minutes, pounds
        powers.append(int(match[1]) if match else 0)
    return powers[0] - powers[1]


_UNITS = _table()  # spelling -> (what it measures, the unit's one name)
_UNIT = re.compile(
    r"\s{0,2}(?P<unit>°?[a-zµ]{1,12}\d?o?)(?:\s{0,2}(?:/|\bper\b)\s{0,2}(?P<per>[a-zµ]{1,12}))?(?![a-z])"
)
_ASKED = re.compile(r"(?:\b(?:in|units?:?|as|of|many|much)|[(\[,])\s{1,2}?(?=[a-zµ°])|[(\[](?=[a-zµ°])")
_HARMLESS = frozenset({"day", "week"})  # "500 mg/day" answers "how many mg"


def unit_of(text: str) -> tuple[str, ...]:
    """Return the unit that a folded text begins with: (what it measures, unit, per); empty where none is known."""
    match = _UNIT.match(text.replace("μ", "µ"))
    if not match or match["unit"] not in _UNITS:
        return ()
    per = _UNITS.get(match["per"] or "", ("", match["per"] or ""))[1]
    return (*_UNITS[match["unit"]], "" if per in _HARMLESS else per)


def whole_unit(text: str) -> tuple[str, ...]:
    """Return the unit that a folded text is, as ``unit_of``; empty where more stands there, or no unit is known."""
    match = _UNIT.fullmatch(text.replace("μ", "µ"))
    return unit_of(text) if match and not match["per"] else ()


def units_in(text: str) -> set[tuple[str, ...]]:
    """Return the units that a question asks for ("in mg/dL", "(mL)")."""
    folded = text.lower()
    found = {unit_of(folded[match.end() :]) for match in _ASKED.finditer(folded)}
    return found - {()}


def differs(unit: tuple[str, ...], asked: "set[tuple[str, ...]]") -> bool:
    """Say whether a unit is not the one asked for, of its kind or, where one alone is asked for, of any kind."""
    if not unit or not asked or unit in asked:
        return False
    alike = {other for other in asked if other[0] == unit[0]}
    if not alike:
        return len(asked) == 1
    return all(other[:2] != unit[:2] or (other[2] and unit[2] and other[2] != unit[2]) for other in alike)
