"""How a managed job of SkyPilot is, from ``sky jobs queue --output=json`` and the file ``state`` of its work folder."""

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

# ManagedJobStatus of SkyPilot 0.14.
STATES = {
    **dict.fromkeys(("PENDING", "SUBMITTED", "STARTING", "RECOVERING"), WAITING),
    **dict.fromkeys(("RUNNING", "WINDING_DOWN", "CANCELLING"), RUNNING),
    "SUCCEEDED": DONE,
    "CANCELLED": STOPPED,
    **dict.fromkeys(("FAILED", "FAILED_SETUP", "FAILED_PRECHECKS", "FAILED_NO_RESOURCE", "FAILED_CONTROLLER"), FAILED),
}


def ask_state(spec: JobSpec) -> Commands:
    """Return the commands that ask for all jobs of the user, and for the file."""
    return [["sky", "jobs", "queue", "--all", "--verbose", "--output=json"], ask_file(spec)]


def read_state(spec: JobSpec, answers: Sequence[Answer]) -> State:
    """Read the answers: the newest job of the name counts."""
    queue, file = answers
    if queue.code:
        return refused(queue)
    jobs = parsed(queue)
    if not isinstance(jobs, list) or not all(isinstance(job, dict) and "job_id" in job for job in jobs):
        return State(UNKNOWN, "sky printed no list of jobs")
    ours = [job for job in jobs if job.get("job_name") == spec.name and isinstance(job["job_id"], int)]
    if not ours:
        return State(GONE, "no managed job of this name")
    job = max(ours, key=lambda one: one["job_id"])
    found = named(str(job.get("status") or ""), STATES)
    why = f": {job['failure_reason']}" if job.get("failure_reason") else ""
    said = f"managed job {job['job_id']}: {found.said}{why}"
    if found.state != DONE:
        return State(found.state, said)
    asked = read_file(file)  # a job that was asked to save ends with 0, or SkyPilot would start it again
    if asked is None:
        return State(UNKNOWN, f"{said}; whether it was stopped cannot be read: {file.why}")
    return State(STOPPED, f"{said} after it was asked to stop") if asked.startswith("stop") else State(DONE, said)
