"""What the verbs of ``octomed launch`` share: how a job and its back end are named on the command line."""

import argparse
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.cli import main
from octomed_jax.cli.options import Parser, check_words
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import Backend
from octomed_jax.launching.backends.table import BACKENDS, backend
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.spec import JobSpec


class LaunchJob(NamedTuple):
    """A job as it was asked for: its spec, where it runs, its launch config, and where its own config may lie."""

    spec: JobSpec
    backend: Backend
    file: Path
    roots: tuple[Path, ...]


def add_job(parser: Parser) -> None:
    """Add the options that name a job and its back end."""
    parser.add_config()
    parser.add_argument("--backend", required=True, help=f"one of: {', '.join(BACKENDS)}")


def add_output(parser: Parser) -> None:
    """Add the folder of the rendered files."""
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the rendered files")


def read_job(options: argparse.Namespace, config: ConfigDict) -> LaunchJob:
    """Read the job.

    Raises:
        UserError: a mistake in its launch config, or in the words of its command, or an unknown back end.
    """
    file = configuration.split_spec(options.config)[0].resolve()
    roots = (Path(), *file.parents[:3])
    spec = read_spec(config, verbs=main.VERBS, roots=roots)
    _check_words(spec)
    return LaunchJob(spec, backend(options.backend), file, roots)


def _check_words(spec: JobSpec) -> None:
    """Let the job's verb read its words here, so that a typing mistake costs no chips."""
    verb, *words = [word for word in spec.words() if word != "--debug"]
    try:
        check_words(main.module_of(verb).run, words)
    except UserError as error:
        raise UserError(f"command `octomed {spec.command.verb}`: {error}") from error
