"""The recipe of Figure 4 by the real command line: the filter by teacher reads what the stage ``sample`` made."""

import json
from pathlib import Path

import pytest

from octomed_jax.cli.main import main

RECIPE = Path(__file__).resolve().parents[2] / "configs/recipes/question_filters.py"


@pytest.mark.integration
def test_a_filter_by_teacher_runs_by_itself(tmp_path):
    assert main(["sweep", "run", f"--config={RECIPE}:tiny", f"--output={tmp_path / 'out'}"]) == 0
    records = [json.loads(path.read_text()) for path in (tmp_path / "out/runs").glob("*/run.json")]
    teacher, none = sorted(records, key=lambda one: "sample" not in one["stages"])
    assert [one["state"] for one in (teacher, none)] == ["done", "done"]
    assert "sample" not in none["stages"]

    def counts(stage, record):
        return json.loads((tmp_path / "out" / record["stages"][stage] / "manifest.json").read_text())["counts"]

    (difficulty,) = [one for one in counts("curate", teacher)["steps"] if one["step"] == "difficulty"]
    asked, kept = counts("curate", none)["train"], counts("curate", teacher)["train"]
    assert difficulty["before"] == asked
    assert 0 < kept < asked, "of 16 samples some are all right"
    assert counts("distill", none)["questions"] == asked
    assert counts("distill", teacher)["questions"] == kept
