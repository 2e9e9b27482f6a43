"""How a job is, read from what each back end's tool prints: shapes that were recorded or stand in the tool's source."""

import json

import pytest

from octomed_jax.launching.backends import kubernetes_state, queued_state, sky_state, slurm_state
from octomed_jax.launching.backends.local import LOCAL
from octomed_jax.launching.backends.table import BACKENDS
from octomed_jax.launching.control import job_state, look
from octomed_jax.launching.record import Launch
from octomed_jax.launching.spec import Command, JobSpec
from octomed_jax.launching.tools import NO_PROGRAM, Answer

SPEC = JobSpec(name="test", command=Command("train", "c.py"), workdir="gs://b/run", project="p", zone="us-east5-b")


def printed(value: object, before: str = "") -> Answer:
    return Answer(0, before + json.dumps(value, indent=2), "")


def failed(err: str, code: int = 1) -> Answer:
    return Answer(code, "", err)


def jobset(*jobs: tuple[int, int, int], suspend: bool = False, labels: dict | None = None, **status) -> Answer:
    """A JobSet of JobSet 0.10 with a replicated job of two slices: active, ready and succeeded of its Jobs."""
    told = [
        {"name": "slice", "active": active, "ready": ready, "succeeded": done, "failed": 0, "suspended": 0}
        for active, ready, done in jobs
    ]
    return printed(
        {
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": {"name": "test", "namespace": "default", "labels": labels or {}},
            "spec": {"replicatedJobs": [{"name": "slice", "replicas": 2}], "suspend": suspend},
            "status": {"restarts": 0, "replicatedJobsStatus": told, **status},
        }
    )


def condition(kind: str, reason: str, message: str, status: str = "True") -> dict[str, str]:
    at = "2026-03-01T12:00:00Z"
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at}


COMPLETED = condition("Completed", "AllJobsCompleted", "jobset completed successfully")
FAILED = condition("Failed", "FailedJobs", "jobset failed due to one or more job failures")
SUSPENDED = condition("Suspended", "SuspendedJobs", "jobset is suspended")
RESUMED = condition("Suspended", "ResumeJobs", "jobset is resumed", status="False")


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (jobset(), "waiting", "0 of 2 slice(s) ready"),
        (jobset((2, 1, 0)), "waiting", "1 of 2 slice(s) ready"),
        (jobset((2, 2, 0), conditions=[RESUMED]), "running", "2 of 2 slice(s) ready"),
        (jobset((1, 1, 1), restarts=3), "running", "2 of 2 slice(s) ready, 3 restart(s)"),
        (jobset((2, 0, 0), restarts=1), "waiting", "0 of 2 slice(s) ready, 1 restart(s)"),
        (jobset((0, 0, 2), conditions=[COMPLETED], terminalState="Completed"), "done", "Completed: AllJobsCompleted"),
        (jobset((0, 0, 0), conditions=[FAILED], terminalState="Failed"), "failed", "Failed: FailedJobs"),
        (jobset((0, 0, 0), conditions=[FAILED]), "failed", "Failed: FailedJobs"),  # before JobSet 0.6
        (jobset((2, 2, 0), suspend=True), "running", "its pods are saving"),
        (jobset((0, 0, 0), suspend=True, conditions=[SUSPENDED]), "stopped", "Suspended: SuspendedJobs"),
        (jobset((0, 0, 0), suspend=True, labels={kubernetes_state.QUEUE: "q"}), "waiting", "Suspended"),
        (jobset(terminalState="Evaporated"), "unknown", "Evaporated"),
        (Answer(0, "", ""), "gone", "no such JobSet"),
        (failed("error: You must be logged in to the server (Unauthorized)"), "unknown", "must be logged in"),
        (printed({"kind": "JobSet"}), "unknown", "kubectl printed no JobSet"),
        (printed([]), "unknown", "kubectl printed no JobSet"),
    ],
)
def test_a_jobset(answer, state, said):
    found = kubernetes_state.read_state([answer])
    assert found.state == state
    assert said in found.said


def test_a_jobset_that_is_being_deleted_still_saves():
    answer = json.loads(jobset((2, 2, 0)).out)
    answer["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    assert kubernetes_state.read_state([printed(answer)]).state == "running"


NO_ACCOUNTING = failed("Slurm accounting storage is disabled")  # as Slurm 22.05 says it


@pytest.mark.parametrize(
    ("queue", "kept", "state", "said"),
    [
        # Lines that squeue of Slurm 22.05 printed; its exit code is that of wait().
        ("7|PENDING|0|", NO_ACCOUNTING, "waiting", "job 7: PENDING"),
        ("7|RUNNING|0|\n3|FAILED|1792|", NO_ACCOUNTING, "running", "job 7: RUNNING"),
        ("3|FAILED|1792|\n17|COMPLETED|0|\n5|CANCELLED|0|", NO_ACCOUNTING, "done", "job 17: COMPLETED, exit code 0"),
        ("7|FAILED|10752|", NO_ACCOUNTING, "stopped", "job 7: FAILED"),  # 42 << 8
        ("7|FAILED|11008|", NO_ACCOUNTING, "failed", "job 7: FAILED, exit code 43"),
        ("7|FAILED|9|", NO_ACCOUNTING, "failed", "exit code 137"),
        ("7|CANCELLED|0|", NO_ACCOUNTING, "stopped", "job 7: CANCELLED"),
        ("7|TIMEOUT|15|", NO_ACCOUNTING, "failed", "job 7: TIMEOUT"),
        ("7|NO_SUCH_STATE|0|", NO_ACCOUNTING, "unknown", "job 7: NO_SUCH_STATE"),
        ("slurm_load_jobs error", NO_ACCOUNTING, "unknown", "slurm_load_jobs error"),
        ("", NO_ACCOUNTING, "gone", "sacct cannot be asked: Slurm accounting storage is disabled"),
        ("", Answer(0, "", ""), "gone", "nor in sacct for 30 days"),
        # Of sacct --parsable2, whose exit code is CODE:SIGNAL.
        ("", Answer(0, "7|COMPLETED|0:0", ""), "done", "job 7: COMPLETED"),
        ("", Answer(0, "3|COMPLETED|0:0\n7|FAILED|42:0", ""), "stopped", "job 7: FAILED"),
        ("", Answer(0, "7|CANCELLED by 1000|0:0", ""), "stopped", "job 7: CANCELLED"),
        ("", Answer(0, "7|FAILED|43:0", ""), "failed", "exit code 43"),
        ("", Answer(0, "sacct: unexpected", ""), "unknown", "sacct: unexpected"),
    ],
)
def test_a_slurm_job(queue, kept, state, said):
    found = slurm_state.read_state([Answer(0, queue, ""), kept])
    assert found.state == state
    assert said in found.said


def test_a_slurm_that_does_not_answer():
    found = slurm_state.read_state([failed("slurm_load_jobs error: Unable to contact slurm controller"), NO_ACCOUNTING])
    assert (found.state, "Unable to contact" in found.said) == ("unknown", True)


def managed(number: int, status: str | None, name: str = "test", **more) -> dict:
    """A record as SkyPilot 0.14.1 dumps it: ManagedJobRecord, here without most of its empty fields."""
    return {
        "task_job_id": None,
        "job_id": number,
        "task_id": 0,
        "job_name": name,
        "status": status,
        "pool": None,
        **more,
    }


FILE = {name: Answer(0, name, "") for name in ("running", "stop", "ended 0", "ended 43", "odd")}
NO_FILE = failed(
    "ERROR: (gcloud.storage.cat) The following URLs matched no objects or files:\n-gs://b/run/launch/state"
)
NO_LOGIN = failed("ERROR: (gcloud.storage.cat) You do not currently have an active account selected.")


@pytest.mark.parametrize(
    ("jobs", "file", "state", "said"),
    [
        ([managed(4, "PENDING")], NO_LOGIN, "waiting", "managed job 4: PENDING"),
        ([managed(4, "RECOVERING")], NO_LOGIN, "waiting", "RECOVERING"),
        ([managed(4, "RUNNING"), managed(3, "FAILED")], NO_LOGIN, "running", "managed job 4: RUNNING"),
        ([managed(5, "FAILED", name="other"), managed(4, "SUCCEEDED")], FILE["running"], "done", "SUCCEEDED"),
        ([managed(4, "SUCCEEDED")], FILE["stop"], "stopped", "after it was asked to stop"),
        ([managed(4, "SUCCEEDED")], NO_LOGIN, "unknown", "whether it was stopped cannot be read"),
        ([managed(4, "CANCELLED")], FILE["running"], "stopped", "CANCELLED"),
        ([managed(4, "FAILED_SETUP", failure_reason="no uv")], FILE["running"], "failed", "FAILED_SETUP: no uv"),
        ([managed(4, None)], FILE["running"], "unknown", "no state"),
        ([managed(4, "NEW_ONE")], FILE["running"], "unknown", "NEW_ONE"),
        ([], FILE["running"], "gone", "no managed job of this name"),
        ({}, FILE["running"], "unknown", "sky printed no list"),
    ],
)
def test_a_managed_job(jobs, file, state, said):
    for before in ("", "Starting a local API server\n"):
        found = sky_state.read_state(SPEC, [printed(jobs, before), file])
        assert found.state == state
        assert said in found.said


def test_a_sky_that_does_not_answer():
    found = sky_state.read_state(
        SPEC, [failed("sky.exceptions.ClusterNotUpError: No in-progress managed jobs."), NO_FILE]
    )
    assert (found.state, "No in-progress" in found.said) == ("unknown", True)


def queued(state: str) -> Answer:
    """What `describe --format=json` prints of a QueuedResource of Cloud TPU v2."""
    node = {"node": {"acceleratorType": "v5litepod-256"}, "nodeId": "test", "parent": "projects/1/locations/us-east5-b"}
    name = "projects/p/locations/us-east5-b/queuedResources/test"
    return printed(
        {"name": name, "spot": {}, "state": {"state": state, "stateInitiator": "SERVICE"}, "tpu": {"nodeSpec": [node]}}
    )


NOT_FOUND = failed(
    "ERROR: (gcloud.compute.tpus.queued-resources.describe) NOT_FOUND: Resource "
    "'projects/p/locations/us-east5-b/queuedResources/test' was not found"
)


@pytest.mark.parametrize(
    ("answer", "file", "state", "said"),
    [
        (queued("WAITING_FOR_RESOURCES"), FILE["running"], "waiting", "WAITING_FOR_RESOURCES"),
        (queued("ACTIVE"), FILE["running"], "running", "ACTIVE"),
        (queued("SUSPENDED"), FILE["running"], "waiting", "SUSPENDED"),
        (queued("FAILED"), FILE["running"], "failed", "FAILED"),
        (queued("ACTIVE"), FILE["ended 0"], "done", "ended 0"),
        (NOT_FOUND, FILE["ended 0"], "done", "ended 0"),
        (NOT_FOUND, FILE["ended 43"], "failed", "ended 43"),
        (queued("ACTIVE"), FILE["stop"], "running", "asked to save"),
        (NOT_FOUND, FILE["stop"], "stopped", "given back"),
        (queued("WAITING_FOR_RESOURCES"), FILE["stop"], "stopped", "asked to save"),
        (NOT_FOUND, FILE["running"], "gone", "NOT_FOUND"),
        (NOT_FOUND, NO_FILE, "gone", "NOT_FOUND"),
        (queued("ACTIVE"), NO_LOGIN, "unknown", "active account"),
        (failed("ERROR: quota"), FILE["running"], "unknown", "ERROR: quota"),
        (queued("ACTIVE"), FILE["odd"], "unknown", "odd"),
        (queued("STATE_UNSPECIFIED"), FILE["running"], "unknown", "STATE_UNSPECIFIED"),
        (printed([]), FILE["running"], "unknown", "no queued resource"),
    ],
)
def test_a_queued_resource(answer, file, state, said):
    found = queued_state.read_state([answer, file])
    assert found.state == state
    assert said in found.said


# The other lines are those of the real script: test_local_verbs.py.
@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Answer(0, "test: ended with exit code 0\nrank 0: ended with exit code 0: x", ""), "done"),
        (Answer(0, "test: ended with exit code 42\nrank 0: ...", ""), "stopped"),
        (Answer(0, "test: ended with exit code 43", ""), "failed"),
        (Answer(0, "test: does something new", ""), "unknown"),
        (Answer(127, "", "sh: 0: cannot open run_local.sh: No such file"), "unknown"),
        (Answer(0, "", ""), "unknown"),
    ],
)
def test_a_job_on_this_machine(answer, state):
    assert LOCAL.read_state(SPEC, [answer]).state == state


@pytest.mark.parametrize("name", list(BACKENDS))
def test_a_tool_that_is_not_here_is_told_and_nothing_is_guessed(name, tmp_path):
    launch = Launch("test-1", 1, "2026-03-01T12:00:00+00:00", name, SPEC, "runs/x")
    asked = []

    def nobody(words):
        asked.append(words)
        return Answer(NO_PROGRAM, "", f"{words[0]} is not on PATH")

    assert job_state(launch, tmp_path, nobody) == "unknown"
    assert "is not on PATH" in look(launch, tmp_path, nobody).said
    assert {words[0] for words in asked} <= {*BACKENDS[name].tools, "kubectl", "gcloud", "sacct"}
