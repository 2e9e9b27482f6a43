"""``octomed sweep``: expand and run a sweep of configs, look at it, and tell what came out."""

from collections.abc import Sequence

from octomed_jax.cli import sweep_expand, sweep_run, sweep_status
from octomed_jax.cli.options import subverb

TABLE = {"expand": sweep_expand.expand_command, "run": sweep_run.run, "status": sweep_status.run}
DESCRIPTION = "A sweep is a config file with sweep(add), get_hyper(hyper) or a sweep() of dicts beside get_config."


def run(arguments: Sequence[str]) -> int:
    """Run ``octomed sweep SUBVERB``."""
    return subverb("sweep", TABLE, arguments, DESCRIPTION)
