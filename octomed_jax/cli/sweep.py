"""``octomed sweep``: expand and run a sweep of configs, look at it, and tell what came out."""

from collections.abc import Sequence

from octomed_jax.cli.options import subverb
from octomed_jax.cli.sweep_expand import expand_command
from octomed_jax.cli.sweep_results import export_best_command, results_command
from octomed_jax.cli.sweep_run import run_command
from octomed_jax.cli.sweep_status import status_command

DESCRIPTION = "A sweep is a config file with sweep(add), get_hyper(hyper) or a sweep() of dicts beside get_config."


def run(arguments: Sequence[str]) -> int:
    """Run ``octomed sweep SUBVERB``."""
    table = {
        "expand": expand_command,
        "run": run_command,
        "status": status_command,
        "results": results_command,
        "export-best": export_best_command,
    }
    return subverb("sweep", table, arguments, DESCRIPTION)
