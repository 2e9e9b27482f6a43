"""What xpk, SkyPilot, queued resources and Slurm get is what it was, and holds no value of a secret."""

import dataclasses
from pathlib import Path

import pytest

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.table import BACKENDS
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import JobSpec, Secret

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/launching/golden"
PLANTED = "hf_PlantedKeyPlantedKey"
CASES = {
    "xpk": "octomed_7b_v5e_256.py",
    "skypilot": "octomed_7b_v5e_256.py",
    "queued_resources": "octomed_7b_v5e_256.py",
    "slurm": "distill_slurm.py",
}


def spec_of(backend: str) -> JobSpec:
    return read_spec(configuration.load(str(ROOT / "configs/launch" / CASES[backend])), roots=(ROOT,))


@pytest.mark.parametrize("backend", CASES)
def test_the_files_are_the_golden_ones(backend, tmp_path):
    # After a wanted change: octomed launch render --config=configs/launch/CASE --backend=BACKEND --output=DIR, look at
    # the files, and copy them here.
    paths = render(spec_of(backend), BACKENDS[backend], tmp_path / "first")
    golden = {path.name: path.read_text() for path in (GOLDEN / f"{backend}_scripts").iterdir()}
    assert {path.name: path.read_text() for path in paths} == golden
    again = render(spec_of(backend), BACKENDS[backend], tmp_path / "second")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


@pytest.mark.parametrize("backend", CASES)
def test_no_file_and_no_command_holds_the_value_of_a_secret(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", PLANTED)
    place = BACKENDS[backend]
    spec = dataclasses.replace(spec_of(backend), secrets={"HF_TOKEN": Secret("octomed", "hf_token")})
    if backend == "xpk":
        with pytest.raises(UserError, match="secrets=HF_TOKEN") as caught:
            place.files(spec)
        assert PLANTED not in str(caught.value)
        return
    files = place.files(spec)
    commands = [*place.up(spec, tmp_path), *place.status(spec, tmp_path), *place.down(spec, tmp_path)]
    written = "".join(files.values()) + str(commands)
    assert "HF_TOKEN" in written
    assert PLANTED not in written
    leaking = dataclasses.replace(spec, environment={"OTHER": f"x{PLANTED}"})
    with pytest.raises(UserError, match="value of HF_TOKEN") as caught:
        render(leaking, place, tmp_path / "out")
    assert PLANTED not in str(caught.value)
    assert not (tmp_path / "out").exists()
