"""What no back end may render: work that each machine would do again, images that are none, ranks that there are not.

And what a back end may not read otherwise than it stands in the launch config.
"""

import dataclasses
from pathlib import Path

import pytest
import yaml

from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import LogOptions
from octomed_jax.launching.backends.table import BACKENDS
from octomed_jax.launching.backends.xpk import command_line, create_words
from octomed_jax.launching.spec import Command, JobSpec, Secret, Teacher
from tests.launching.kubelet import filled_in

SPEC = JobSpec(
    name="job",
    command=Command("train", "configs/demo.py"),
    workdir="gs://bucket/job",
    topology="4x4",
    image="registry/trainer:1",
    project="project",
    zone="us-west4-a",
    cluster="cluster",
    processes=4,
)
EVAL = Command("eval run", "configs/demo.py")


@pytest.mark.parametrize("name", ["jobset", "xpk", "queued_resources", "local"])
def test_work_that_each_machine_would_do_again_is_refused(name):
    place = BACKENDS[name]
    assert place.files(SPEC)
    with pytest.raises(UserError, match="would do all of `octomed eval run`"):
        place.files(dataclasses.replace(SPEC, command=EVAL))
    assert place.files(dataclasses.replace(SPEC, command=EVAL, topology="2x2", processes=1))


def test_a_teacher_that_this_machine_does_not_start_is_refused():
    distill = Command("distill", "configs/demo.py")
    spec = dataclasses.replace(SPEC, command=distill, processes=1, teacher=Teacher("Qwen/Q", "vllm:1"))
    with pytest.raises(UserError, match="teacher=Qwen/Q: not on this machine"):
        BACKENDS["local"].files(spec)


@pytest.mark.parametrize("image", ["a b:1", "-x:1", "trainer:1;rm", "trainer@sha256:abc", "trainer:$(x)"])
@pytest.mark.parametrize("name", ["jobset", "xpk", "queued_resources"])
def test_what_is_no_image_is_refused(name, image):
    with pytest.raises(UserError, match="is no image"):
        BACKENDS[name].files(dataclasses.replace(SPEC, image=image))


@pytest.mark.parametrize("name", ["jobset", "xpk", "queued_resources", "slurm", "local"])
def test_a_rank_that_there_is_not_is_refused(name):
    place = BACKENDS[name]
    assert place.logs(SPEC, Path("out"), LogOptions(rank=3))
    with pytest.raises(UserError, match="--rank=4: the job has ranks 0 to 3"):
        place.logs(SPEC, Path("out"), LogOptions(rank=4))


def test_kubernetes_fills_nothing_of_ours_in():
    hostile = "a$$b $(HF_TOKEN) $HOME `id` $"
    secret = {"HF_TOKEN": Secret("s", "k")}
    spec = dataclasses.replace(
        SPEC,
        environment={"NOTE": hostile},
        command=Command("train", "configs/demo.py", options=(f"note={hostile}",)),
        secrets=secret,
        teacher=Teacher("Qwen/Q", "vllm:1", extra=(hostile,), secrets=secret),
    )
    values = {"HF_TOKEN": "the key", "LWS_LEADER_ADDRESS": "first", "LWS_WORKER_INDEX": "1"}
    for teacher in (spec.teacher, dataclasses.replace(spec.teacher, nodes=2)):
        files = BACKENDS["jobset"].files(dataclasses.replace(spec, teacher=teacher))
        BACKENDS["jobset"].check(files)
        [job] = yaml.safe_load_all(files["jobset.yaml"])
        [container] = job["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"]
        assert filled_in(container["args"][-1], values) == f"--note={hostile}"
        [note] = [one["value"] for one in container["env"] if one["name"] == "NOTE"]
        assert filled_in(note, values) == hostile
        kinds = {one["kind"]: one for one in yaml.safe_load_all(files["teacher.yaml"])}
        if teacher.nodes == 1:
            pods = [kinds["Deployment"]["spec"]["template"]]
        else:
            group = kinds["LeaderWorkerSet"]["spec"]["leaderWorkerTemplate"]
            pods = [group["leaderTemplate"], group["workerTemplate"]]
        for pod in pods:
            words = [filled_in(word, values) for word in pod["spec"]["containers"][0]["command"]]
            assert hostile in words
            assert ("first" in words) == (teacher.nodes == 2)


def test_the_command_that_xpk_puts_into_a_pod_is_the_one_that_is_meant():
    spec = dataclasses.replace(SPEC, environment={"NOTE": "a$$b $(HF_TOKEN)"})
    words = create_words(spec)
    assert "echo $$ >" in command_line(spec)
    assert filled_in(words[-1], {}) == f"--command={command_line(spec)}"
    assert filled_in(words[-2], {"HF_TOKEN": "the key"}) == "--env=NOTE=a$$b $(HF_TOKEN)"
    with pytest.raises(UserError, match=r"environment\.NOTE holds a quote or a backslash"):
        BACKENDS["xpk"].files(dataclasses.replace(SPEC, environment={"NOTE": 'a"'}))
