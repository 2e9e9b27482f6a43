"""All adapters of published data sets by name. A new one is one file in ``sources/``, which is found there."""

import importlib
import pkgutil

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.questions import sources
from octomed_jax.questions.adapter import Adapter

MODULES = [importlib.import_module(f"{sources.__name__}.{one.name}") for one in pkgutil.iter_modules(sources.__path__)]
ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for module in MODULES for adapter in module.SOURCES}


def find_adapter(name: str) -> Adapter:
    """Return an adapter by name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in ADAPTERS:
        hint = did_you_mean(name, list(ADAPTERS))
        raise UserError(f"unknown source {name!r}{hint}; `octomed questions list` has them all")
    return ADAPTERS[name]
