"""Metadata by rule: what the words of a question say, what they do not, and how it is marked."""

import pytest
from curation_helpers import curated, make, make_config, text, write_folder

from octomed_jax.curation import metadata
from octomed_jax.curation.metadata import BODY_REGIONS, FIELDS, MODALITIES, code_of, values
from octomed_jax.errors import StopAndLook
from octomed_jax.evaluation.curated_report import write_curated_report
from octomed_jax.traces import lake

TEXTS = [
    # a text, its modality, its region
    ("A CT of the chest is shown.", "CT", "chest"),
    ("The CECT scan (abdomen)", "CT", "abdomen"),
    ("In this chest X-ray, is there a pneumothorax?", "X-ray", "chest"),
    ("chest x rays", "X-ray", "chest"),
    ("AP radiograph of the pelvis", "X-ray", "pelvis"),
    ("T2-weighted image of the brain", "MRI", "brain"),
    ("Magnetic Resonance of the cerebellum", "MRI", "brain"),
    ("FLAIR", "MRI", ""),
    ("Which finding is on this fundus photograph?", "fundus photography", "eyes"),
    ("Optical coherence tomography of the macula", "OCT", "eyes"),
    ("OCT scan of the retina", "OCT", "eyes"),
    ("dermoscopy of a mole", "dermoscopy", "skin"),
    ("H&E stain of a breast lesion", "histopathology", "breast"),
    ("Electron micrograph of a podocyte", "electron microscopy", ""),
    ("Colonoscopy shows a polyp", "endoscopy", ""),
    ("A PET of the neck", "PET", "neck"),
    ("Bone scan of a child", "nuclear medicine", ""),
    ("Scintigraphy of the thyroid", "nuclear medicine", "neck"),
    ("Mammography of the left breast", "mammography", "breast"),
    ("Transthoracic echocardiography", "ultrasound", ""),
    ("the thyroid, by ultrasound", "ultrasound", "neck"),
    # Two of a kind: none.
    ("Is this a CT or an MRI of the brain?", "", "brain"),
    ("PET-CT of the liver", "", "abdomen"),
    ("PET/CT of the liver", "", "abdomen"),
    ("PET-MRI", "", ""),
    ("a chest CT with the liver", "CT", ""),
    # Words inside others.
    ("Petechiae in October, with an octopus", "", ""),
    ("a petri dish", "", ""),
    ("He has direct contact and ducts; the act of fact", "", ""),
    ("eyelid swelling", "", ""),
    ("eyelash", "", ""),
    ("skinny, a molecule and a heartbeat", "", ""),
    ("bottleneck, and necks", "", ""),
    ("a colonel and colonies", "", ""),
    ("What is shown?", "", ""),
    ("", "", ""),
]


@pytest.mark.parametrize(("words", "modality", "region"), TEXTS)
def test_words(words, modality, region):
    for field, expected in (("modality", modality), ("body_region", region)):
        code = code_of(field, words.lower())
        assert (values(field)[code - 1] if code else "") == expected


def test_every_rule_gives_its_value():
    for field, table in zip(FIELDS, (MODALITIES, BODY_REGIONS), strict=True):
        for number, (value, rules) in enumerate(table.items(), 1):
            for rule in [rule for rule in rules if not rule.startswith("pet-") or value == "PET"]:  # those are of two
                assert code_of(field, f"a {rule.removesuffix('*')}, then") == number, (value, rule)


QUESTIONS = [
    make("1", "Is there a nodule on this chest CT?", images=[1]),
    make("2", "Is there a nodule on this chest CT?"),  # without an image: no modality
    make("3", "Is it seen?", images=[3], options=("a fracture on the x-ray", "none")),
    make("4", "Is there a lesion on this brain MRI?", images=[4], modality="MR", body_region="head"),
    make("5", "Is there a lesion on this brain MRI?", images=[5], modality="MR"),
    make("6", text(6), images=[6]),
    make("7", "Is there a nodule on this chest CT?", images=[1]),
]


def marks(folder):
    return [tuple(row.values()) for row in lake.iterate_rows(folder / "metadata.parquet")]


def test_what_is_filled_in_is_marked(tmp_path):
    folder = write_folder(tmp_path / "questions", QUESTIONS, row_group=2)
    left, gone, manifest = curated(tmp_path / "out", folder, make_config(["deduplicate", "metadata"]))
    assert set(gone) == {"made:7"}
    assert {name[5:]: (one.modality, one.body_region) for name, one in left.items()} == {
        "1": ("CT", "chest"),
        "2": ("", "chest"),
        "3": ("X-ray", ""),
        "4": ("MR", "head"),
        "5": ("MR", "brain"),
        "6": ("", ""),
    }
    expected = [
        ("made:1", "body_region", "chest", "rule-2"),
        ("made:1", "modality", "CT", "rule-2"),
        ("made:2", "body_region", "chest", "rule-2"),
        ("made:3", "modality", "X-ray", "rule-2"),
        ("made:5", "body_region", "brain", "rule-2"),
    ]
    assert marks(tmp_path / "out") == expected
    assert manifest.counts["steps"][1]["filled"] == {
        "modality": {"CT": 1, "X-ray": 1},
        "body_region": {"chest": 2, "brain": 1},
    }
    assert manifest.extra["rules"] == {"metadata": "rule-2"}
    assert "metadata.parquet" in manifest.files
    # Before the copy goes it is counted, and its mark goes with it.
    _, _, manifest = curated(tmp_path / "before", folder, make_config(["metadata", "deduplicate"]))
    assert manifest.counts["steps"][0]["filled"]["modality"] == {"CT": 2, "X-ray": 1}
    assert marks(tmp_path / "before") == expected


def test_what_a_source_says_can_be_replaced(tmp_path):
    folder = write_folder(tmp_path / "questions", QUESTIONS)
    left, _, _ = curated(tmp_path / "out", folder, make_config(["metadata"], metadata={"replace": True}))
    assert (left["made:4"].modality, left["made:4"].body_region) == ("MRI", "brain")
    assert (left["made:6"].modality, left["made:6"].body_region) == ("", "")
    assert ("made:4", "modality", "MRI", "rule-2") in marks(tmp_path / "out")


def test_marks_of_several_folders_are_sorted(tmp_path):
    folders = [write_folder(tmp_path / name, QUESTIONS[part:7:2], 1) for name, part in (("a", 1), ("b", 0))]
    curated(tmp_path / "out", folders, make_config(["metadata"]))
    found = marks(tmp_path / "out")
    assert found == sorted(found)
    assert {mark[0] for mark in found} == {f"made:{number}" for number in (1, 2, 3, 5, 7)}


def test_without_the_step_there_are_no_marks(tmp_path):
    curated(tmp_path / "out", write_folder(tmp_path / "questions", QUESTIONS))
    assert not (tmp_path / "out" / "metadata.parquet").exists()


def test_marks_of_a_folder_before_are_handed_on(tmp_path):
    """Of the questions that stay, from each folder its own; the card and the manifest say who gave how many."""
    folders = [write_folder(tmp_path / name, QUESTIONS[part:7:2], 1) for name, part in (("a", 1), ("b", 0))]
    for folder in folders:
        curated(tmp_path / f"{folder.name} filled", folder, make_config(["metadata"]))
    plain = write_folder(tmp_path / "c", [make("35", text(35))])
    again = [tmp_path / "b filled", plain, tmp_path / "a filled"]
    left, gone, manifest = curated(tmp_path / "out", again, make_config(["deduplicate"]))
    assert set(gone) == {"made:7"}
    assert (left["made:1"].modality, left["made:3"].modality) == ("CT", "X-ray")
    assert marks(tmp_path / "out") == [
        ("made:1", "body_region", "chest", "rule-2"),
        ("made:1", "modality", "CT", "rule-2"),
        ("made:2", "body_region", "chest", "rule-2"),
        ("made:3", "modality", "X-ray", "rule-2"),
        ("made:5", "body_region", "brain", "rule-2"),
    ]
    assert manifest.extra["filled_by"] == {"rule-2": {"modality": 2, "body_region": 3}}
    assert "rules" not in manifest.extra  # none was asked here
    assert "metadata.parquet" in manifest.files
    assert "- By `rule-2`: modality 2, body region 3\n" in (tmp_path / "out" / "card.md").read_text()
    assert "By <code>rule-2</code>: modality 2, body region 3" in write_curated_report(tmp_path / "out").read_text()


def test_what_is_filled_in_anew_has_the_new_mark(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "questions", QUESTIONS[:6], row_group=4)
    curated(tmp_path / "once", folder, make_config(["metadata"]))
    before = marks(tmp_path / "once")
    monkeypatch.setattr(metadata, "RULES_VERSION", "rule-3")
    monkeypatch.setitem(metadata.MODALITIES, "X-ray", ("no such words",))
    metadata._patterns.cache_clear()
    _, _, manifest = curated(
        tmp_path / "twice", tmp_path / "once", make_config(["metadata"], metadata={"replace": True})
    )
    metadata._patterns.cache_clear()
    after = marks(tmp_path / "twice")
    new = [("made:4", "body_region", "brain", "rule-3"), ("made:4", "modality", "MRI", "rule-3")]
    new.append(("made:5", "modality", "MRI", "rule-3"))
    old = [(*mark[:3], "rule-2" if mark[2] == "X-ray" else "rule-3") for mark in before]  # no rule says that one now
    assert after == sorted(old + new)
    assert manifest.extra["filled_by"] == {
        "rule-2": {"modality": 1, "body_region": 0},
        "rule-3": {"modality": 3, "body_region": 4},
    }


def test_damaged_marks_are_named(tmp_path):
    folder = write_folder(tmp_path / "questions", QUESTIONS)
    curated(tmp_path / "once", folder, make_config(["metadata"]))
    path = tmp_path / "once" / "metadata.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StopAndLook, match=r"metadata\.parquet is damaged"):
        curated(tmp_path / "twice", tmp_path / "once")
