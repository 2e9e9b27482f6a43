"""The config under the points of a sweep, and what changes do to it: checked, as text, resolved, hashed."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict, FieldReference

from octomed_jax import configuration, storage
from octomed_jax.errors import UserError


class Base:
    """The config that points change: what ``get_config`` makes of one argument.

    Points change its plain data, which is ten times as fast as to make a config for each. Where a field is changed
    that others follow (``get_ref``), the config is made anew, since the change shows in them too.
    """

    def __init__(self, module: ModuleType, arg: str | None):
        self.module, self.arg = module, arg
        self.file = str(module.__file__)
        self.config = configuration.build(module, arg).lock()
        self.tree = _plain(self.config, self.file)
        self._linked = _linked(self.config)
        self._sections = {name: storage.canonical_json(value) for name, value in self.tree.items()}
        self._read: dict[tuple[str, str], tuple[Any, str]] = {}

    def change(self, changes: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]:
        """Return the changes in the types of their fields, the same as overrides, and the whole config as plain data.

        Raises:
            UserError: an unknown field, a value of the wrong type, or one that a command line cannot carry.
        """
        read = {name: self._read_value(name, value) for name, value in changes.items()}
        typed = {name: value for name, (value, _) in read.items()}
        overrides = tuple(f"{name}={text}" for name, (_, text) in read.items())
        if self._linked and any(self._is_linked(name) for name in typed):
            return typed, overrides, self._made_anew(overrides)
        tree = self.tree
        for name, value in typed.items():
            tree = _with(tree, name.split("."), configuration.plain(value))
        return typed, overrides, tree

    def hash_of(self, tree: Mapping[str, Any]) -> str:
        """Return the hash of a changed config; only the sections that were changed are written anew for it."""
        texts = []
        for name, section in sorted(tree.items()):
            text = self._sections[name] if section is self.tree[name] else storage.canonical_json(section)
            texts.append(f"{storage.canonical_json(name)}:{text}")
        return storage.sha256_bytes(f"{{{','.join(texts)}}}".encode())[: storage.FINGERPRINT_DIGITS]

    def _read_value(self, name: str, value: Any) -> tuple[Any, str]:
        """Return a value in the type of its field, and as text; most points have values that others have too."""
        key = (name, f"{type(value).__name__} {value!r}")
        if key not in self._read:
            typed = configuration.typed(self.config, name, value)
            if isinstance(value, str) and self._holds_nothing(name):
                typed = value  # it says itself that it is text, and "7" no number
            self._read[key] = typed, self._as_text(name, typed)
        return self._read[key]

    def _holds_nothing(self, name: str) -> bool:
        node = self.config
        for part in name.split("."):
            node = node[part]
        return node is None

    def _as_text(self, name: str, value: Any) -> str:
        """Return ``value`` as an override writes it: what the run reads must be what was meant."""
        meant = storage.canonical_json(configuration.plain(value))
        for text in dict.fromkeys((as_text(value), repr(value))):
            try:
                read = configuration.plain(configuration.typed(self.config, name, text))
            except (UserError, TypeError):
                continue
            if storage.canonical_json(read) == meant:
                return text
        raise UserError(f"config.{name}={value!r} would be read back as something else; use numbers, text or tuples")

    def _is_linked(self, name: str) -> bool:
        return any(name == field or name.startswith(f"{field}.") for field in self._linked)

    def _made_anew(self, overrides: Sequence[str]) -> dict[str, Any]:
        config = configuration.build(self.module, self.arg)
        for override in overrides:
            configuration.apply_override(config, override)
        return _plain(config, self.file)


def plain_value(name: str, value: Any) -> Any:
    """Return what a sweep sets ``name`` to as plain data: numbers of NumPy, ranges and configs are made such.

    Raises:
        UserError: it is none.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, FieldReference):
        return plain_value(name, value.get())
    if isinstance(value, (ConfigDict, Mapping)):
        return {str(key): plain_value(name, value[key]) for key in value}
    if isinstance(value, list):
        return [plain_value(name, item) for item in value]
    if isinstance(value, (tuple, range)):
        return tuple(plain_value(name, item) for item in value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # scalars and arrays of NumPy and JAX
        return plain_value(name, value.tolist())
    for kind in (bool, int, float, str):
        if isinstance(value, kind):  # an enumeration that is one, or the like
            return kind(value)
    raise UserError(f"config.{name}={value!r} is a {type(value).__name__}; use numbers, text, tuples or dicts")


def as_text(value: Any) -> str:
    """Return ``value`` as an override writes it."""
    return value if isinstance(value, str) else repr(value)


def _plain(config: ConfigDict, file: str) -> dict[str, Any]:
    try:
        tree = configuration.plain(config)
    except (TypeError, ValueError) as error:
        raise UserError(f"get_config() of {file} holds what is no plain data: {error}") from error
    assert isinstance(tree, dict)
    return tree


def _linked(config: ConfigDict) -> frozenset[str]:
    """Return the fields and groups whose change can show elsewhere: references, and groups that have two places."""
    linked: set[str] = set()
    places: dict[int, str] = {}

    def look(group: ConfigDict, place: str) -> None:
        for name, value in group.items(preserve_field_references=True):
            if isinstance(value, FieldReference):
                linked.add(place + name)
            elif isinstance(value, ConfigDict):
                if (first := places.setdefault(id(value), place + name)) != place + name:
                    linked.update((first, place + name))
                look(value, f"{place}{name}.")

    look(config, "")
    return frozenset(linked)


def _with(tree: Mapping[str, Any], parts: Sequence[str], value: Any) -> dict[str, Any]:
    """Return a tree with one leaf changed; the rest of it is shared."""
    first, *rest = parts
    return {**tree, first: _with(tree[first], rest, value) if rest else value}
