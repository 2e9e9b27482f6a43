"""How a JobSet is, from what ``kubectl get jobset NAME --output=json`` prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.launching.backends.base import Commands
from octomed_jax.launching.spec import JobSpec
from octomed_jax.launching.state import DONE, FAILED, GONE, RUNNING, STOPPED, UNKNOWN, WAITING, State, parsed, refused
from octomed_jax.launching.tools import Answer

TERMINAL = {"Completed": DONE, "Failed": FAILED}
QUEUE = "kueue.x-k8s.io/queue-name"  # label of a JobSet that Kueue suspends until there is room for it, as xpk's are


def ask_state(spec: JobSpec) -> Commands:
    """Return the command that asks for a job's state; one that is not there is no failure of it."""
    get = ["get", "jobset", spec.name, "--output=json", "--ignore-not-found"]
    return [["kubectl", f"--namespace={spec.namespace}", *get]]


def read_state(answers: Sequence[Answer]) -> State:
    """Read the answer."""
    [answer] = answers
    if answer.code:
        return refused(answer)
    if not answer.out:
        return State(GONE, "no such JobSet")
    jobset = parsed(answer)
    try:
        return _state(jobset["metadata"], jobset["spec"], jobset.get("status") or {})
    except (TypeError, KeyError, AttributeError, ValueError):
        return State(UNKNOWN, "kubectl printed no JobSet")


def _state(metadata: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> State:
    holds = {one["type"]: one for one in status.get("conditions") or [] if one["status"] == "True"}
    terminal = status.get("terminalState") or next((name for name in TERMINAL if name in holds), "")
    if terminal:
        return State(TERMINAL.get(terminal, UNKNOWN), _words(holds, terminal))
    if metadata.get("deletionTimestamp"):
        return State(RUNNING, "is being deleted")  # its pods have their grace to save
    jobs = status.get("replicatedJobsStatus") or []
    if spec.get("suspend"):
        if any(one["active"] for one in jobs):
            return State(RUNNING, "suspended; its pods are saving")
        queued = QUEUE in (metadata.get("labels") or {})
        return State(WAITING if queued else STOPPED, _words(holds, "Suspended"))
    there = sum(one["ready"] + one["succeeded"] for one in jobs)
    wanted = sum(one.get("replicas", 1) for one in spec["replicatedJobs"])
    restarts = f", {status['restarts']} restart(s)" if status.get("restarts") else ""
    return State(RUNNING if there >= wanted else WAITING, f"{there} of {wanted} slice(s) ready{restarts}")


def _words(holds: Mapping[str, Any], name: str) -> str:
    condition = holds.get(name, {})
    return ": ".join(part for part in (name, condition.get("reason"), condition.get("message")) if part)
