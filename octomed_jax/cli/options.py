"""What the verbs' parsers share: one-line errors with a suggestion, and the config options."""

import argparse
import contextlib
import contextvars
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.errors import UserError, did_you_mean

AUTO = "auto"
_only_read = contextvars.ContextVar("only_read", default=False)


class _UnderstoodError(Exception):
    """A verb's words were read without a mistake, and no more was asked for."""


def check_words(run: Callable[[Sequence[str]], int], words: Sequence[str]) -> None:
    """Let a verb read its words, as it would when it runs, and do nothing.

    Args:
        run: the verb.
        words: what follows it.

    Raises:
        UserError: an unknown subverb or option, or a value that an option does not take, as the verb would say it.
    """
    before = _only_read.set(True)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            run(words)
    except _UnderstoodError:
        return
    except SystemExit:  # --help
        pass
    finally:
        _only_read.reset(before)
    raise UserError("these words only show a help")


def mesh_sizes(text: str) -> dict[str, int]:
    """Return the sizes of ``data=2,fsdp=4``."""
    try:
        return {axis: int(size) for axis, _, size in (part.partition("=") for part in text.split(","))}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form AXIS=SIZE,AXIS=SIZE") from error


def mesh_or_auto(text: str) -> dict[str, int] | str:
    """Return the sizes of a mesh, or that it is to be chosen."""
    return AUTO if text == AUTO else mesh_sizes(text)


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are UserErrors, and whose help ends with an example."""

    def __init__(self, prog: str, description: str, example: str):
        super().__init__(
            prog=f"octomed {prog}",
            description=description,
            epilog=f"example:\n  {example}\n\n--debug shows the traceback of an error.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise UserError(f"{message}; `{self.prog} --help` shows the options")

    def add_config(self, default: str | None = None, required: bool = True) -> None:
        """Add ``--config``, which must be given where there is no default."""
        self.add_argument(
            "--config",
            metavar="FILE[:ARG]",
            default=default,
            required=required and default is None,
            help="config file"
            + (f" (default {default})" if default else "")
            + "; --config.a.b=VALUE overrides a field of it",
        )

    def read(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Parse; return the options and the config overrides (``a.b=value``).

        Raises:
            UserError: an unknown option, with a suggestion.
        """
        overrides, rest = [], []
        words = iter(arguments)
        for word in words:
            if word.startswith("--config."):
                name = word.removeprefix("--config.")
                overrides.append(name if "=" in name else f"{name}={next(words, '')}")
            else:
                rest.append(word)
        try:
            options, unknown = self.parse_known_args(rest)
        except UserError:
            # A required option that is missing may be there, misspelt.
            self._refuse([word for word in rest if word.startswith("--") and self._hint(word)])
            raise
        self._refuse(unknown)
        if _only_read.get():
            raise _UnderstoodError
        return options, overrides

    def _refuse(self, unknown: Sequence[str]) -> None:
        if unknown:
            hint = self._hint(unknown[0])
            raise UserError(f"unknown option {unknown[0]!r}{hint}; `{self.prog} --help` shows the options")

    def _hint(self, word: str) -> str:
        """Return what an unknown option may have been meant to be."""
        known = [option for action in self._actions for option in action.option_strings]
        name = word.split("=")[0]
        return "" if name in known else did_you_mean(name, known)

    def add_mesh(self, whose: str) -> None:
        """Add ``--mesh``: sizes of the axes, or that they are to be chosen."""
        self.add_argument(
            "--mesh",
            metavar="AXIS=SIZE|auto",
            type=mesh_or_auto,
            help=f"sizes of the axes, such as fsdp=64,sequence=4, or auto: what the planner finds best for {whose} "
            "(default: the config's train.mesh)",
        )

    def read_config(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, ConfigDict]:
        """Parse, and load the config with its overrides."""
        options, overrides = self.read(arguments)
        return options, configuration.load(options.config, overrides)


def subverb(verb: str, table: dict[str, Any], arguments: Sequence[str], description: str) -> int:
    """Run ``table[arguments[0]]`` with the rest, or say which subverbs there are."""
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = "\n".join(f"  {name:<10} {function.__doc__.splitlines()[0]}" for name, function in table.items())
        print(f"usage: octomed {verb} SUBVERB [options]\n\n{description}\n\n{lines}")
        return 0
    if arguments[0] not in table:
        hint = did_you_mean(arguments[0], list(table))
        raise UserError(f"unknown subverb {verb} {arguments[0]!r}{hint}; one of: {', '.join(table)}")
    return table[arguments[0]](arguments[1:]) or 0


def finish(summary: str, result: Any, as_json: bool) -> int:
    """Print the last line of a command: where the result is; or the result as JSON."""
    print(json.dumps(result) if as_json else summary)
    return 0
