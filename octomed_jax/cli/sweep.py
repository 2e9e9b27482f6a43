"""``octomed sweep``: expand and run a sweep of configs, look at it, and tabulate what came out."""

from collections.abc import Sequence

from octomed_jax.cli import sweep_expand, sweep_run, sweep_status
from octomed_jax.cli.options import subverb

TABLE = {"expand": sweep_expand.run, "run": sweep_run.run, "status": sweep_status.run}


def run(arguments: Sequence[str]) -> int:
    """Run ``octomed sweep SUBVERB``."""
    return subverb("sweep", TABLE, arguments, "A sweep is a config file with sweep(add) beside get_config.")
