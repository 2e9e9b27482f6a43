"""Trace and check of a whole run, from questions to an export: the tiny demo, through the command line."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from octomed_jax import manifests, storage
from octomed_jax.lineage.check import check
from octomed_jax.lineage.folders import open_folders
from octomed_jax.lineage.learned import index_of
from octomed_jax.lineage.walk import trace
from tests.inputs.holding import hold_out

pytestmark = pytest.mark.integration
HELD = 6


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    command = [sys.executable, "-m", "octomed_jax.cli.main", "demo", "--config=configs/demo.py:tiny"]
    command += [f"--workdir={folder}", f"--config.held_out.records={HELD}"]
    subprocess.run(command, check=True, timeout=280, env=os.environ)
    return folder


@pytest.fixture
def run(demo, tmp_path):
    return shutil.copytree(demo, tmp_path / "run")


def test_an_untouched_run_holds(demo):
    checked = check([demo])
    assert not checked.problems
    assert not checked.unfinished
    stages = [one.found.stage for one in checked.folders]
    assert {"questions", "distill", "verify", "shard", "render", "train", "export", "eval"} <= set(stages)
    assert check([demo / "export"]).problems == []


def test_held_out_records_are_told(demo):
    folders = open_folders([demo])
    [rendering], [run] = folders.of("render"), folders.of("train")
    _, held = hold_out(index_of(rendering), HELD, int(run.manifest.config["seed"]))
    told = {}
    for record in range(0, 100, 7):
        [row] = [one["row"] for one in trace(f"{record}/0", [demo]).stages if one["stage"] == "train"]
        told[record] = row["held_out"]
    assert told == {record: record in held.record for record in told}
    walk = trace(f"{held.record[0]}/0", [demo])
    assert walk.answer.endswith(f"{demo}/train has held it out of training")


def test_records_that_training_could_not_read_are_told(run):
    line = {"step": 3, "record": 4, "response": 0, "problem": "an image is cut off"}
    (run / "train" / "bad_records-0.jsonl").write_text(json.dumps(line) + "\n")
    walk = trace("4/0", [run])
    [row] = [one["row"] for one in walk.stages if one["stage"] == "train"]
    assert row["could_not_be_read"] == [{"step": 3, "response": 0, "problem": "an image is cut off"}]
    assert row["held_out"] or walk.answer.endswith(f"{run}/train could not read it (an image is cut off)")


def test_what_a_training_run_says_of_itself(run):
    train = run / "train"

    def change(name, edit):
        path = train / name
        before = path.read_text()
        path.write_text(edit(before))
        found = check([run]).problems
        path.write_text(before)
        return found

    other = storage.read_json(run / "traces" / manifests.MANIFEST)
    [line] = change("data.json", lambda _: json.dumps(other))
    assert line.startswith(f"{train}/data.json is the manifest of other shards")
    [line] = change("metrics.jsonl", lambda text: "".join(text.splitlines(keepends=True)[1:]))
    assert line.startswith(f"{train}/metrics.jsonl has 7 steps, and not each of the 8 once")
    [line] = change("config.json", lambda text: text.replace('"request": "', '"request": "0'))
    assert line.startswith(f"{train}/config.json is of another run")
    [line] = change("student/tokenizer.json", lambda text: text + " ")
    assert line.startswith(f"{train}/student/tokenizer.json is not that of the rendering")


def test_an_export_of_another_run(run):
    path = run / "export" / "provenance.json"
    fields = storage.read_json(path)
    fields["checkpoint"]["run"] = "0" * 16
    storage.write_json(path, fields)
    found = check([run]).problems
    assert any(line.startswith(f"{path} names another checkpoint") for line in found)
    assert any(line.startswith(f"{run}/export is the export of another run than {run}/train") for line in found)


def test_a_flipped_byte_in_the_weights(run):
    [path] = (run / "export").glob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    [line] = check([run]).problems
    assert line.startswith(f"{path} is not as it was written")
