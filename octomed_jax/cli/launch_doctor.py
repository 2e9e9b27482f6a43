"""``octomed launch doctor``: look whether a job could start."""

import dataclasses
import json
from collections.abc import Sequence

from octomed_jax.cli.launch_job import add_job, read_job
from octomed_jax.cli.options import Parser
from octomed_jax.errors import UserError
from octomed_jax.launching.doctor import counted, examine, lines
from octomed_jax.launching.finding import BAD


def doctor_command(arguments: Sequence[str]) -> int:
    """Look whether a job could start: tools, login, quota, region, bucket, image, versions."""
    parser = Parser(
        "launch doctor",
        "Looks whether a job could start, and changes nothing: tools, versions, a stale lock of libtpu, login, region, "
        "quota, bucket, image, hosts. What cannot be told from here is unknown, not good.",
        "octomed launch doctor --config=configs/launch/demo_local.py --backend=local",
    )
    add_job(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    options, config = parser.read_config(arguments)
    job = read_job(options, config)
    findings = examine(job.spec, job.backend)
    count = counted(findings)
    if options.json:
        print(json.dumps({"findings": [dataclasses.asdict(one) for one in findings], "counts": count}))
    else:
        print("\n".join(lines(findings)))
    told = ", ".join(f"{number} {state}" for state, number in count.items())
    if count[BAD]:
        raise UserError(f"{job.spec.name} could not start on {job.backend.name} as it is here: {told}")
    if not options.json:
        print(f"{job.spec.name} on {job.backend.name}: {told}")
    return 0
