"""Makes this checkout importable, also where nothing but the numeric packages is installed."""

import importlib.util
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class _Anything:
    def __class_getitem__(cls, _: object) -> type:
        return cls


class _StandIn(types.ModuleType):
    """In place of jaxtyping, of which only annotations are made: any name is a type of any shape."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):  # what a module may lack, such as a file
            raise AttributeError(name)
        return _Anything


sys.path.insert(0, str(ROOT))
if importlib.util.find_spec("jaxtyping") is None:
    sys.modules["jaxtyping"] = _StandIn("jaxtyping")
