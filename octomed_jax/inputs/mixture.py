"""How much of an epoch each source gives: ``config.mixture``, applied to an index when a plan is made of it.

Shards hold every example once, and any mixture is read from the same shards. A mixture says for each source how many
examples an epoch holds of it, in one of three ways:

- *natural* (nothing is set): each example once, or ``epochs`` times;
- ``counts``: so many; sources that are not named stay as they are;
- ``weights``: shares of the whole, for every source. An epoch has ``examples`` of them or, where that is 0, as many as
  there can be before any example comes twice: the source that is needed most, for its size, is used up once.

Of n examples that are asked for where there are a, every one comes n // a times, and n % a of them, drawn with the
seed, once more. The same are drawn for all epochs of a run. What is drawn of a source depends on nothing but its own
examples, the seed and n: more of one source changes nothing in another, and where n grows, what came before stays.
"""

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.inputs.plan import ExampleIndex

MOST_TIMES = 100  # that an example may come in an epoch; more is a mistake of the mixture
FIELDS = ("weights", "counts", "epochs", "caps")  # that name sources
CAP, REST = 2, 3  # what is drawn, beside the seed; 1 is that of held-out records
Numbers = Mapping[str, Fraction]
ONCE = Fraction(1)


@dataclasses.dataclass(frozen=True)
class Mixture:
    """What a config asks for, by source name.

    Attributes:
        weights: relative shares of an epoch's examples; of all sources, or empty.
        counts: examples an epoch.
        epochs: how often each example comes in an epoch, also a part of once.
        caps: at most so many questions, with all their responses.
        examples: of an epoch by weights; 0: before any comes twice.
    """

    weights: Numbers = dataclasses.field(default_factory=dict)
    counts: Numbers = dataclasses.field(default_factory=dict)
    epochs: Numbers = dataclasses.field(default_factory=dict)
    caps: Numbers = dataclasses.field(default_factory=dict)
    examples: int = 0

    @property
    def natural(self) -> bool:
        """Whether each example comes once."""
        return self == Mixture()

    @property
    def left_out(self) -> frozenset[str]:
        """Names of the sources that an epoch holds nothing of."""
        asked = {**self.weights, **self.counts, **self.epochs}
        return frozenset(name for name, number in asked.items() if not number)

    @property
    def plain(self) -> dict[str, Any]:
        """What it asks for as JSON data, spelled one way: only what is set."""
        asked = {field: {name: str(number) for name, number in getattr(self, field).items()} for field in FIELDS}
        return {field: numbers for field, numbers in asked.items() if numbers} | (
            {"examples": self.examples} if self.examples else {}
        )


def read_mixture(settings: Mapping[str, Any]) -> Mixture:
    """Return the mixture of ``config.mixture``: mappings, or text as ``medqa=2,pmc-vqa=0.5``.

    Raises:
        UserError: it contradicts itself, or a number makes no sense.
    """
    if unknown := sorted(set(settings) - {*FIELDS, "examples"}):
        hint = did_you_mean(unknown[0], (*FIELDS, "examples"))
        raise UserError(f"no field {unknown[0]!r} in config.mixture{hint}; known: {', '.join(FIELDS)}, examples")
    found = {field: _numbers(field, settings.get(field)) for field in FIELDS}
    examples = _number("mixture.examples", settings.get("examples", 0), whole=True)
    for other in ("counts", "epochs"):
        if found["weights"] and found[other]:
            raise UserError(f"mixture.weights and mixture.{other} both say how much of a source there is; give one")
    if both := sorted(found["counts"].keys() & found["epochs"].keys()):
        raise UserError(f"mixture.counts and mixture.epochs both say how much of {both[0]!r} there is; give one")
    if examples and not found["weights"]:
        raise UserError(f"mixture.examples={examples} is the size of an epoch by weights; give mixture.weights too")
    if found["weights"] and not any(found["weights"].values()):
        raise UserError("every weight of mixture.weights is 0; give one source more")
    if zero := sorted(name for name, number in found["caps"].items() if not number):
        raise UserError(
            f"mixture.caps of {zero[0]!r} is 0; to leave a source out, give it the weight, count or epochs 0"
        )
    return Mixture(**found, examples=int(examples))


def check_sources(mixture: Mixture, sources: tuple[str, ...]) -> None:
    """Refuse a mixture that names other sources than there are, or weighs only some.

    Raises:
        UserError: it does.
    """
    for field in FIELDS:
        for name in getattr(mixture, field):
            if name not in sources:
                hint = did_you_mean(name, sources)
                raise UserError(f"mixture.{field} names an unknown source {name!r}{hint}; there are: {_list(sources)}")
    if mixture.weights and (missing := [name for name in sources if name not in mixture.weights]):
        raise UserError(f"mixture.weights gives {missing[0]!r} no weight; 0 leaves it out. There are: {_list(sources)}")
    if not set(sources) - mixture.left_out:
        raise UserError("mixture leaves every source out; give one of them more than 0")


def kept_examples(index: ExampleIndex, mixture: Mixture) -> Bool[np.ndarray, "N"]:
    """Return which examples are of sources that the mixture does not leave out."""
    kept = np.array([name not in mixture.left_out for name in index.sources])
    return kept[index.source]


def draw(
    index: ExampleIndex, usable: Bool[np.ndarray, "N"], mixture: Mixture, seed: int
) -> Int32[np.ndarray, "N"] | None:
    """Return how often each example comes in an epoch, or None where each usable one comes once.

    Args:
        index: of all examples.
        usable: which of them may come at all.
        mixture: what is asked for.
        seed: of what is drawn.

    Raises:
        UserError: the mixture does not fit the sources, or asks for one that has no usable example, or for more
            repeats than MOST_TIMES.
    """
    check_sources(mixture, index.sources)
    if mixture.natural:
        return None
    pools = {name: _pool(index, usable, number, mixture, seed) for number, name in enumerate(index.sources)}
    wanted = epoch_counts({name: len(pool) for name, pool in pools.items()}, mixture)
    times = np.zeros(len(index), np.int32)
    for name, pool in pools.items():
        if wanted[name]:
            each, more = divmod(wanted[name], len(pool))
            times[pool] = each
            times[_generator(seed, REST, name).permutation(pool)[:more]] += 1
    return times


def epoch_counts(available: Mapping[str, int], mixture: Mixture) -> dict[str, int]:
    """Return how many examples of each source an epoch holds.

    Args:
        available: source to the number of its examples, those of no use and those over its cap taken away.
        mixture: what is asked for.

    Raises:
        UserError: there is no example of a source that some are wanted of, or each would come more than MOST_TIMES.
    """
    asked = {**mixture.weights, **mixture.counts, **mixture.epochs}
    for name, number in asked.items():
        if number and not available[name]:
            raise UserError(
                f"mixture asks for {name!r}, of which no example is left that is not held out and fits a row; "
                "give it 0, or make rows longer"
            )
    if mixture.weights:
        shares = _shares(mixture.weights)
        total = mixture.examples or math.floor(min(available[name] / share for name, share in shares.items() if share))
        counts = largest_remainder(shares, total)
    else:
        counts = {name: _rounded(number * mixture.epochs.get(name, ONCE)) for name, number in available.items()}
        counts |= {name: int(asked_for) for name, asked_for in mixture.counts.items()}
    for name, count in counts.items():
        if count > MOST_TIMES * available[name]:
            raise UserError(
                f"mixture asks for {count:,} examples of {name!r} an epoch, but there are {available[name]:,}, and "
                f"none may come more than {MOST_TIMES} times; ask for less of it, or for a smaller epoch"
            )
    return counts


def largest_remainder(shares: Numbers, total: int) -> dict[str, int]:
    """Divide a whole number exactly: parts rounded down, and what is left to the largest remainders.

    Args:
        shares: that add up to one; of equal remainders the earlier name comes first.
        total: to divide.
    """
    parts = {name: math.floor(share * total) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (parts[name] - shares[name] * total, name))
    for name in by_remainder[: total - sum(parts.values())]:
        parts[name] += 1
    return parts


def _shares(weights: Numbers) -> dict[str, Fraction]:
    whole = sum(weights.values(), Fraction(0))
    return {name: weight / whole for name, weight in weights.items()}


def _rounded(number: Fraction) -> int:
    """Return the nearest whole number, halves up."""
    return math.floor(number + Fraction(1, 2))


def _pool(
    index: ExampleIndex, usable: Bool[np.ndarray, "N"], source: int, mixture: Mixture, seed: int
) -> Int32[np.ndarray, "N"]:
    """Return the usable examples of a source; of a capped one those of some questions, drawn with the seed."""
    numbers = np.flatnonzero(usable & (index.source == source)).astype(np.int32)
    name = index.sources[source]
    if name not in mixture.caps:
        return numbers
    records = np.unique(index.record[numbers])
    some = _generator(seed, CAP, name).permutation(records)[: int(mixture.caps[name])]
    return numbers[np.isin(index.record[numbers], some)]


def _generator(seed: int, what: int, source: str) -> np.random.Generator:
    return np.random.default_rng([seed, what, *hashlib.sha256(source.encode()).digest()])


def _numbers(field: str, given: Any) -> dict[str, Fraction]:
    if isinstance(given, str):
        given = dict(_pair(field, part) for part in given.split(",") if part.strip())
    if given is not None and not hasattr(given, "items"):
        raise UserError(f"mixture.{field}={given!r} names no sources; give SOURCE=NUMBER,SOURCE=NUMBER or a mapping")
    whole = field in ("counts", "caps")
    return {
        name: _number(f"mixture.{field} of {name!r}", value, whole) for name, value in sorted((given or {}).items())
    }


def _pair(field: str, text: str) -> tuple[str, str]:
    name, equals, number = text.rpartition("=")
    if not equals:
        raise UserError(f"mixture.{field} has {text!r}, which is not of the form SOURCE=NUMBER")
    return name.strip(), number.strip()


def _number(name: str, value: Any, whole: bool) -> Fraction:
    """Return a number exactly as it was written: 0.1 is a tenth."""
    try:
        number = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        number = Fraction(-1)
    if number < 0 or (whole and number.denominator != 1):
        raise UserError(f"{name} is {value!r}; it must be a {'whole ' if whole else ''}number from 0 up")
    return number


def _list(sources: tuple[str, ...]) -> str:
    return ", ".join(sources)
