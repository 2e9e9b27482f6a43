"""OmniMedVQA: a file of JSON for each original set."""

import json

import pytest
from adapter_helpers import built, picture, refused
from image_helpers import write_file, write_zip

ROW = {
    "dataset": "ACRIMA",
    "question_id": "ACRIMA_0000",
    "question_type": "Modality Recognition",
    "question": "What imaging technique was employed to obtain this picture?",
    "gt_answer": "Fundus imaging",
    "image_path": "Images/ACRIMA/Im553_g_ACRIMA.png",
    "option_A": "PET scan",
    "option_B": "CT scan",
    "option_C": "Blood test",
    "option_D": "Fundus imaging",
    "modality_type": "Fundus Photography",
}
TWO = {name: value for name, value in ROW.items() if name not in ("option_C", "option_D")} | {
    "question": "Is there glaucoma?", "gt_answer": "no", "option_A": "Yes", "option_B": "No",
}  # fmt: skip
MRI = {
    "image_path": "Images/Chest/1.png", "modality_type": "MR (Mag-netic Resonance Imaging)",
    "option_C": "", "option_D": None, "gt_answer": "CT scan",
}  # fmt: skip


def write_rows(path, rows):
    """Write a JSON list."""
    write_file(path, json.dumps(rows).encode())


@pytest.mark.parametrize("form", ["unpacked", "inner folder", "images packed"])
def test_open_access_is_read_and_all_of_it_is_held_out(tmp_path, form):
    folder = tmp_path / "in"
    above = folder / "OmniMedVQA" if form == "inner folder" else folder
    images = {ROW["image_path"]: picture(1), MRI["image_path"]: picture(2)}
    if form == "images packed":
        write_zip(folder / "OmniMedVQA.zip", {f"OmniMedVQA/{name}": data for name, data in images.items()})
    for name, data in images.items() if form != "images packed" else ():
        write_file(above / name, data)
    write_rows(above / "QA_information" / "Open-access" / "ACRIMA.json", [ROW, TWO])
    write_rows(above / "QA_information" / "Open-access" / "Chest MR.json", [ROW | MRI])
    write_rows(above / "QA_information" / "Restricted-access" / "MIMIC.json", [ROW])
    train, test, manifest = built("omnimedvqa", folder, tmp_path / "out")
    assert not train
    assert manifest.counts["published_splits"] == {"open": 3}
    assert [(question.task, question.options, question.answer) for question in test] == [
        ("mcq", ("PET scan", "CT scan", "Blood test", "Fundus imaging"), "Fundus imaging"),
        ("yes_no", ("Yes", "No"), "No"),
        ("mcq", ("PET scan", "CT scan"), "CT scan"),
    ]
    assert [question.modality for question in test] == ["fundus photography", "fundus photography", "MRI"]
    assert (test[0].access, test[2].images) == ("open", (picture(2),))


def test_restricted_access_has_its_own_licence(tmp_path):
    write_file(tmp_path / "in" / ROW["image_path"], picture(1))
    write_rows(tmp_path / "in" / "QA_information" / "Restricted-access" / "MIMIC.json", [ROW])
    _, (question,), manifest = built("omnimedvqa", tmp_path / "in", tmp_path / "out", "--split=restricted")
    assert (question.access, manifest.access) == ("credentialed", "credentialed")
    assert question.licence == "as its original data set has it (restricted access)"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gt_answer": "D"}, "row 1: gt_answer 'D' is none of the options"),
        ({"option_A": "Fundus Imaging"}, "options hold the answer 'Fundus Imaging' more than once"),
        ({"option_A": "", "option_B": None, "option_C": " "}, "row 1: there are 1 options"),
        ({"image_path": "Images/ACRIMA/none.png"}, "no file 'Images/ACRIMA/none.png' beside the rows"),
        ({"image_path": "Images/../../secret.png"}, "leads out of the folder of the rows"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, change, words):
    write_file(tmp_path / "secret.png", picture(3))
    write_file(tmp_path / "in" / ROW["image_path"], picture(1))
    write_rows(tmp_path / "in" / "QA_information" / "Open-access" / "ACRIMA.json", [ROW | change])
    assert words in refused(capsys, "omnimedvqa", tmp_path / "in", tmp_path / "out")
