"""What is rendered today is what was rendered before, byte for byte; names only of secrets; names that fit."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from octomed_jax import configuration
from octomed_jax.cli.main import VERBS
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.jobset import JOBSET
from octomed_jax.launching.backends.table import BACKENDS
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import JobSpec, Secret

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"
CASES = {
    "octomed_7b_v5e_256": "octomed_7b_v5e_256.py:gke",
    "octomed_7b_v6e_256_2slices": "octomed_7b_v6e_256_2slices.py",
    "teacher_gpu": "teacher_gpu.py",
    "teacher_gpu_two_nodes": "teacher_gpu.py:two_nodes",
}
PLANTED = "hf_PlantedPlantedPlanted123"


def read(name: str, *overrides: str) -> JobSpec:
    return read_spec(configuration.load(str(ROOT / "configs/launch" / name), overrides), VERBS, roots=(ROOT,))


def launch_configs() -> list[str]:
    """The configs of jobs; teacher_vllm.py is a server on this machine."""
    return sorted(path.name for path in (ROOT / "configs/launch").glob("*.py") if path.name != "teacher_vllm.py")


@pytest.mark.parametrize("case", CASES)
def test_the_manifests_are_the_golden_ones(case):
    # After a wanted change: octomed launch render --backend=jobset --output=DIR, look at it, and copy it here.
    files = JOBSET.files(read(CASES[case]))
    JOBSET.check(files)
    assert {path.name for path in (GOLDEN / case).iterdir()} == set(files)
    for name, text in files.items():
        assert text == (GOLDEN / case / name).read_text(), name


def test_another_process_with_another_hash_seed_renders_the_same_bytes(tmp_path):
    words = ["launch", "render", "--config=configs/launch/octomed_7b_v6e_256_2slices.py", "--backend=jobset"]
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    command = [sys.executable, "-m", "octomed_jax.cli.main", *words, f"--output={tmp_path}"]
    subprocess.run(command, check=True, cwd=ROOT, env=environment, timeout=120, capture_output=True)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (GOLDEN / "octomed_7b_v6e_256_2slices" / path.name).read_bytes()


def rendered(backend: str, spec: JobSpec) -> dict[str, str] | None:
    """The files, or None where the back end cannot do this job."""
    try:
        return dict(BACKENDS[backend].files(spec))
    except UserError:
        return None


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_back_end_writes_a_secrets_value(backend, tmp_path, monkeypatch):
    """Each writes names, or refuses jobs with secrets and says so."""
    monkeypatch.setenv("HF_TOKEN", PLANTED)
    monkeypatch.setenv("VLLM_API_KEY", PLANTED)
    done, refusals = 0, []
    for name in launch_configs():
        spec = read(name)
        secrets = {"HF_TOKEN": Secret("octomed", "hf_token"), "VLLM_API_KEY": Secret("octomed", "key")}
        teacher = dataclasses.replace(spec.teacher, secrets=secrets) if spec.teacher else None
        spec = dataclasses.replace(spec, secrets={**spec.secrets, **secrets}, teacher=teacher)
        try:
            files = BACKENDS[backend].files(spec)
        except UserError as error:
            refusals.append(str(error))
            continue
        done += 1
        assert PLANTED not in "".join(files.values())
        assert "HF_TOKEN" in "".join(files.values())
        leaking = dataclasses.replace(spec, environment={**spec.environment, "OTHER": f"x{PLANTED}"})
        with pytest.raises(UserError, match=r"value of (HF_TOKEN|VLLM_API_KEY)") as caught:
            render(leaking, BACKENDS[backend], tmp_path / name)
        assert PLANTED not in str(caught.value)
        assert not (tmp_path / name).exists()
    assert done or any(text.startswith("secrets=HF_TOKEN") for text in refusals), refusals
    assert PLANTED not in "".join(refusals)


@pytest.mark.parametrize("case", CASES)
def test_the_longest_name_gives_names_and_labels_that_fit(case):
    spec = read(CASES[case])
    longest = 0
    for length in range(63, 0, -1):
        if files := rendered("jobset", dataclasses.replace(spec, name="n" * length)):
            longest = length
            break
    assert longest >= 20
    for text in files.values():
        for manifest in yaml.safe_load_all(text):
            assert len(manifest["metadata"]["name"]) <= 63
            for label in manifest["metadata"].get("labels", {}).values():
                assert len(label) <= 63


def test_a_job_that_fails_its_check_is_not_written(tmp_path):
    spec = read("octomed_7b_v6e_256_2slices.py")
    broken = dataclasses.replace(
        JOBSET, files=lambda job: {**JOBSET.files(job), "teacher.yaml": "kind: Service\nmetadata: {name: x}\nspecc: 1"}
    )
    with pytest.raises(UserError, match=r"teacher\.yaml, Service x: apiVersion=None"):
        render(spec, broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()
