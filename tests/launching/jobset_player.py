"""Plays the two controllers that a JobSet manifest is written for, by what the manifest says and nothing else.

The Job controller of Kubernetes 1.31 (``podFailurePolicy``, with its messages) and that of JobSet 0.10
(``failurePolicy``), as far as these manifests use them.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

RESTART, UNCOUNTED, FAIL = "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts", "FailJobSet"


def job_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the Job of the only replicated job."""
    [replicated] = manifest["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]


def action(manifest: Mapping[str, Any], exit_code: int | None) -> str:
    """Return what happens when a pod ends with ``exit_code``; None: its node is taken away."""
    job = job_of(manifest)
    assert job["backoffLimit"] == 0  # else the Job itself would begin single pods again
    reason, message = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    for index, rule in enumerate(job["podFailurePolicy"]["rules"]):
        assert rule["action"] == "FailJob"
        end = f"matching FailJob rule at index {index}"
        if "onPodConditions" in rule and exit_code is None:
            [condition] = rule["onPodConditions"]
            reason, message = "PodFailurePolicy", f"Pod default/x-0 has condition {condition['type']} {end}"
            break
        if "onExitCodes" in rule and _matches(rule["onExitCodes"], exit_code):
            name = rule["onExitCodes"]["containerName"]
            message = f"Container {name} for pod default/x-0 failed with exit code {exit_code} {end}"
            reason = "PodFailurePolicy"
            break
    for rule in manifest["spec"]["failurePolicy"]["rules"]:
        patterns = rule.get("onJobFailureMessagePatterns") or [""]
        reasons = rule.get("onJobFailureReasons") or [reason]
        if reason in reasons and any(re.search(pattern, message) for pattern in patterns):
            return rule["action"]
    return RESTART


def _matches(rule: Mapping[str, Any], exit_code: int | None) -> bool:
    if exit_code is None:
        return False
    return (exit_code in rule["values"]) == (rule["operator"] == "In")


@dataclasses.dataclass
class Played:
    """How a JobSet went: its end, the first exit code of each start, and how many restarts were counted."""

    ended: str = ""
    codes: list[int] = dataclasses.field(default_factory=list)
    counted: int = 0


def play(manifest: Mapping[str, Any], start: Callable[[int], int]) -> Played:
    """Start the pods as often as the manifest asks for.

    Args:
        manifest: of a JobSet.
        start: runs all pods once, given how many starts there were before; returns the exit code of the pod that
            failed first, or 0.
    """
    played = Played()
    while not played.ended:
        played.codes.append(start(len(played.codes)))
        if played.codes[-1] == 0:
            played.ended = "Completed"
            continue
        what = action(manifest, played.codes[-1])
        assert what in (RESTART, UNCOUNTED, FAIL)
        if what == FAIL or (what == RESTART and played.counted == manifest["spec"]["failurePolicy"]["maxRestarts"]):
            played.ended = "Failed"
        played.counted += what == RESTART and not played.ended
    return played
