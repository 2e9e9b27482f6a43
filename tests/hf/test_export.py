"""A checkpoint goes out as a Hugging Face folder, and a folder comes in as a checkpoint: same bytes, or nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple

import jax
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from octomed_jax import manifests, places, storage
from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.hf.checkpoint import open_checkpoint
from octomed_jax.hf.export import export
from octomed_jax.hf.importing import import_model
from octomed_jax.hf.settings import Settings
from octomed_jax.hf.source import load_parameters
from octomed_jax.hf.verify import verify
from octomed_jax.hf.weights import INDEX_NAME, SINGLE_NAME
from octomed_jax.models.mesh import make_mesh, one_device
from octomed_jax.models.trees import flatten_names
from tests.hf.folders import publish, save_run

SMALL = 100_000  # bytes of a file, so that there are several
BOTH = ("structure", "roundtrip")


@pytest.fixture(scope="module")
def hub(tmp_path_factory, student, parameters):
    """A published folder in bfloat16, in several files, with a card and only one form of its chat template."""
    folder = publish(tmp_path_factory.mktemp("hub") / "Some-VL", student, parameters, most=SMALL)
    (folder / "chat_template.jinja").unlink()
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: some-research\n---\n# Some-VL\n")
    return folder


def test_a_run_goes_out_in_both_dtypes(run, parameters, tmp_path):
    for dtype in ("float32", "bfloat16"):
        settings = Settings(dtype, SMALL / 1e9)
        result = export(run, tmp_path / dtype, settings)
        assert result["parameters"] == sum(leaf.size for leaf in jax.tree.leaves(parameters))
        assert result["files"] == len(list((tmp_path / dtype).glob("*.safetensors"))) > 2
        assert set(result["figures"]) == set(BOTH)
        back = flatten_names(load_parameters(tmp_path / dtype, one_device(), np.dtype(jax.numpy.dtype(dtype)))[1])
        for name, leaf in flatten_names(parameters).items():
            assert np.array_equal(np.asarray(back[name]), np.asarray(leaf.astype(dtype))), name
        manifest = manifests.read_manifest(tmp_path / dtype, "export")
        assert manifest.files == {
            name: digest
            for name, digest in manifests.hash_files(tmp_path / dtype).items()
            if name not in ("README.md", "provenance.json")
        }
        assert not [path.name for path in (tmp_path / dtype).iterdir() if path.name.startswith(".")]


def test_the_dtype_is_the_configs_where_none_is_asked_for(run, tmp_path):
    export(run, tmp_path / "out", Settings(verify=()))
    fields = json.loads((tmp_path / "out" / "config.json").read_text())
    assert fields["torch_dtype"] == "float32"
    assert {str(array.dtype) for array in load_file(tmp_path / "out" / SINGLE_NAME).values()} == {"float32"}
    assert (tmp_path / "out" / "config.json").read_bytes() == (run / "student" / "config.json").read_bytes()


@pytest.mark.parametrize("layers", ["newest", "one step"])
def test_the_newest_step_is_meant_unless_one_is_named(tmp_path, student, parameters, layers):
    workdir = tmp_path / "run"
    save_run(workdir, student[0], parameters, step=3)
    changed = jax.tree.map(lambda leaf: leaf + 1, parameters)
    from octomed_jax.checkpoints.store import CheckpointStore

    store = CheckpointStore(workdir / "checkpoints", keep=2)
    store.save(12, {"parameters": changed, "step": jax.numpy.int32(12)}, "plan")
    store.close()
    source = open_checkpoint(workdir if layers == "newest" else workdir / "checkpoints" / "3")
    wanted = changed if layers == "newest" else parameters
    assert np.array_equal(source.saved.read("text.norm.scale"), np.asarray(wanted["text"]["norm"]["scale"]))
    assert source.request == {"run": "a-run", "step": 12 if layers == "newest" else 3}


def test_a_checkpoint_of_a_mesh_goes_out_the_same(tmp_path, student, parameters, run):
    """Saved from eight devices, each with its part of every matrix."""
    from octomed_jax.models.mesh import parameter_shardings

    spread = jax.device_put(parameters, parameter_shardings(make_mesh({"data": 1, "fsdp": -1}), parameters))
    save_run(tmp_path / "run", student[0], spread)
    export(tmp_path / "run", tmp_path / "out", Settings(verify=BOTH))
    export(run, tmp_path / "one", Settings(verify=()))
    assert (tmp_path / "out" / SINGLE_NAME).read_bytes() == (tmp_path / "one" / SINGLE_NAME).read_bytes()


def test_import_then_export_gives_the_same_bytes(hub, tmp_path):
    manifest = import_model(str(hub), tmp_path / "in")
    assert manifest.extra["dtype"] == "bfloat16"
    export(tmp_path / "in", tmp_path / "out", Settings())
    for path in hub.iterdir():
        if path.name not in ("README.md", "base.json"):
            assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), path.name
    template = json.loads((hub / "chat_template.json").read_text())["chat_template"]
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == template
    # Once more through both: nothing drifts.
    import_model(str(tmp_path / "out"), tmp_path / "in2")
    export(tmp_path / "in2", tmp_path / "out2", Settings(verify=()))
    assert manifests.hash_files(tmp_path / "out2").keys() == manifests.hash_files(tmp_path / "out").keys()
    weights = [name for name in manifests.hash_files(tmp_path / "out2") if name.endswith(("safetensors", "index.json"))]
    for name in weights:
        assert (tmp_path / "out2" / name).read_bytes() == (hub / name).read_bytes()


def test_an_imported_model_is_a_base_to_train_from(hub, tmp_path, parameters):
    from octomed_jax.hf.source import open_source

    import_model(str(hub), tmp_path / "in")
    for name, leaf in flatten_names(parameters).items():
        for folder in (hub, tmp_path / "in"):
            layer = 1 if name.startswith(("text.layers", "vision.blocks")) else None
            part = open_source(folder).read(name, layer)
            wanted = np.asarray((leaf if layer is None else leaf[layer]).astype(jax.numpy.bfloat16))
            assert np.array_equal(part, wanted), name


def test_an_import_that_does_not_fit_writes_nothing(hub, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(hub, broken)
    name = sorted(broken.glob("*.safetensors"))[0].name
    save_file({"model.extra": np.zeros(2, np.float32)}, broken / name)
    with pytest.raises(UserError, match="does not fit its config"):
        import_model(str(broken), tmp_path / "in")
    assert not (tmp_path / "in").exists()
    assert not (tmp_path / ".in.partial").exists()


def test_a_hub_id_is_read_from_the_hubs_cache(hub, tmp_path, monkeypatch):
    """As ``huggingface_hub`` lays its cache out; there is no network here."""
    cache, revision = tmp_path / "cache" / "models--owner--some-vl", "0" * 40
    (cache / "blobs").mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(revision)
    (cache / "snapshots" / revision).mkdir(parents=True)
    for path in hub.iterdir():
        if path.name != "base.json":
            shutil.copyfile(path, cache / "blobs" / path.name)
            (cache / "snapshots" / revision / path.name).symlink_to(f"../../blobs/{path.name}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    import_model("owner/some-vl", tmp_path / "in")
    base = storage.read_json(tmp_path / "in" / "student" / "base.json")
    assert base == {
        "model": "owner/some-vl",
        "revision": revision,
        "licence": {"license": "other", "license_name": "some-research"},
        "access": "open",
        "data_licences": [],
    }
    export(tmp_path / "in", tmp_path / "out", Settings(verify=()))
    card = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---")[1])
    assert card["base_model"] == "owner/some-vl"
    assert card["license_name"] == "some-research"
    assert main(["import", "--model=owner/none", f"--output={tmp_path / 'none'}"]) == 42


@pytest.mark.parametrize(("model", "message"), [("a/b/c", "nor an id of the hub"), ("../x", "neither a folder")])
def test_what_is_neither_folder_nor_id_is_refused(model, message, tmp_path, capsys, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # beside which there is no x
    assert main(["import", f"--model={model}", f"--output={tmp_path / 'in'}"]) == 2
    assert message in capsys.readouterr().err


def test_a_full_disk_is_refused_before_anything_is_written(run, hub, tmp_path, monkeypatch):
    """The free space is made up: a fault that a test cannot have for real."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(places.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 1000))
    for work in (lambda out: export(run, out, Settings()), lambda out: import_model(str(hub), out)):
        with pytest.raises(UserError, match=r"has 0\.0 GB free"):
            work(tmp_path / "out")
        assert not list(tmp_path.iterdir())


def test_killed_it_goes_on_after_the_last_finished_file(run, tmp_path):
    """A real process, killed for real between two of its files."""
    whole = tmp_path / "whole"
    size = 2e-5
    export(run, whole, Settings(max_shard_gb=size, verify=()))
    command = [sys.executable, "-m", "octomed_jax.cli.main", "export", f"--checkpoint={run}"]
    command += [f"--output={tmp_path / 'cut'}", f"--max-shard-gb={size}", "--verify="]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    staging = tmp_path / ".cut.partial"
    while len(list(staging.glob("*.safetensors"))) < 3 and process.poll() is None:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if process.returncode == 0:
        pytest.fail("it was done before it could be killed; give it more files")
    there = {path.name: path.stat().st_mtime_ns for path in staging.glob("model-*.safetensors")}
    assert len(there) >= 3
    assert not (tmp_path / "cut").exists()
    export(run, tmp_path / "cut", Settings(max_shard_gb=size, verify=BOTH))
    kept = [name for name, time_ns in there.items() if (tmp_path / "cut" / name).stat().st_mtime_ns == time_ns]
    assert len(kept) >= len(there) - 1  # the last one's mark may have been cut off
    for path in whole.iterdir():
        if path.name not in ("README.md", "provenance.json"):
            assert path.read_bytes() == (tmp_path / "cut" / path.name).read_bytes(), path.name


def test_another_export_does_not_go_on_with_what_was_left(run, tmp_path):
    staging = tmp_path / ".out.partial"
    staging.mkdir()
    (staging / ".request").write_text("another")
    (staging / SINGLE_NAME).write_text("wrong")
    (staging / f".{SINGLE_NAME}.sha256").write_text("wrong")
    export(run, tmp_path / "out", Settings(verify=BOTH))


def test_a_finished_export_is_only_verified_further_and_gets_its_metrics(run, tmp_path):
    out = tmp_path / "out"
    export(run, out, Settings(verify=("structure",)))
    before = manifests.read_manifest(out, "export").identity
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    assert "Nothing was measured" in (out / "README.md").read_text()
    results = {"plane": {"n": 20, "accuracy": 0.9, "wilson": [0.7, 0.97], "baseline": 0.3, "unparsed": 1}}
    measured(tmp_path / "eval", before, results)
    result = export(run, out, Settings(verify=BOTH), metrics=tmp_path / "eval")
    assert set(result["figures"]) == set(BOTH)
    assert times == {path.name: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    assert manifests.read_manifest(out, "export").identity == before
    card = (out / "README.md").read_text()
    assert "| plane | 20 | 90.0% | 70.0% to 97.0% | 30.0% | 1 |" in card
    assert "Nothing was measured" not in card
    with pytest.raises(UserError, match="made with other settings"):
        export(run, out, Settings("bfloat16"))
    measured(tmp_path / "other", "another", results)
    with pytest.raises(UserError, match="measured another model"):
        export(run, out, Settings(), metrics=tmp_path / "other")
    measured(tmp_path / "random", before, results, random_weights=True)
    with pytest.raises(UserError, match="measured random weights"):
        export(run, out, Settings(), metrics=tmp_path / "random")


def measured(folder, model, results, random_weights=False):
    storage.write_json(folder / "results.json", {"benchmarks": results})
    config = {"random_weights": random_weights}
    manifests.write_manifest(folder, manifests.Manifest(stage="eval", config=config, inputs={"model": model}))


def test_the_card_says_what_must_be_said(student, parameters, tmp_path):
    save_run(tmp_path / "run", student[0], parameters, access="credentialed")
    export(tmp_path / "run", tmp_path / "out", Settings())
    card = (tmp_path / "out" / "README.md").read_text()
    fields = yaml.safe_load(card.split("---")[1])
    assert fields["pipeline_tag"] == "image-text-to-text"
    assert fields["library_name"] == "transformers"
    for part in (
        "Not for clinical use",
        "random weights",
        "| brain | 3 | 5 |",
        "since there is no gold to check them against: responses of talks (2).",
        "- `teacher/x`, prompt `boxed-1`; terms: MIT; may train others",
        "CC-BY-4.0",
        "**credentialed**",
        "terms of use bind",
        "peak learning rate 0.002",
        "bit for bit",
    ):
        assert part in card, part
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert provenance["checkpoint"] == {"run": "a-run", "step": 3}
    assert provenance["data"]["licences"] == ["CC-BY-4.0"]
    assert provenance["files"] == manifests.read_manifest(tmp_path / "out", "export").files


DAMAGE = {
    "a changed weight": lambda out: _change(out, lambda arrays: arrays["model.norm.weight"].__setitem__(0, 9)),
    "a lost template": lambda out: (out / "chat_template.jinja").unlink(),
    "a changed tokenizer": lambda out: (out / "tokenizer.json").write_text("{}"),
    "a changed config": lambda out: _edit(out / "config.json", "rms_norm_eps", 1e-5),
    "an index of another size": lambda out: _edit(out / INDEX_NAME, "metadata", {"total_size": 3}),
    "another dtype": lambda out: _change(out, lambda arrays: arrays.update(_halves(arrays))),
    "no format": lambda out: _change(out, lambda _: None, {}),
}


def _change(out, change, metadata={"format": "pt"}):  # noqa: B006
    for path in out.glob("*.safetensors"):
        arrays = {name: array.copy() for name, array in load_file(path).items()}
        if "model.norm.weight" in arrays:
            change(arrays)
            save_file(arrays, path, metadata=metadata)


def _halves(arrays):
    return {name: array.astype(np.float16) for name, array in arrays.items()}


def _edit(path, name, value):
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_damage_is_found(run, tmp_path, damage):
    export(run, tmp_path / "out", Settings(max_shard_gb=SMALL / 1e9, verify=()))
    source, settings = open_checkpoint(run), Settings("float32")
    assert set(verify(BOTH, tmp_path / "out", source, settings)) == set(BOTH)
    DAMAGE[damage](tmp_path / "out")
    with pytest.raises(StopAndLook):
        verify(BOTH, tmp_path / "out", source, settings)


def test_a_failed_level_ends_with_43_and_leaves_no_folder(run, tmp_path, monkeypatch, capsys):
    """The wrong tensor is a fault put in by the test."""
    from octomed_jax.hf.checkpoint import Checkpoint

    original, times = Checkpoint.read, {}

    def read(self, tensor):
        times[tensor.name] = times.get(tensor.name, 0) + 1
        return original(self, tensor) + (tensor.name == "model.norm.weight" and times[tensor.name] == 1)

    monkeypatch.setattr(Checkpoint, "read", read)
    assert main(["export", f"--checkpoint={run}", f"--output={tmp_path / 'out'}", "--verify=roundtrip"]) == 43
    assert "differs from the checkpoint in model.norm.weight" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--verify=structur"], "did you mean 'structure'"),
        (["--dtype=float8"], "is not supported"),
        (["--max-shard-gb=0"], "must be more than 0"),
        (["--adapter"], "has no LoRA adapters"),
        (["--verify=vllm", "--vllm=no-such-command"], "needs the vLLM command 'no-such-command'"),
        (["--config.export.dtype=x"], "give --config, or --checkpoint and --output"),
    ],
)
def test_settings_that_make_no_sense_are_refused(run, tmp_path, capsys, options, message):
    assert main(["export", f"--checkpoint={run}", f"--output={tmp_path / 'out'}", *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="no checkpoint in"):
        open_checkpoint(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="train first"):
        open_checkpoint(tmp_path)


def test_the_command_prints_its_figures(run, tmp_path, capsys):
    arguments = ["export", f"--checkpoint={run}", f"--output={tmp_path / 'out'}", "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["figures"]["roundtrip"]["parameters"] == result["parameters"]
    assert main(arguments[:-1]) == 0
    assert capsys.readouterr().out.endswith(f"parameters: {tmp_path / 'out'}\n")
