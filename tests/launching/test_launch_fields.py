"""The fields of a launch that say where it runs, and its teacher: each mistake is one line that names the field."""

import dataclasses
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.cli.main import VERBS
from octomed_jax.errors import UserError
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.spec import JobSpec, Secret

ROOT = Path(__file__).resolve().parents[2]
TEACHER = {"model": "Qwen/Qwen2.5-VL-72B-Instruct", "image": "vllm/vllm-openai:v0.32.0"}


def read(**changes: object) -> JobSpec:
    config = configuration.load(str(ROOT / "configs/launch/octomed_7b_v5e_256.py:gke")).unlock()
    config.update(ConfigDict(changes))
    return read_spec(config, VERBS, roots=(ROOT,))


def with_command(**changes: object) -> dict[str, object]:
    return {"command": {"verb": "train", "config": "configs/octomed_7b.py", "overrides": (), "options": (), **changes}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"namespace": "Team"}, "namespace='Team' is no Kubernetes name"),
        ({"namespace": ""}, "namespace='' is no Kubernetes name"),
        ({"workdir": "gs://"}, "workdir='gs://' names no bucket"),
        ({"environment": {"OCTOMED_HOST_INDEX": "1"}}, "OCTOMED_HOST_INDEX is set by the back end"),
        ({"project": "my project"}, "project='my project' is no name of one"),
        ({"zone": "us-east5-a;rm"}, "zone="),
        ({"cluster": "-x"}, "cluster='-x'"),
        ({"partition": "gpu$"}, "partition="),
        ({"account": 7}, "account=7 must be one line of text"),
        ({"bundle": "a\nb"}, "bundle="),
        ({"hours": 0}, "hours=0 must be a whole number from 1 to 8760"),
        ({"hours": 9000}, "hours=9000"),
        (with_command(verb="eval run twice"), "must be a verb, with its subverb"),
        (with_command(verb="evil run"), "did you mean 'eval'"),
        (with_command(verb="train; rm"), "must be a verb"),
        (with_command(options=("--search",)), "must be name=value"),
        (with_command(options=("search me",)), "or the name of a flag"),
        ({"accelerator": "cpu", "topology": "4"}, "each would do all of 'train'; use topology='1'"),
        (
            {"accelerator": "cpu", "topology": "4", **with_command(verb="distill", options=("shard=0/4",))},
            "'shard' is set by the back end",
        ),
        ({"environment": {"OCTOMED_TEACHER_MODEL": "x"}}, "set by the back end"),
    ],
)
def test_where_a_job_runs_and_what_it_runs_is_checked(changes, message):
    with pytest.raises(UserError) as caught:
        read(**changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": "x"}, "no field 'modle' in teacher (did you mean 'model'?)"),
        ({"model": ""}, "teacher.model is empty"),
        ({"image": "vllm/vllm-openai:latest"}, "teacher.image='vllm/vllm-openai:latest' has no fixed tag"),
        ({"accelerator": "v6e"}, "teacher.accelerator='v6e' is unknown; one of: h100"),
        ({"gpus": 9}, "teacher.gpus=9 must be a whole number from 1 to 8"),
        ({"gpus": 4, "nodes": 2}, "a copy on 2 nodes takes all GPUs of each"),
        ({"replicas": 0}, "teacher.replicas=0"),
        ({"port": 80}, "teacher.port=80"),
        ({"extra": ("--max_model_len=1",)}, "--max-model-len, which the fields of teacher set"),
        ({"extra": ("--nnodes", "2")}, "--nnodes, which the fields"),
        ({"extra": ("--api-key=x",)}, "put VLLM_API_KEY into teacher.secrets by name"),
        ({"extra": ("--api-k=x",)}, "put VLLM_API_KEY into teacher.secrets by name"),
        ({"extra": ("-tp", "2")}, "teacher.extra holds -tp, which the fields of teacher set"),
        ({"extra": ("--tensor_parallel=2",)}, "teacher.extra holds --tensor-parallel, which the fields"),
        ({"model": "a b;rm"}, "teacher.model='a b;rm' is no name of a model"),
        ({"model": "--help"}, "teacher.model='--help' is no name of a model"),
        ({"image": "-x:1"}, "teacher.image='-x:1' is no image"),
        ({"extra": 7}, "teacher.extra=7 must be a list of texts"),
        ({"secrets": {"HF_TOKEN": {"secret": "octomed"}}}, "teacher.secrets.HF_TOKEN needs the field 'key'"),
        ({"secrets": {"hf": {"secret": "octomed", "key": "k"}}}, "'hf' is no name of an environment variable"),
    ],
)
def test_a_teachers_mistakes_are_named(changes, message):
    with pytest.raises(UserError) as caught:
        read(teacher={**TEACHER, **changes})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_secrets_value_in_the_teacher_is_not_repeated():
    value = "hf_PlantedKeyPlantedKey/=="
    with pytest.raises(UserError) as caught:
        read(teacher={**TEACHER, "secrets": {"HF_TOKEN": {"secret": value, "key": "k"}}})
    assert value not in str(caught.value)


def test_what_is_right_is_read():
    spec = read(
        project="my-project",
        zone="us-east5-a",
        cluster="tpus",
        namespace="team",
        hours=72,
        bundle="gs://bucket/octomed.tar.gz",
        partition="gpu",
        account="med",
        teacher={**TEACHER, "extra": ("--seed=1",), "secrets": {"HF_TOKEN": {"secret": "octomed", "key": "hf_token"}}},
    )
    assert (spec.zone, spec.hours, spec.partition) == ("us-east5-a", 72, "gpu")
    assert spec.teacher
    assert spec.teacher.secrets == {"HF_TOKEN": Secret("octomed", "hf_token")}
    assert spec.teacher.extra == ("--seed=1",)
    assert read(teacher={}).teacher is None


def test_subverbs_and_flags_reach_the_command_line():
    command = {"verb": "plan", "options": ("search", "topology=v5e:4x4")}
    words = read(**with_command(**command)).words()
    assert words[0] == "plan"
    assert words[-2:] == ["--search", "--topology=v5e:4x4"]
    spec = read()
    spec = dataclasses.replace(spec, command=dataclasses.replace(spec.command, verb="eval run"))
    assert spec.words()[:2] == ["eval", "run"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environment": {"OTHER_TOKEN": "planted-1"}}, "environment.OTHER_TOKEN: by its name it is a secret"),
        ({"environment": {"VLLM_API_KEY": "planted-1"}}, "environment.VLLM_API_KEY: by its name"),
        ({"secrets": {"OTHER_KEY": "planted-1"}}, "secrets.OTHER_KEY must be a group with the names"),
        ({"teacher": {**TEACHER, "secrets": "planted-1"}}, "teacher.secrets must be a group of variables"),
    ],
)
def test_a_secret_that_stands_where_its_name_belongs_is_not_repeated(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        read(**changes)
    assert "planted" not in str(caught.value)
