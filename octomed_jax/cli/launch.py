"""``octomed launch``: render a job for a cluster or for this machine."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from octomed_jax import configuration, progress
from octomed_jax.cli import main
from octomed_jax.cli.launch_plan import plan_command
from octomed_jax.cli.options import Parser, finish, subverb
from octomed_jax.launching.backends.table import BACKENDS, backend
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import JobSpec, plan_words


def run(arguments: Sequence[str]) -> int:
    """Run ``octomed launch SUBVERB``."""
    return subverb(
        "launch", {"plan": plan_command, "render": render_command}, arguments, "Renders a job; nothing is started."
    )


def render_command(arguments: Sequence[str]) -> int:
    """Write a JobSet manifest, or a script that runs the processes on this machine."""
    parser = Parser(
        "launch render",
        "Writes what a backend needs to run a job. Nothing is started, and no cluster is asked.",
        "octomed launch render --config=configs/launch/octomed_7b_v5e_256.py --backend=jobset --output=runs/launch",
    )
    parser.add_config()
    parser.add_argument("--backend", required=True, help=f"one of: {', '.join(BACKENDS)}")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the rendered file")
    parser.add_argument("--json", action="store_true", help="print the path and the size of the job as JSON")
    options, config = parser.read_config(arguments)
    launch_file = configuration.split_spec(options.config)[0].resolve()
    spec = read_spec(config, verbs=main.VERBS, roots=(Path(), *launch_file.parents[:3]))
    [path, *_] = render(spec, backend(options.backend), options.output)
    size = job_size(spec, options.backend)
    plan = shlex.join(["octomed", *words]) if options.backend != "local" and (words := plan_words(spec)) else None
    if plan:
        progress.say(f"launch: does it fit, and how long will it take? {plan}")
    result = {"backend": options.backend, "name": spec.name, "path": str(path), **size, "plan": plan}
    shape = ", ".join(f"{unit} {count}" for unit, count in size.items())
    start = f"sh {path}" if options.backend == "local" else f"kubectl apply --server-side -f {path}"
    return finish(f"{path}: {spec.name}, {shape}; start it with `{start}`", result, options.json)


def job_size(spec: JobSpec, backend: str) -> dict[str, int]:
    """Return how large the job is, by unit."""
    if backend == "local":
        return {"processes": spec.processes, "devices": spec.processes * spec.devices}
    return {"slices": spec.slices, "hosts": spec.slices * spec.hosts, "chips": spec.chips}
