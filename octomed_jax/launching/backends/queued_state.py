"""How a job on queued TPUs is: the queue knows its machines, and the file ``state`` of its work folder how it ended."""

from collections.abc import Sequence

from octomed_jax.launching.backends.base import Commands
from octomed_jax.launching.backends.state_file import ask_file, read_file
from octomed_jax.launching.spec import JobSpec
from octomed_jax.launching.state import (
    DONE,
    FAILED,
    GONE,
    RUNNING,
    STOPPED,
    UNKNOWN,
    WAITING,
    State,
    named,
    parsed,
    refused,
)
from octomed_jax.launching.tools import Answer

# State of a QueuedResource of Cloud TPU v2.
STATES = {
    **dict.fromkeys(("CREATING", "ACCEPTED", "PROVISIONING", "WAITING_FOR_RESOURCES"), WAITING),
    "ACTIVE": RUNNING,
    # Taken away: supervise.sh asks for others.
    **dict.fromkeys(("SUSPENDING", "SUSPENDED", "DELETING"), WAITING),
    "FAILED": FAILED,
}


def ask_state(spec: JobSpec) -> Commands:
    """Return the commands that ask for the machines and for the file."""
    words = ["gcloud", "compute", "tpus", "queued-resources", "describe", spec.name]
    return [[*words, f"--project={spec.project}", f"--zone={spec.zone}", "--format=json"], ask_file(spec)]


def read_state(answers: Sequence[Answer]) -> State:
    """Read the answers."""
    queue, file = answers
    told = read_file(file)
    if told is None:
        return refused(file)
    word, _, code = told.partition(" ")
    if word == "ended":
        return State(DONE if code == "0" else FAILED, f"its machines say: {told}")
    if word not in ("running", "stop", ""):
        return State(UNKNOWN, f"its file `state` says: {told}")
    if queue.code:
        if "NOT_FOUND" not in queue.err:
            return refused(queue)
        return State(STOPPED, "stopped; its TPUs were given back") if word == "stop" else State(GONE, queue.why)
    try:
        found = named(parsed(queue)["state"]["state"], STATES)
    except (TypeError, KeyError):
        return State(UNKNOWN, "gcloud printed no queued resource")
    if word == "stop":
        saving = found.said == "ACTIVE"
        return State(RUNNING if saving else STOPPED, f"{found.said}; asked to save and to end")
    return found
