"""``octomed sweep expand``: the points of a sweep."""

from collections.abc import Sequence

from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.sweeps.expand import expand

RECIPE = "configs/recipes/traces_per_question.py:demo"


def run(arguments: Sequence[str]) -> int:
    """Show the points of a sweep, and check every one of them."""
    parser = Parser(
        "sweep expand",
        "Lists the points of a sweep. Nothing is run.",
        f"octomed sweep expand --config={RECIPE}",
    )
    parser.add_config()
    parser.add_argument("--json", action="store_true", help="print the points as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        raise UserError(f"--config.{overrides[0]}: a sweep takes no overrides; put the field into its config file")
    sweep = expand(options.config)
    points = [{"id": point.id, "changes": dict(point.changes)} for point in sweep.points]
    width = max(len(point.id) for point in sweep.points)
    lines = [f"{point.id:<{width}}  {', '.join(point.overrides) or 'the config as it is'}" for point in sweep.points]
    summary = "\n".join(
        [*lines, f"{len(points)} points, all valid; `octomed sweep run --config={sweep.spec}` runs them"]
    )
    return finish(summary, {"config": sweep.spec, "points": points}, options.json)
