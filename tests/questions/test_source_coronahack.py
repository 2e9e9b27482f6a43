"""CoronaHack: one table for both splits."""

import pytest
from adapter_helpers import built, picture, refused

HEADER = ",X_ray_image_name,Label,Dataset_type,Label_2_Virus_category,Label_1_Virus_category\n"
IMAGES = "Coronahack-Chest-XRay-Dataset/Coronahack-Chest-XRay-Dataset"
ROWS = (
    "0,IM-0128-0001.jpeg,Normal,TRAIN,,\n"
    "1,person1_bacteria_1.jpeg,Pnemonia,TRAIN,,bacteria\n"
    "2,1-s2.0-S1684118220300608-main.pdf-002.jpg,Pnemonia,TRAIN,COVID-19,Virus\n"
    "3,SARS-10.jpeg,Pnemonia,TRAIN,ARDS,Stress-Smoking\n"
    "4,IM-0001-0001.jpeg,Normal,TEST,,\n"
    "5,person1_virus_6.jpeg,Pnemonia,TEST,,Virus\n"
)


def write(folder, rows=ROWS):
    folder.mkdir(exist_ok=True)
    (folder / "Chest_xray_Corona_Metadata.csv").write_text(HEADER + rows)
    for number, row in enumerate(rows.splitlines()):
        path = folder / IMAGES / row.split(",")[3].lower() / row.split(",")[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, "JPEG", mode="L"))


def test_both_splits_of_one_table(tmp_path):
    write(tmp_path)
    train, test, manifest = built("coronahack", tmp_path, tmp_path / "out")
    assert [question.answer for question in train] == ["normal", "bacterial pneumonia", "viral pneumonia"]
    assert [question.answer for question in test] == ["normal", "viral pneumonia"]
    assert train[0].options == ("normal", "bacterial pneumonia", "viral pneumonia")
    assert manifest.counts["published_splits"] == {"test": 2, "train": 4}
    assert manifest.counts["passed_over"] == {"pneumonia of another cause": 1}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0,a.jpeg,Normal,TRAIN,,Virus\n", "Label is Normal, but Label_1_Virus_category is 'virus'"),
        ("0,a.jpeg,Pnemonia,TRAIN,,\n", "Label is Pnemonia, but Label_1_Virus_category is ''"),
        ("0,a.jpeg,Pnemonia,TRAIN,,fungus\n", "Label_1_Virus_category is 'fungus'"),
        ("0,a.jpeg,Pneumonia,TRAIN,,Virus\n", "Label 'Pneumonia' is neither Normal nor Pnemonia"),
        ("0,a.jpeg,Normal,OTHER,,\n", "is of the split 'other'"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, capsys, row, words):
    write(tmp_path, row)
    line = refused(capsys, "coronahack", tmp_path, tmp_path / "out", "--split=train")
    assert words in line
    assert "Chest_xray_Corona_Metadata.csv train line 2" in line
