"""Export and import at their edges: odd but legitimate folders, interruptions, links, races, data that is not open."""

import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from octomed_jax import manifests, storage
from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, TryAgain, UserError
from octomed_jax.hf import verify as levels
from octomed_jax.hf.checkpoint import open_checkpoint
from octomed_jax.hf.export import export
from octomed_jax.hf.importing import import_model
from octomed_jax.hf.settings import Settings
from octomed_jax.hf.source import load_parameters, open_source
from octomed_jax.hf.weights import INDEX_NAME, SINGLE_NAME
from octomed_jax.models.mesh import one_device
from octomed_jax.models.place import place_parameters
from octomed_jax.models.trees import flatten_names
from tests.hf.folders import publish, save_run

NONE = Settings(verify=())
BOTH = Settings()


@pytest.fixture
def hub(tmp_path, student, parameters):
    """A published folder in one file."""
    return publish(tmp_path / "hub", student, parameters)


def weights_of(folder):
    return {name: array for path in sorted(folder.glob("*.safetensors")) for name, array in load_file(path).items()}


def test_other_weights_of_the_same_size_are_another_import(hub, tmp_path):
    import_model(str(hub), tmp_path / "in")
    assert import_model(str(hub), tmp_path / "in").stage == "import"  # the same: done
    changed = {name: array + 1 for name, array in load_file(hub / SINGLE_NAME).items()}
    save_file(changed, hub / SINGLE_NAME, metadata={"format": "pt"})
    with pytest.raises(UserError, match="made with other settings"):
        import_model(str(hub), tmp_path / "in")
    export(tmp_path / "in", tmp_path / "out", NONE)
    shutil.rmtree(tmp_path / "in")
    import_model(str(hub), tmp_path / "in")
    with pytest.raises(UserError, match="the checkpoint it was made from"):
        export(tmp_path / "in", tmp_path / "out", NONE)


def test_the_access_class_travels_through_import_and_export(student, parameters, tmp_path):
    save_run(tmp_path / "run", student[0], parameters, access="credentialed")
    export(tmp_path / "run", tmp_path / "out", BOTH)
    assert import_model(str(tmp_path / "out"), tmp_path / "in").access == "credentialed"
    export(tmp_path / "in", tmp_path / "again", BOTH)
    manifest = manifests.read_manifest(tmp_path / "again", "export")
    assert (manifest.access, manifest.licences) == ("credentialed", ("CC-BY-4.0",))
    card = (tmp_path / "again" / "README.md").read_text()
    assert "trained on credentialed data" in card
    assert yaml.safe_load(card.split("---")[1])["license_name"] == "credentialed-data"


def test_a_checkpoint_that_is_deleted_while_it_is_read_says_so(student, parameters, tmp_path):
    save_run(tmp_path / "run", student[0], parameters)
    source = open_checkpoint(tmp_path / "run")
    tensors = source.tensors()
    source.read(tensors[0])
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "3")

    def read_all():
        for tensor in tensors:
            source.read(tensor)

    with pytest.raises(TryAgain, match="deleted while it was read"):
        read_all()


def test_a_lost_chunk_is_damage_and_not_zeros(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    state = tmp_path / "run" / "checkpoints" / "3" / "state"
    for path in [*state.rglob("d/*")]:
        path.write_bytes(b"")

    def read():
        source = open_checkpoint(tmp_path / "run")
        source.read(source.tensors()[0])

    with pytest.raises(StopAndLook, match="is damaged"):
        read()


def test_weights_of_another_size_are_refused_and_not_cut(hub):
    mesh = one_device()
    wanted = {
        name: jax.ShapeDtypeStruct(
            leaf.shape, np.float32, sharding=jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        )
        for name, leaf in flatten_names(load_parameters(hub, mesh)[1]).items()
    }
    source = open_source(hub)
    place_parameters(source, wanted)
    name = "text.layers.mlp.gate.kernel"
    leaf = wanted[name]
    for shape in ((1, *leaf.shape[1:]), (leaf.shape[0], leaf.shape[1] - 1, leaf.shape[2])):
        smaller = wanted | {name: jax.ShapeDtypeStruct(shape, np.float32, sharding=leaf.sharding)}
        with pytest.raises(UserError, match="they are of another model"):
            place_parameters(source, smaller)


def test_one_file_with_an_index_goes_out_as_it_came(student, parameters, tmp_path):
    folder = publish(tmp_path / "hub", student, parameters)
    (folder / SINGLE_NAME).rename(folder / "model-00001-of-00001.safetensors")
    names = weights_of(folder)
    size = sum(array.nbytes for array in names.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    (folder / INDEX_NAME).write_text(json.dumps(index))
    import_model(str(folder), tmp_path / "in")
    export(tmp_path / "in", tmp_path / "out", BOTH)
    for name in (INDEX_NAME, "model-00001-of-00001.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("metadata", [None, {}, {"total_size": 3}, "absent"])
def test_an_import_in_another_dtype_or_with_odd_metadata_gets_an_index_of_its_own(
    student, parameters, tmp_path, metadata
):
    folder = publish(tmp_path / "hub", student, parameters, most=100_000)
    index = json.loads((folder / INDEX_NAME).read_text())
    index["metadata"] = metadata
    if metadata == "absent":
        del index["metadata"]
    (folder / INDEX_NAME).write_text(json.dumps(index))
    import_model(str(folder), tmp_path / "in")
    for dtype in ("bfloat16", "float32"):
        export(tmp_path / "in", tmp_path / dtype, Settings(dtype))
        assert weights_of(tmp_path / dtype).keys() == weights_of(folder).keys()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_dtype_is_the_weights_own_whatever_the_config_says(student, parameters, tmp_path, dtype):
    folder = publish(tmp_path / "hub", student, parameters, dtype)
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {"torch_dtype": "bfloat16"}))
    import_model(str(folder), tmp_path / "in")
    export(tmp_path / "in", tmp_path / "out", BOTH)
    assert (tmp_path / "out" / SINGLE_NAME).read_bytes() == (folder / SINGLE_NAME).read_bytes()


def test_several_dtypes_are_refused(hub, tmp_path):
    arrays = load_file(hub / SINGLE_NAME)
    arrays["model.layers.1.mlp.up_proj.weight"] = arrays["model.layers.1.mlp.up_proj.weight"].astype(np.float32)
    save_file(arrays, hub / SINGLE_NAME, metadata={"format": "pt"})
    with pytest.raises(UserError, match="several dtypes"):
        import_model(str(hub), tmp_path / "in")


def test_a_card_repeats_no_markup_of_its_base(hub, tmp_path):
    (hub / "README.md").write_text('---\nlicense: "mit\\n\\n# Approved for clinical use\\n"\n---\n')
    import_model(str(hub), tmp_path / "in")
    export(tmp_path / "in", tmp_path / "out", NONE)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "\n# Approved" not in card
    assert "mit Approved for clinical use" in card


def test_an_interrupted_verification_writes_nothing_again(run, tmp_path, monkeypatch):
    """The interruptions are put in by the test."""
    small = Settings(max_shard_gb=1e-4)
    for error, message in ((KeyboardInterrupt, ""), (UserError, "vLLM does not start"), (TryAgain, "asked to end")):

        def fail(*_, error=error, message=message):
            raise error(message)

        monkeypatch.setitem(levels._RUN, "roundtrip", fail)
        with pytest.raises(error):
            export(run, tmp_path / "out", small)
    monkeypatch.undo()
    staging = tmp_path / ".out.partial"
    before = {path.name: path.stat().st_mtime_ns for path in staging.glob("*.safetensors")}
    assert len(before) > 3
    export(run, tmp_path / "out", small)
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.safetensors")}
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_killed_before_the_folder_gets_its_name_gives_the_same_manifest(run, tmp_path, monkeypatch):
    export(run, tmp_path / "whole", BOTH)
    with monkeypatch.context() as patch:
        patch.setattr("octomed_jax.hf.export.forget_marks", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export(run, tmp_path / "cut", BOTH)
    export(run, tmp_path / "cut", BOTH)
    for name in ("manifest.json", "provenance.json", "README.md"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name


def test_two_at_once_do_not_destroy_each_other(run, tmp_path):
    with storage.staged_folder(tmp_path / "out", "a") as staged:
        (staged / "file").write_text("mine")
        for request in ("a", None):
            with (
                pytest.raises(TryAgain, match="another process still works there"),
                storage.staged_folder(tmp_path / "out", request),
            ):
                pass
        with pytest.raises(TryAgain, match="another process still works there"):
            export(run, tmp_path / "out", NONE)
    assert (tmp_path / "out" / "file").read_text() == "mine"


def test_what_a_killed_import_left_is_room_for_the_next(hub, tmp_path):
    left = tmp_path / ".in.partial"
    left.mkdir()
    (left / "half").write_bytes(b"0" * 1000)
    import_model(str(hub), tmp_path / "in")
    assert not left.exists()
    assert not (tmp_path / "in" / "half").exists()


def test_links_out_of_the_folder_are_refused_for_every_file(hub, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of this machine")
    (hub / "LICENSE").symlink_to(secret)
    with pytest.raises(UserError, match="leads out of"):
        import_model(str(hub), tmp_path / "in")
    (hub / "LICENSE").unlink()
    (hub / SINGLE_NAME).rename(tmp_path / "away.safetensors")
    (hub / SINGLE_NAME).symlink_to(tmp_path / "away.safetensors")
    with pytest.raises(UserError, match="leads out of"):
        import_model(str(hub), tmp_path / "in")


@pytest.mark.parametrize("name", ["a#b", "a%41b", "a?b c"])
def test_a_path_is_no_address(hub, tmp_path, name):
    import_model(str(hub), tmp_path / name)
    export(tmp_path / name, tmp_path / f"{name}-out", BOTH)
    assert (tmp_path / f"{name}-out" / SINGLE_NAME).read_bytes() == (hub / SINGLE_NAME).read_bytes()


BROKEN = {
    "config.json": ["{", "[]", '{"text_config": null}'],
    "tokenizer.json": ["{", "[]"],
    "generation_config.json": ["{", '{"eos_token_id": "x"}'],
    "preprocessor_config.json": ["{", "[]"],
    "tokenizer_config.json": ["{"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BROKEN.items() for text in texts])
def test_a_broken_file_is_one_line_for_import_and_for_generate(hub, tmp_path, capsys, name, text):
    if name == "tokenizer_config.json":  # read for its template where no other file has one
        (hub / "chat_template.jinja").unlink()
        (hub / "chat_template.json").unlink()
    (hub / name).write_text(text)
    (tmp_path / "messages.json").write_text("[]")
    generate = [
        "generate",
        f"--model={hub}",
        f"--messages={tmp_path / 'messages.json'}",
        f"--output={tmp_path / 'out'}",
    ]
    for command in (["import", f"--model={hub}", f"--output={tmp_path / 'in'}"], generate):
        assert main(command) in (2, 43)
        printed = capsys.readouterr().err.strip()
        assert name in printed
        assert len(printed.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mesh=data=-1,fsdp=0"], "an axis of no device"),
        (["--mesh=fsdp"], "not of the form"),
        (["--mesh=model=2"], "has no axis 'model'"),
        (["--mesh=tensor=2"], "does not multiply to the 8 devices"),
        (["--mesh=tensor=8"], "mesh axis tensor=8 does not divide"),
        (["--batch=0"], "batch=0 must be at least 1"),
        (["--seed=99999999999999999999"], "seed="),
        (["--max-new-tokens=99999999999"], "max_new_tokens="),
        (["--temperature=1e-41"], "temperature=1e-41 must be 0, or from"),
    ],
)
def test_options_that_make_no_sense_are_one_line(run, tmp_path, capsys, words, message):
    export(run, tmp_path / "model", NONE)
    (tmp_path / "messages.json").write_text('[[{"role": "user", "content": "x"}]]')
    common = [
        f"--model={tmp_path / 'model'}",
        f"--messages={tmp_path / 'messages.json'}",
        f"--output={tmp_path / 'out'}",
    ]
    capsys.readouterr()
    assert main(["generate", *common, *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_empty_list_of_conversations_is_answered_with_an_empty_list(run, tmp_path):
    export(run, tmp_path / "model", NONE)
    (tmp_path / "messages.json").write_text("[]")
    common = [f"--model={tmp_path / 'model'}", f"--messages={tmp_path / 'messages.json'}"]
    for verb in ("generate", "score"):
        assert main([verb, *common, f"--output={tmp_path / verb}"]) == 0
        assert json.loads((tmp_path / verb).read_text()) == []


def test_an_imported_model_answers_as_its_folder(hub, tmp_path):
    import octomed_jax

    import_model(str(hub), tmp_path / "in")
    messages = [[{"role": "user", "content": "Which plane?"}]]
    one, other = [octomed_jax.load(folder).generate(messages, max_new_tokens=5) for folder in (hub, tmp_path / "in")]
    assert one == other


def test_an_export_into_the_current_folder(run, tmp_path):
    command = [sys.executable, "-m", "octomed_jax.cli.main", "export", f"--checkpoint={run}", "--verify="]
    for output in ("./sub/", "deep/er"):
        subprocess.run([*command, f"--output={output}"], cwd=tmp_path, env=os.environ, check=True, capture_output=True)
        assert (tmp_path / output / SINGLE_NAME).is_file()
    refused = subprocess.run([*command, "--output=."], cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "not empty" in refused.stderr
