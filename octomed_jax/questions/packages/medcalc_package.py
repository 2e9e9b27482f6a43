"""MedCalc-Bench's calculators as functions, run from the verified bytes of its wheel.

The package is wanted for its code, so it must run; but nothing is installed. A finder that holds the verified sources
in memory serves the imports of ``medcalc`` while they last, and leaves ``sys.modules`` as it was.
"""

import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.questions.packages.archives import wheel_members, wheel_names
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import MEDCALC_BENCH

PACKAGE = "medcalc"
# calculator -> (module, function) of medcalc-bench
FUNCTIONS = {
    "cha2ds2_vasc": ("cha2ds2_vasc_score", "generate_cha2ds2_vasc_explanation"),
    "has_bled": ("has_bled_score", "compute_has_bled_score_explanation"),
    "anion_gap": ("anion_gap", "compute_anion_gap_explanation"),
    "mean_arterial_pressure": ("mean_arterial_pressure", "mean_arterial_pressure_explanation"),
    "curb_65": ("curb_65", "curb_65_explanation"),
    "centor": ("centor_score", "compute_centor_score_explanation"),
}


class WheelFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves the modules of one package out of sources in memory."""

    def __init__(self, sources: Mapping[str, bytes]):
        """Take ``package/module.py`` to source bytes."""
        self.sources = dict(sources)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec if the module is one of ours."""
        stem = fullname.replace(".", "/")
        for name, is_package in ((f"{stem}/__init__.py", True), (f"{stem}.py", False)):
            if name in self.sources:
                return importlib.machinery.ModuleSpec(fullname, self, origin=name, is_package=is_package)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's source."""
        origin = module.__spec__.origin if module.__spec__ else None
        assert origin
        exec(compile(self.sources[origin], f"<{MEDCALC_BENCH.filename}>/{origin}", "exec"), module.__dict__)


@functools.cache
def calculators() -> dict[str, Callable[[dict[str, Any]], float]]:
    """Return calculator name to a function from inputs to the answer.

    Raises:
        UserError, TryAgain: as ``fetch``; or the wheel lacks a calculator.
    """
    wheel = fetch(MEDCALC_BENCH)
    names = [name for name in wheel_names(wheel, MEDCALC_BENCH.filename) if _is_source(name)]
    finder = WheelFinder(wheel_members(wheel, names, MEDCALC_BENCH.filename, limit=2**20))
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == PACKAGE}
    sys.meta_path.insert(0, finder)
    try:
        functions = {}
        for calculator, (module, function) in FUNCTIONS.items():
            explain = getattr(importlib.import_module(f"{PACKAGE}.{module}"), function, None)
            if explain is None:
                raise UserError(f"{MEDCALC_BENCH.filename} has no {module}.{function}; delete it and fetch it again")
            functions[calculator] = _answer_of(explain)
        return functions
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _is_source(name: str) -> bool:
    return name.startswith(f"{PACKAGE}/") and name.endswith(".py")


def _answer_of(explain: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], float]:
    # Some calculators add keys to what they are given, hence the copy.
    return lambda inputs: float(explain(dict(inputs))["Answer"])
