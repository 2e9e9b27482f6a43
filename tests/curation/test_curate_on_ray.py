"""Curating on a real Ray cluster of two processes: the same bytes as in one process."""

import pytest
from curation_helpers import ALL_STEPS, folder_bytes, make_config, mixed, write_folder

from octomed_jax.cli.main import main
from octomed_jax.curation import corpus
from octomed_jax.curation.curate import curate

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def cluster():
    ray = pytest.importorskip("ray", reason="the ray extra is not installed; make test-integration installs it")
    ray.init(num_cpus=2, include_dashboard=False)
    yield ray
    ray.shutdown()


def test_it_gives_the_same_bytes(tmp_path, monkeypatch, capfd):
    folder = write_folder(tmp_path / "questions", mixed(), row_group=7)
    curate(make_config(ALL_STEPS), [folder], tmp_path / "one", workers=1)
    monkeypatch.setattr(corpus, "PIECE_ROWS", 10)
    monkeypatch.chdir(tmp_path)  # the cluster's processes are elsewhere
    steps = "--config.curate.steps=" + ",".join(ALL_STEPS)
    assert main(["curate", "--questions=questions", "--output=ray", "--engine=ray", steps]) == 0
    report = {"report.html", "report.json"}  # the command draws it besides
    found = {name: data for name, data in folder_bytes(tmp_path / "ray").items() if name not in report}
    assert found == folder_bytes(tmp_path / "one")
    assert "held out, in" in capfd.readouterr().out
