"""The object that ``get_hyper(hyper)`` is given, as scenic, vmoe and uncertainty-baselines use it.

    def get_hyper(hyper):
        return hyper.product([
            hyper.sweep("config.train.seed", range(3)),
            hyper.zipit([hyper.sweep("config.train.steps", [100, 200]), hyper.fixed("config.train.rows", "together")]),
        ])

Each method returns axes: points in their order, or (for what is drawn, or fixed without a length) as many as are asked.
"""

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any, NoReturn

from octomed_jax.errors import UserError, did_you_mean

Changes = Mapping[str, Any]
MOST = 100_000  # points: a domain that was meant to be drawn from ends here and not with the memory


@dataclasses.dataclass(frozen=True)
class Axis:
    """Points in their order."""

    points: Sequence[Changes]


@dataclasses.dataclass(frozen=True)
class Endless:
    """Points without an end; ``same``: all of them are the same one."""

    name: str
    at: Callable[[int], Changes]
    same: bool


@dataclasses.dataclass(frozen=True)
class Interval:
    """Numbers between two limits."""

    low: float
    high: float


class Hyper:
    """Makes axes and combines them; a method that it does not know is a UserError with a suggestion."""

    def __getattr__(self, name: str) -> NoReturn:
        known = [one for one in dir(self) if not one.startswith("_")]
        if name.startswith("__"):
            raise AttributeError(name)
        raise UserError(f"hyper.{name} is unknown{did_you_mean(name, known)}; known: {', '.join(known)}")

    def sweep(self, name: str, domain: Iterable[Any], length: int | None = None) -> Axis:
        """Return one point a value, the first ``length`` of them."""
        values = [{name: value} for value in itertools.islice(_values(name, domain), length)]
        return Axis(values)

    def fixed(self, name: str, value: Any, length: int | None = None) -> Axis | Endless:
        """Return ``length`` points with one value; without a length as many as the axes beside it have."""
        return Endless(name, lambda _: {name: value}, same=True) if length is None else Axis([{name: value}] * length)

    def uniform(self, name: str, domain: Any, length: int | None = None) -> Axis | Endless:
        """Return values drawn from an interval or from a list, the same ones whenever the file is read."""
        if isinstance(domain, Interval):
            return _drawn(name, lambda share: domain.low + share * (domain.high - domain.low), length)
        values = domain if isinstance(domain, range) else list(_values(name, domain))
        return _drawn(name, lambda share: values[int(share * len(values))], length)

    def loguniform(self, name: str, domain: Interval, length: int | None = None) -> Axis | Endless:
        """Return numbers drawn from an interval so that each order of magnitude is as likely."""
        if not isinstance(domain, Interval) or not 0 < domain.low <= domain.high:
            raise UserError(f"hyper.loguniform({name!r}, ...) takes hyper.interval(LOW, HIGH) with 0 < LOW <= HIGH")
        low, high = math.log(domain.low), math.log(domain.high)
        return _drawn(name, lambda share: math.exp(low + share * (high - low)), length)

    def product(self, axes: Iterable[Axis | Endless]) -> Axis:
        """Return every combination, the last axis the fastest; of no axes one point that changes nothing."""
        parts = [_finite(axis, "product") for axis in axes]
        _check_number(math.prod(map(len, parts)))
        return Axis([_merged(combination) for combination in itertools.product(*parts)])

    def zipit(self, axes: Iterable[Axis | Endless], length: int | None = None) -> Axis:
        """Return the first points of all axes as one point, then the second ones, and so on."""
        parts = list(axes)
        counts = sorted({len(part.points) for part in parts if isinstance(part, Axis)})
        if length is None:
            if len(counts) > 1:
                raise UserError(f"hyper.zipit got axes of {' and '.join(map(str, counts))} points; make them as long")
            endless = [part.name for part in parts if isinstance(part, Endless) and not part.same]
            if endless and not counts:
                raise UserError(f"hyper.zipit draws {endless[0]} without an end; give it length=N")
            length = counts[0] if counts else 1
        if counts and counts[0] < length:
            raise UserError(f"hyper.zipit(length={length}) got an axis of only {counts[0]} points")
        _check_number(length)
        return Axis([_merged([_at(part, place) for part in parts]) for place in range(length)])

    def chainit(self, axes: Iterable[Axis | Endless]) -> Axis:
        """Return the points of one axis after those of the other."""
        return Axis([point for axis in axes for point in _finite(axis, "chainit")])

    def discrete(self, values: Iterable[Any]) -> Sequence[Any]:
        """Return a domain of values, which are numbers."""
        return values if isinstance(values, range) else list(values)

    def categorical(self, values: Iterable[Any]) -> Sequence[Any]:
        """Return a domain of values, which are names."""
        return list(values)

    def boolean(self) -> Sequence[bool]:
        """Return the domain of False and True."""
        return [False, True]

    def interval(self, low: float, high: float) -> Interval:
        """Return a domain of numbers to draw from."""
        return Interval(low, high)


def _values(name: str, domain: Any) -> Iterable[Any]:
    if isinstance(domain, (str, Interval, Mapping)) or not isinstance(domain, Iterable):
        raise UserError(f"hyper.sweep({name!r}, {domain!r}): the values must be a list, such as [{domain!r}]")
    if isinstance(domain, Sized):
        _check_number(len(domain))
    return domain


def _drawn(name: str, value: Callable[[float], Any], length: int | None) -> Axis | Endless:
    # By name and place alone: a longer axis begins with the same points, and another axis beside it changes nothing.
    drawn = Endless(name, lambda place: {name: value(random.Random(f"{name}:{place}").random())}, same=False)
    return drawn if length is None else Axis([drawn.at(place) for place in range(length)])


def _at(part: Axis | Endless, place: int) -> Changes:
    return part.points[place] if isinstance(part, Axis) else part.at(place)


def _finite(axis: Axis | Endless, method: str) -> Sequence[Changes]:
    if isinstance(axis, Axis):
        return axis.points
    if not isinstance(axis, Endless):
        raise UserError(f"hyper.{method} got {axis!r}; give it a list of what hyper.sweep and the like return")
    if not axis.same:
        raise UserError(f"hyper.{method} draws {axis.name} without an end; put it into hyper.zipit([...], length=N)")
    return [axis.at(0)]


def _merged(points: Iterable[Changes]) -> Changes:
    return {name: value for point in points for name, value in point.items()}


def _check_number(count: int) -> None:
    if count > MOST:
        raise UserError(f"a sweep of {count:,} points is more than {MOST:,}; draw from them with hyper.uniform")
