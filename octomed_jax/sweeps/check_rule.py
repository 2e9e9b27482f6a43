"""Whether a rule of early stopping fits the runs of a sweep: asked before any of them starts."""

from collections.abc import Mapping
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.sweeps.decisions import HELD_OUT
from octomed_jax.sweeps.stages import field
from octomed_jax.sweeps.stopping import Rule


def check_rule(rule: Rule, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a rule whose rungs the runs never come to, or at which they do not measure what it looks at.

    Args:
        rule: the rule.
        configs: point id to its config.

    Raises:
        UserError: so.
    """
    for point, config in configs.items():
        steps, every = field(config, "train.steps"), field(config, "held_out.every")
        if "train" not in config.get("stages", ()):
            raise UserError(f"--stopping: {point} trains nothing (config.stages); leave early stopping out")
        if steps and max(rule.rungs) >= steps:
            raise UserError(f"--rungs={max(rule.rungs)}: {point} ends at step {steps}; a rung lies before the end")
        measured = every and field(config, "held_out.records")
        if rule.metric == HELD_OUT and (not measured or any(rung % every for rung in rule.rungs)):
            raise UserError(
                f"--stopping-metric={HELD_OUT}: {point} does not measure it at all rungs; set held_out.records, and "
                f"held_out.every (now {every}) to a divisor of {', '.join(map(str, rule.rungs))}"
            )
