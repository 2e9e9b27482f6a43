"""What the points of a config file change, in the three styles in which open config files write sweeps.

    def sweep(add):  # big_vision; or sweep(add, arg) with the text after the colon of FILE.py:arg
        add(**{"traces.per_question": 4})

    def get_hyper(hyper):  # scenic, vmoe; uncertainty-baselines calls it get_sweep
        return hyper.sweep("config.traces.per_question", [1, 4])

    def sweep():  # kauldron; also sweep_NAME, which are chosen by name, and combined
        for kept in (1, 4):
            yield {"traces.per_question": kept}

big_vision has named sweeps too (``sweep_best(add)``); so any style may stand in a function ``sweep_NAME``.
"""

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.sweeps.hyper import Axis, Endless, Hyper

Changes = dict[str, Any]
PREFIX = "sweep_"
ENTRIES = ("sweep", "get_hyper", "get_sweep")


def read_changes(module: ModuleType, arg: str | None, names: Sequence[str] = ()) -> list[Changes]:
    """Return what each point of a loaded config file changes, as the file wrote it.

    Args:
        module: the config file.
        arg: the text after the colon, for functions that take it.
        names: of ``sweep_NAME`` functions, whose points are combined, each with each; none: the file's one sweep.

    Raises:
        UserError: there is no sweep or more than one, or something goes wrong in it.
    """
    path = Path(str(module.__file__))
    lists = [_collect(path, name, getattr(module, name), arg) for name in _chosen(path, module, names)]
    # Where two of them change a field, the later one does, as in kauldron.
    return [
        {name: value for changes in combination for name, value in changes.items()}
        for combination in itertools.product(*lists)
    ]


def _chosen(path: Path, module: ModuleType, names: Sequence[str]) -> list[str]:
    """Return the names of the functions that make the points."""
    named = sorted(name for name, value in vars(module).items() if name.startswith(PREFIX) and callable(value))
    for name in names:
        if PREFIX + name not in named:
            known = [one.removeprefix(PREFIX) for one in named]
            listed = f"known: {', '.join(known)}" if known else "it has no named ones"
            raise UserError(f"{path} has no sweep {name!r} ({PREFIX}{name}){did_you_mean(name, known)}; {listed}")
    if names:
        return [PREFIX + name for name in names]
    found = [name for name in ENTRIES if hasattr(module, name)]
    if len(found) > 1:
        raise UserError(f"{path} has both {found[0]} and {found[1]}; leave one of them, which makes the points")
    if not found:
        if named:
            listed = ", ".join(one.removeprefix(PREFIX) for one in named)
            raise UserError(f"{path} has no sweep(), but named ones; choose with --sweep=NAME: {listed}")
        raise UserError(
            f"{path} has no sweep: define sweep(add), get_hyper(hyper), or a sweep() that yields dicts, "
            "beside get_config"
        )
    return found


def _collect(path: Path, name: str, sweep: Any, arg: str | None) -> list[Changes]:
    """Return the points of one sweep of a file, in its own style."""
    with configuration.running(path):
        if not callable(sweep):  # sweep = [{...}, {...}], or a generator expression
            return _dicts(path, name, sweep)
        parameters = list(inspect.signature(sweep).parameters.values())
        first = parameters[0] if parameters else None
        if name in ENTRIES[1:] or (first is not None and first.name == "hyper"):
            return _axis(path, name, sweep(*_words(parameters, Hyper(), arg)))
        if first is not None and first.default is inspect.Parameter.empty:
            return _added(sweep, parameters, arg)
        return _dicts(path, name, sweep(*_words(parameters, arg)))


def _words(parameters: Sequence[inspect.Parameter], *given: Any) -> tuple[Any, ...]:
    """Return as many of the arguments as a function takes."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return given[: sum(parameter.kind in kinds for parameter in parameters)]


def _added(sweep: Callable[..., Any], parameters: Sequence[inspect.Parameter], arg: str | None) -> list[Changes]:
    collected: list[Changes] = []

    def add(**changes: Any) -> None:
        collected.append(changes)

    sweep(*_words(parameters, add, arg))
    return collected


def _axis(path: Path, name: str, result: Any) -> list[Changes]:
    if isinstance(result, Endless):
        result = Hyper().product([result])
    if not isinstance(result, Axis):
        raise UserError(f"{name}() of {path} returned a {type(result).__name__}; return hyper.product([...])")
    return [dict(point) for point in result.points]


def _dicts(path: Path, name: str, result: Any) -> list[Changes]:
    if not isinstance(result, Iterable) or isinstance(result, (str, Mapping, ConfigDict)):
        kind = type(result).__name__
        raise UserError(f"{name} of {path} gives a {kind}; it must yield a dict for each point, or take `add`")
    points = []
    for point in result:
        if not isinstance(point, (Mapping, ConfigDict)):
            raise UserError(f"{name} of {path} yields a {type(point).__name__} ({point!r}), not a dict")
        points.append(dict(point.items()))
    return points
