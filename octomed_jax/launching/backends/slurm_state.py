"""How a Slurm job is: from ``squeue``, which forgets a job minutes after its end, and ``sacct`` where it is kept."""

import re
from collections.abc import Sequence

from octomed_jax.launching.backends.base import Commands
from octomed_jax.launching.exit_policy import TRY_AGAIN
from octomed_jax.launching.spec import JobSpec
from octomed_jax.launching.state import DONE, FAILED, GONE, RUNNING, STOPPED, UNKNOWN, WAITING, State, refused
from octomed_jax.launching.tools import Answer

# Job states of Slurm. What it puts back into the queue has PENDING again, so what ends here has ended.
STATES = {
    **dict.fromkeys(("PENDING", "CONFIGURING", "SUSPENDED", "STOPPED", "REQUEUED", "REQUEUE_FED"), WAITING),
    **dict.fromkeys(("REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"), WAITING),
    **dict.fromkeys(("RUNNING", "COMPLETING", "SIGNALING", "RESIZING", "STAGE_OUT"), RUNNING),
    "COMPLETED": DONE,
    "CANCELLED": STOPPED,
    **dict.fromkeys(("FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"), FAILED),
    **dict.fromkeys(("BOOT_FAIL", "DEADLINE", "PREEMPTED"), FAILED),
}
LINE = re.compile(r"(\d+)\|([A-Z_]+)[^|]*\|(\d+)(:\d+)?\|?")  # `CANCELLED by 1000` is a state to sacct
FIELDS = "JobID:|,State:|,exit_code:|"


def ask_state(spec: JobSpec) -> Commands:
    """Return the commands that ask for the jobs of a name."""
    name = f"--name={spec.name}"
    return [
        ["squeue", "--me", name, "--states=all", "--noheader", f"--Format={FIELDS}"],
        [
            *["sacct", name, "--allocations", "--noheader", "--parsable2", "--starttime=now-30days"],
            "--format=JobIDRaw,State,ExitCode",
        ],
    ]


def read_state(answers: Sequence[Answer]) -> State:
    """Read the answers: the newest job of the name counts."""
    queue, kept = answers
    if queue.code:
        return refused(queue)
    newest = _newest(queue.out)
    if newest is None and not queue.out and not kept.code:
        newest = _newest(kept.out)
        if newest is None and not kept.out:
            return State(GONE, "no job of this name in squeue, nor in sacct for 30 days")
    elif newest is None and not queue.out:
        return State(GONE, f"squeue has no job of this name any more, and sacct cannot be asked: {kept.why}")
    if newest is None:
        return State(UNKNOWN, (queue.out or kept.out).splitlines()[0])
    number, word, code = newest
    said = f"job {number}: {word}" + (f", exit code {code}" if STATES.get(word) in (DONE, FAILED) else "")
    # The batch script ends with 42 only where it was asked to save and end.
    return State(STOPPED if word == "FAILED" and code == TRY_AGAIN else STATES.get(word, UNKNOWN), said)


def _newest(text: str) -> tuple[int, str, int] | None:
    """Return number, state and exit code of the newest job; None: there is none, or a line is none of a job."""
    found = [LINE.fullmatch(line.strip()) for line in text.splitlines()]
    if not found or not all(found):
        return None
    return max(_job(line) for line in found if line)


def _job(line: re.Match[str]) -> tuple[int, str, int]:
    code = int(line[3])
    # As wait() has it, to squeue: the signal in the low byte, where one ended it. To sacct it is CODE:SIGNAL.
    return int(line[1]), line[2], code if line[4] else code >> 8 or (128 + code if code else 0)
