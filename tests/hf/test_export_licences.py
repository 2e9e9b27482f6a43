"""What the licences of the data ask stands in the card of every export that was trained on it."""

import shutil

import jax
import pytest

from octomed_jax import manifests, storage
from octomed_jax.hf.base import copy_base, describe_base
from octomed_jax.hf.export import export
from octomed_jax.hf.importing import import_model
from octomed_jax.hf.settings import Settings
from octomed_jax.models.lora import LoRA
from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from tests.hf.folders import save_run

NONE = Settings(verify=())
SHARED = "- Share-alike: CC-BY-SA-4.0 (%s). What is made of them may have to be passed on under the same licence."
LORA = {"rank": 2, "alpha": 6.0, "targets": ("v", "down")}


def trained(folder, student, parameters, licences=("CC-BY-SA-4.0", "MIT", "unknown"), sources=None, **more):
    """Write a run that learned from data of these licences; return its folder."""
    save_run(folder, student, parameters, **more)
    data = storage.read_json(folder / "data.json")
    data["licences"], data["extra"]["sources"] = list(licences), sources or {}
    storage.write_json(folder / "data.json", data)
    return folder


def mixed(folder, **examples):
    """Let a run say how many examples an epoch held of each source."""
    rows = [{"source": name, "examples_an_epoch": number} for name, number in examples.items()]
    asked = {"epochs": {name: "0" for name, number in examples.items() if not number}}
    storage.write_json(folder / "mixture.json", {"asked": asked, "held_out_records": 2, "sources": rows})
    return folder


def card(folder):
    return (folder / "README.md").read_text()


def counted(licence, access="open"):
    return {"questions": 1, "responses": 2, "licences": {licence: 1}, "access": access}


def test_sources_are_named_with_what_their_licences_ask(student, parameters, tmp_path):
    sources = {"pmc_vqa": counted("CC-BY-SA-4.0"), "nejm": counted("unknown"), "icd10": counted("MIT")}
    export(trained(tmp_path / "run", student[0], parameters, sources=sources), tmp_path / "out", NONE)
    assert SHARED % "pmc_vqa" in card(tmp_path / "out")
    assert "- Licence unknown: unknown (nejm)." in card(tmp_path / "out")


WARDS = {"wards": counted("PhysioNet", "credentialed"), "pmc_vqa": counted("CC-BY-SA-4.0"), "icd10": counted("MIT")}
ALL = ("CC-BY-SA-4.0", "MIT", "PhysioNet")


def based(folder, student):
    """A student that has its vocabulary from a base."""
    shutil.copytree(student, folder)
    base = {"model": "some/vl", "revision": None, "licence": {}, "access": "open", "data_licences": []}
    storage.write_json(folder / "base.json", base)
    return folder


def test_what_the_mixture_left_out_binds_no_export(student, parameters, tmp_path):
    side = based(tmp_path / "side", student[0])
    run = trained(tmp_path / "run", side, parameters, ALL, WARDS, access="credentialed")
    export(mixed(run, wards=0, pmc_vqa=4, icd10=2), tmp_path / "out", NONE)
    text, made = card(tmp_path / "out"), manifests.read_manifest(tmp_path / "out", "export")
    assert (made.access, made.licences) == ("open", ("CC-BY-SA-4.0", "MIT"))
    assert "Access class: **open**" in text
    assert "trained on credentialed data" not in text
    assert SHARED % "pmc_vqa" in text
    assert "PhysioNet" not in text
    assert "Mixture of an epoch: epochs wards=0. 2 records were held out and not trained on." in text
    assert "Not trained on, of the data above: wards." in text
    assert "| wards | 1 | 2 | left out |" in text
    assert "| pmc_vqa | 1 | 2 | 4 |" in text


@pytest.mark.parametrize("mixture", [{"wards": 1, "pmc_vqa": 0, "icd10": 2}, {}])
def test_what_was_trained_on_binds_it(student, parameters, tmp_path, mixture):
    """Also where nobody knows how an epoch was mixed."""
    run = trained(tmp_path / "run", based(tmp_path / "side", student[0]), parameters, ALL, WARDS, access="credentialed")
    export(mixed(run, **mixture) if mixture else run, tmp_path / "out", NONE)
    made = manifests.read_manifest(tmp_path / "out", "export")
    assert (made.access, "PhysioNet" in made.licences) == ("credentialed", True)
    assert "trained on credentialed data" in card(tmp_path / "out")


@pytest.mark.parametrize("lacks", ["access", "licences"])
def test_shards_that_do_not_say_it_of_each_source_bind_as_a_whole(student, parameters, tmp_path, lacks):
    sources = {name: dict(one) for name, one in WARDS.items()}
    del sources["icd10"][lacks]
    side = based(tmp_path / "side", student[0])
    run = trained(tmp_path / "run", side, parameters, ALL, sources, access="credentialed")
    export(mixed(run, wards=0, pmc_vqa=4, icd10=2), tmp_path / "out", NONE)
    made = manifests.read_manifest(tmp_path / "out", "export")
    whole = {"access": made.access == "credentialed", "licences": made.licences == ALL}
    assert whole[lacks]


def test_a_vocabulary_is_made_of_what_the_mixture_left_out_too(student, parameters, tmp_path):
    run = trained(tmp_path / "run", student[0], parameters, ALL, WARDS, access="credentialed")
    export(mixed(run, wards=0, pmc_vqa=4, icd10=2), tmp_path / "out", NONE)
    made = manifests.read_manifest(tmp_path / "out", "export")
    assert (made.access, made.licences) == ("credentialed", ALL)
    assert "of the data above: wards; the vocabulary was made of their texts too." in card(tmp_path / "out")


def test_shards_that_do_not_say_whose_licence_it_is_are_no_way_around_it(student, parameters, tmp_path):
    export(trained(tmp_path / "run", student[0], parameters), tmp_path / "out", NONE)
    assert SHARED % "its data" in card(tmp_path / "out")


def test_it_travels_by_way_of_a_base_and_of_the_hub(student, parameters, tmp_path, monkeypatch):
    export(trained(tmp_path / "run", student[0], parameters), tmp_path / "first", NONE)
    copy_base(tmp_path / "first", tmp_path / "side")  # as shards take over their student's base
    export(trained(tmp_path / "next", tmp_path / "side", parameters, ["MIT"]), tmp_path / "second", NONE)
    assert SHARED % "data of its base model" in card(tmp_path / "second")
    assert manifests.read_manifest(tmp_path / "second", "export").licences == ("CC-BY-SA-4.0", "MIT", "unknown")
    # Published, fetched again, and written once more without training.
    revision = tmp_path / "cache" / "models--owner--ours" / "snapshots" / ("1" * 40)
    shutil.copytree(tmp_path / "second", revision)
    (revision.parents[1] / "refs").mkdir()
    (revision.parents[1] / "refs" / "main").write_text("1" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    import_model("owner/ours", tmp_path / "in")
    export(tmp_path / "in", tmp_path / "third", NONE)
    assert SHARED % "data of its base model" in card(tmp_path / "third")


def test_it_stands_in_the_card_of_adapters(student, tmp_path):
    lora = LoRA(2, 6.0, ("v", "down"))
    parameters = jax.jit(lambda: initial_parameters(student[1], 0, lora))()
    run = trained(tmp_path / "run", student[0], parameters, lora=LORA, access="credentialed")
    export(run, tmp_path / "out", Settings(adapter=True, verify=()))
    assert SHARED % "its data" in card(tmp_path / "out")
    assert "trained on credentialed data" in card(tmp_path / "out")


def test_the_manifest_of_somebody_else_is_no_export(student, tmp_path):
    shutil.copytree(student[0], tmp_path / "model")
    (tmp_path / "model" / "base.json").unlink(missing_ok=True)
    for odd in ([], {"access": "secret"}, {"stage": "questions", "licences": 3}):
        storage.write_json(tmp_path / "model" / "manifest.json", odd)
        assert describe_base(tmp_path / "model")["data_licences"] == []
        assert describe_base(tmp_path / "model")["access"] == "open"


def test_the_hub_is_asked_for_what_an_export_says_of_its_data():
    from octomed_jax.hf.importing import WANTED

    assert manifests.MANIFEST in WANTED
