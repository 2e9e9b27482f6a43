"""Config files: Python files with ``get_config(arg)`` that returns an ml-collections ConfigDict.

``--config=FILE[:arg]`` names the file, ``--config.a.b=value`` overrides one field. Unlike plain absl config_flags, a
misspelt field or a missing file is the user's error: one line, exit code 2, with a suggestion.
"""

import ast
import contextlib
import inspect
import json
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict, FieldReference

from octomed_jax.errors import StopAndLook, TryAgain, UserError, did_you_mean


def load(spec: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """Load a config file and apply overrides.

    Args:
        spec: ``FILE.py`` or ``FILE.py:arg``.
        overrides: strings ``a.b=value``; values are read as the type of the field they replace.

    Returns:
        The locked config.

    Raises:
        UserError: no such file, no ``get_config``, something goes wrong in it, an unknown field, or a value of the
            wrong type.
    """
    path, arg = split_spec(spec)
    config = build(load_module(path), arg)
    for override in overrides:
        apply_override(config, override)
    return config.lock()


def build(module: ModuleType, arg: str | None) -> ConfigDict:
    """Return what ``get_config`` of a loaded config file makes of ``arg``, the text after the colon, not yet locked.

    Raises:
        UserError: there is no ``get_config``, it takes no argument, or something goes wrong in it.
    """
    path = Path(str(module.__file__))
    if not hasattr(module, "get_config"):
        raise UserError(f"{path} has no get_config(); a config file defines one that returns a ConfigDict")
    takes_arg = bool(inspect.signature(module.get_config).parameters)
    if arg is not None and not takes_arg:
        raise UserError(f"{path} takes no argument, but ':{arg}' was given")
    with running(path):
        config = module.get_config(arg) if takes_arg else module.get_config()
    if not isinstance(config, ConfigDict):
        raise UserError(f"get_config() of {path} returned a {type(config).__name__}, not a ConfigDict")
    return config


def split_spec(spec: str) -> tuple[Path, str | None]:
    """Split ``FILE.py:arg`` into path and argument (None when there is no colon)."""
    name, colon, arg = spec.partition(":")
    return Path(name), arg if colon else None


def load_module(path: Path) -> ModuleType:
    """Execute a config file as a module of its own.

    Raises:
        UserError: there is no such file, it does not end in ``.py``, or something goes wrong in it.
    """
    if not path.is_file():
        siblings = sorted(str(p) for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise UserError(f"no such config file: {path}{did_you_mean(str(path), siblings)}")
    if path.suffix != ".py":
        raise UserError(f"{path} is not a Python config file (.py)")
    module = ModuleType(f"octomed_config_{path.stem}")
    module.__file__ = str(path)
    with running(path):
        # Not by importlib: its bytecode cache takes a file edited within a second, at the same length, for the old one.
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    return module


@contextlib.contextmanager
def running(path: Path) -> Iterator[None]:
    """Run a block that is code of a config file: it finds its neighbours, and what goes wrong is said with its line.

    Raises:
        UserError: the block raised anything but an error of ours; the message names file, line and exception.
    """
    # A config may import its neighbours (configs/recipes/x.py imports configs/demo.py), as big_vision's do.
    roots = [str(parent) for parent in path.resolve().parents[:3]]
    sys.path[:0] = roots
    try:
        yield
    except (UserError, TryAgain, StopAndLook):
        raise
    except Exception as error:
        raise UserError(_explained(path, error)) from error
    finally:
        for root in roots:
            sys.path.remove(root)


def _explained(path: Path, error: Exception) -> str:
    """Return one line about an exception in a config file, with the deepest line that is not a library's."""
    if isinstance(error, SyntaxError) and Path(error.filename or "").is_file():
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    text = " ".join(str(error).split())
    frames = list(traceback.extract_tb(error.__traceback__))
    if isinstance(error, ValueError) and (frames[-1].line or "").startswith("raise"):
        return text  # a refusal that says what is wrong, such as that of a variant that the file does not know
    libraries = (*sysconfig.get_paths().values(), str(Path(__file__).parent), "<")
    frames = [frame for frame in frames if not frame.filename.startswith(libraries) or frame.filename == str(path)]
    where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else str(path)
    return f"{where}: {type(error).__name__}" + (f": {text}" if text else "")


def apply_override(config: ConfigDict, override: str) -> None:
    """Apply one ``a.b=value`` to a config, in place.

    Raises:
        UserError: the field does not exist or the value has the wrong type.
    """
    name, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"--config.{name} needs a value: --config.{name}=VALUE")
    set_field(config, name, text)


def set_field(config: ConfigDict, name: str, value: Any) -> None:
    """Set the dotted field ``name``; a string is read as the type of the field it replaces.

    Raises:
        UserError: the field does not exist or the value has the wrong type.
    """
    node, leaf = _place(config, name)
    typed = _as_type_of(node[leaf], value, name)
    try:
        node[leaf] = typed
    except TypeError as error:  # of a field that is empty and has a type all the same
        raise UserError(f"config.{name}={value!r}: {' '.join(str(error).split())}") from error


def typed(config: ConfigDict, name: str, value: Any) -> Any:
    """Return what ``set_field`` would set; nothing is changed.

    Raises:
        UserError: as ``set_field``.
    """
    node, leaf = _place(config, name)
    return _as_type_of(node[leaf], value, name)


def _place(config: ConfigDict, name: str) -> tuple[Any, str]:
    """Return the group in which the dotted field ``name`` lies, and its name there.

    Raises:
        UserError: there is no such field, or it is a group itself.
    """
    node: Any = config
    *parents, leaf = name.split(".")
    for depth, part in enumerate([*parents, leaf]):
        if not isinstance(node, ConfigDict) or part not in node:
            known = sorted(node.keys()) if isinstance(node, ConfigDict) else []
            where = ".".join(name.split(".")[:depth])
            inside = f"config.{where}" if where else "the config"
            listed = f"known: {', '.join(known)}" if known else "it has none"
            raise UserError(f"no field {part!r} in {inside}{did_you_mean(part, known)}; {listed}")
        if depth < len(parents):
            node = node[part]
    if isinstance(node[leaf], ConfigDict):
        fields = ", ".join(sorted(node[leaf].keys()))
        cure = f": {fields}; set one of them" if fields else " and has none; set them in the config file"
        raise UserError(f"config.{name} is a group of fields{cure}")
    return node, leaf


def _as_type_of(old: Any, value: Any, name: str) -> Any:
    """Return ``value`` in the type of ``old``, reading it from text where it is text."""
    kind = type(old).__name__
    refusal = UserError(f"config.{name}={value!r} is no {kind}; it is now {old!r}")
    if isinstance(value, str) and not isinstance(old, str):
        if isinstance(old, bool):
            spellings = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
            if value.lower() not in spellings:
                raise refusal
            return spellings[value.lower()]
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError) as error:
            if old is None or isinstance(old, (tuple, list)):
                value = value if old is None else tuple(part for part in value.split(",") if part)
            else:
                raise refusal from error
    if old is None:
        return value
    if isinstance(old, (tuple, list)):
        return type(old)(value) if isinstance(value, (tuple, list)) else type(old)([value])
    if isinstance(old, bool) or isinstance(value, bool):
        if type(old) is not type(value):
            raise refusal
        return value
    if isinstance(old, float) and isinstance(value, int):
        return float(value)
    if not isinstance(value, type(old)):
        raise refusal
    return value


def answer_format_of(config: ConfigDict) -> str:
    """Return in which format the student is asked, in training and evaluation; one of ``prompts.SUFFIXES``.

    It is the teacher's (``distill.answer_format``), unless ``traces`` brings what the teacher wrote into another form.
    """
    traces = config.get("traces") or {}
    if traces.get("format") == "direct":
        return "direct"
    marked = traces.get("answer_format", "as_written")
    return config.distill.answer_format if marked == "as_written" else marked


def training_seed(config: ConfigDict) -> int:
    """Return the seed of the order of the data and of random weights; all else goes by ``seed``."""
    return config.seed if config.train.seed is None else config.train.seed


def plain(config: Any) -> Any:
    """Return a config as plain JSON data (ConfigDict to dict, tuples to lists)."""
    if isinstance(config, FieldReference):
        return plain(config.get())
    if isinstance(config, (ConfigDict, Mapping)):
        return {key: plain(config[key]) for key in sorted(config.keys())}
    if isinstance(config, (list, tuple)):
        return [plain(item) for item in config]
    json.dumps(config)  # a config holds plain data only; anything else is a bug of the config file
    return config
