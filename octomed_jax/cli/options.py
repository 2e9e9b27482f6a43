"""What the verbs' parsers share: one-line errors with a suggestion, and the config options."""

import argparse
import json
from collections.abc import Sequence
from typing import Any, NoReturn

from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.errors import UserError, did_you_mean


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

    def add_config(self, default: str | None = None) -> None:
        """Add ``--config``."""
        self.add_argument(
            "--config",
            metavar="FILE[:ARG]",
            default=default,
            required=default is None,
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
        options, unknown = self.parse_known_args(rest)
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            hint = did_you_mean(unknown[0].split("=")[0], known)
            raise UserError(f"unknown option {unknown[0]!r}{hint}; `{self.prog} --help` shows the options")
        return options, overrides

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
