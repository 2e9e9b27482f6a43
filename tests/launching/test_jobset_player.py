"""The restarts that a rendered JobSet asks for, acted out from the manifest alone."""

import dataclasses

import pytest
import yaml

from octomed_jax.launching.backends.jobset import render_jobset
from octomed_jax.launching.exit_policy import FAIL_NOW
from octomed_jax.launching.spec import Command, JobSpec
from tests.launching.jobset_player import FAIL, RESTART, UNCOUNTED, action, play

SPEC = JobSpec(name="test", command=Command("train", "c.py"), workdir="gs://b/w", image="r/i:1", retries=2)


def manifest(**fields):
    return yaml.safe_load(render_jobset(dataclasses.replace(SPEC, **fields)))


@pytest.mark.parametrize(
    ("codes", "ended", "counted"),
    [
        ([0], "Completed", 0),
        ([42] * 20 + [0], "Completed", 0),  # as often as needed
        ([137, 143, 0], "Completed", 2),
        ([137, 42, 134, 139], "Failed", 2),  # the third crash is one too many
        ([42, 43], "Failed", 0),
        ([2], "Failed", 0),
        ([137, 1], "Failed", 1),
    ],
)
def test_a_job_is_started_as_often_as_its_exit_codes_ask_for(codes, ended, counted):
    played = play(manifest(), lambda before: codes[before])
    assert (played.codes, played.ended, played.counted) == (codes, ended, counted)


def test_every_exit_code_has_its_action():
    rendered = manifest()
    actions = {code: action(rendered, code) for code in range(1, 256)}
    assert {code for code, what in actions.items() if what == FAIL} == set(FAIL_NOW)
    assert {code for code, what in actions.items() if what == UNCOUNTED} == {42}
    assert sum(what == RESTART for what in actions.values()) == 255 - len(FAIL_NOW) - 1
    assert action(rendered, None) == UNCOUNTED


def test_the_player_reads_the_manifest_and_not_our_rules():
    """A manifest with other rules is played otherwise."""
    other = manifest(retries=0)
    assert play(other, lambda _: 137).ended == "Failed"
    other["spec"]["failurePolicy"]["rules"] = []
    assert action(other, 42) == RESTART
    job = other["spec"]["replicatedJobs"][0]["template"]["spec"]
    job["podFailurePolicy"]["rules"] = []
    other["spec"]["failurePolicy"]["rules"] = [{"action": FAIL, "onJobFailureReasons": ["BackoffLimitExceeded"]}]
    assert action(other, 137) == FAIL
