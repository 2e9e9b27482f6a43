"""The options by which the training of a sweep's points runs as jobs of a launch config."""

import argparse
from pathlib import Path

from octomed_jax import configuration
from octomed_jax.cli import main
from octomed_jax.cli.options import Parser
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.table import BACKENDS, backend
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.sweeps.train_spec import Place


def add_launch(parser: Parser) -> None:
    """Add the options that name a launch config and its back end."""
    parser.add_argument(
        "--launch", metavar="FILE[:ARG]", help="launch config: each training is a job of it (needs --backend)"
    )
    parser.add_argument("--backend", help=f"of the launch config: one of {', '.join(BACKENDS)}")


def read_place(options: argparse.Namespace) -> Place | None:
    """Return where the trainings run; None: on this machine, as processes.

    Raises:
        UserError: one option without the other, or a mistake in the launch config.
    """
    if not options.launch and not options.backend:
        return None
    if not options.launch or not options.backend:
        raise UserError("--launch=FILE and --backend=NAME go together; give both or neither")
    file = configuration.split_spec(options.launch)[0].resolve()
    roots = (Path(), *file.parents[:3])
    spec = read_spec(configuration.load(options.launch), verbs=main.VERBS, roots=roots)
    return Place(spec, backend(options.backend), file, roots)
