"""Looks whether a job could start: by questions that change nothing. What cannot be told here is said to be unknown."""

from collections.abc import Callable, Sequence

from octomed_jax.launching import doctor_beside, doctor_cloud, doctor_here
from octomed_jax.launching.backends.base import Backend
from octomed_jax.launching.finding import BAD, DOUBT, GOOD, UNKNOWN, Finding
from octomed_jax.launching.spec import JobSpec
from octomed_jax.launching.tools import Ask, ask

Check = Callable[[JobSpec, Backend, Ask], list[Finding]]

CHECKS: Sequence[Check] = (
    doctor_here.names,
    doctor_here.tools,
    doctor_here.versions,
    doctor_here.libtpu_lock,
    doctor_here.work_folder,
    doctor_here.machine,
    doctor_cloud.login,
    doctor_cloud.region,
    doctor_cloud.quota,
    doctor_cloud.bucket,
    doctor_cloud.image,
    doctor_cloud.hosts,
    doctor_cloud.controller,
    doctor_beside.secrets,
    doctor_beside.teacher,
)


def examine(spec: JobSpec, place: Backend, tool: Ask = ask) -> list[Finding]:
    """Return what was found, in a fixed order; ``tool`` runs the programs that are asked."""
    return [finding for check in CHECKS for finding in check(spec, place, tool)]


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return the findings as a person reads them, with what can be done where something is wrong."""
    told = []
    for one in findings:
        told.append(f"{one.state:<8} {one.name}: {one.text}")
        if one.cure and one.state != GOOD:
            told.append(f"{'':<8} -> {one.cure}")
    return told


def counted(findings: Sequence[Finding]) -> dict[str, int]:
    """Return how many findings there are of each state."""
    return {state: sum(one.state == state for one in findings) for state in (BAD, DOUBT, UNKNOWN, GOOD)}
