"""``octomed verify``: judge the attempts and keep the right ones."""

from collections.abc import Sequence

from octomed_jax import storage
from octomed_jax.cli.options import Parser, finish
from octomed_jax.verification.verify import verify


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        "verify",
        "Judges every attempt with the verifier of its task and keeps the right ones as traces; prints the funnel.",
        "octomed verify --config=configs/demo.py",
    )
    parser.add_config()
    parser.add_argument("--attempts", metavar="DIR", help="what `octomed distill` wrote (default: RUN/attempts)")
    parser.add_argument("--output", metavar="DIR", help="folder to write (default: RUN/traces)")
    parser.add_argument("--json", action="store_true", help="print the funnel as JSON")
    options, config = parser.read_config(arguments)
    attempts = options.attempts or f"{config.run}/attempts"
    output = options.output or f"{config.run}/traces"
    counts = verify(attempts, output).counts
    summary = (
        f"{counts['correct']} of {counts['asked']} attempts are right; {counts['kept']} traces of "
        f"{counts['questions_kept']} questions lie in {output}"
    )
    funnel = storage.read_json(f"{output}/funnel.json") if options.json else None
    return finish(summary, {"output": str(output), **(funnel or {})}, options.json)
