"""``octomed launch``: render a job for a cluster or for this machine, start it, look at it, stop it."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from octomed_jax import progress
from octomed_jax.cli.launch_control import down_command, logs_command, status_command, stop_command
from octomed_jax.cli.launch_doctor import doctor_command
from octomed_jax.cli.launch_job import add_job, add_output, read_job
from octomed_jax.cli.launch_plan import plan_command
from octomed_jax.cli.launch_up import up_command
from octomed_jax.cli.options import Parser, finish, subverb
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import JobSpec, plan_words


def run(arguments: Sequence[str]) -> int:
    """Run ``octomed launch SUBVERB``."""
    table = {
        "plan": plan_command,
        "render": render_command,
        "up": up_command,
        "status": status_command,
        "logs": logs_command,
        "stop": stop_command,
        "down": down_command,
        "doctor": doctor_command,
    }
    return subverb(
        "launch", table, arguments, "Plans, renders and starts a job and looks after it, by its backend's tools."
    )


def render_command(arguments: Sequence[str]) -> int:
    """Write the files that a backend needs; nothing is started."""
    parser = Parser(
        "launch render",
        "Writes what a backend needs to run a job. Nothing is started, and no cluster is asked.",
        "octomed launch render --config=configs/launch/octomed_7b_v5e_256.py --backend=jobset --output=runs/launch",
    )
    add_job(parser)
    add_output(parser)
    parser.add_argument("--json", action="store_true", help="print the path and the size of the job as JSON")
    options, config = parser.read_config(arguments)
    spec, place, *_ = read_job(options, config)
    [path, *_] = render(spec, place, options.output)
    size = job_size(spec, options.backend)
    plan = shlex.join(["octomed", *words]) if options.backend != "local" and (words := plan_words(spec)) else None
    if plan:
        progress.say(f"launch: does it fit, and how long will it take? {plan}")
    result = {"backend": options.backend, "name": spec.name, "path": str(path), **size, "plan": plan}
    shape = ", ".join(f"{unit} {count}" for unit, count in size.items())
    start = " && ".join(shlex.join(words) for words in place.up(spec, Path(options.output)))
    return finish(f"{path}: {spec.name}, {shape}; start it with `{start}`", result, options.json)


def job_size(spec: JobSpec, backend: str) -> dict[str, int]:
    """Return how large the job is, by unit."""
    if backend == "local":
        return {"processes": spec.processes, "devices": spec.processes * spec.devices}
    return {"slices": spec.slices, "hosts": spec.slices * spec.hosts, "chips": spec.chips}
