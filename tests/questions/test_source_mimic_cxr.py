"""MIMIC-CXR in the layout that PhysioNet publishes; all reports and numbers are made up."""

import gzip
import zipfile

import pytest
from adapter_helpers import built, picture, refused

HEADER = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
)
# dicom, study, subject, split, view
IMAGES = [
    ("aa-1", "50000001", "10000001", "train", "LATERAL"),
    ("aa-2", "50000001", "10000001", "train", "PA"),
    ("bb-1", "50000002", "10000001", "train", "AP"),
    ("cc-1", "50000003", "11000002", "train", ""),
    ("dd-1", "50000004", "11000003", "validate", "PA"),
    ("ee-1", "50000005", "19000004", "test", "PA"),
    ("aa-3", "50000001", "10000001", "train", "AP"),  # not beside the others
]
BOTH = " FINDINGS:  Clear of ___.\n\n IMPRESSION:  Normal {}.\n"
REPORTS = {
    "50000001": BOTH.format("one"),
    "50000002": " IMPRESSION:  Only that.\n",
    "50000003": BOTH.format("three"),
    "50000004": BOTH.format("four"),
    "50000005": BOTH.format("five"),
}


def member(subject, study):
    return f"files/p{subject[:2]}/p{subject}/s{study}"


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    splits = ["dicom_id,study_id,subject_id,split", *(",".join(row[:4]) for row in IMAGES)]
    views = [HEADER, *(f"{row[0]},{row[2]},{row[1]},CHEST,{row[4]},9,9,21800506,213014.5,x,y,Erect" for row in IMAGES)]
    for name, lines in (("split", splits), ("metadata", views)):
        text = "".join(f"{line}\n" for line in lines)
        (root / f"mimic-cxr-2.0.0-{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    for seed, (dicom, study, subject, *_) in enumerate(IMAGES):
        path = root / member(subject, study) / f"{dicom}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(seed, "JPEG"))
        path.parent.with_suffix(".txt").write_text(REPORTS[study])
    return root


def of_seed(seed):
    return picture(seed, "JPEG")


def test_a_question_is_a_study(folder, tmp_path):
    train, test, manifest = built("mimic-cxr", folder, tmp_path / "out")
    assert [question.id for question in train] == ["mimic-cxr:train:0000000", "mimic-cxr:train:0000002"]
    first, third = train
    assert (first.question, first.task) == ("Write the findings and impression of this chest X-ray.", "report")
    assert first.answer == "FINDINGS: Clear of ___.\n\nIMPRESSION: Normal one."
    assert first.images == (of_seed(1), of_seed(6), of_seed(0))  # PA and AP before the lateral view
    assert third.images == (of_seed(3),)
    assert [question.answer[-5:] for question in test] == ["five."]
    assert {(question.access, question.modality, question.body_region) for question in train + test} == {
        ("credentialed", "X-ray", "chest")
    }
    assert manifest.access == "credentialed"
    assert manifest.counts["passed_over"] == {"its report lacks FINDINGS": 1}
    assert manifest.counts["published_splits"] == {"test": 1, "train": 3}


def test_no_number_of_a_patient_or_study_stands_in_what_is_written(folder, tmp_path):
    train, test, _ = built("mimic-cxr", folder, tmp_path / "out", "--split=train,validate,test")
    numbers = {number for row in IMAGES for number in row[:3]}
    written = (tmp_path / "out" / "card.md").read_text() + (tmp_path / "out" / "manifest.json").read_text()
    for question in train + test:
        written += "".join((question.id, question.question, question.answer, question.cluster, question.benchmark))
    assert not [number for number in numbers if number in written]


def test_a_patient_is_one_cluster(folder, tmp_path):
    report = folder / (member("10000001", "50000002") + ".txt")
    report.write_text(BOTH.format("two"))
    train, _, _ = built("mimic-cxr", folder, tmp_path / "out")
    assert train[0].cluster == train[1].cluster != train[2].cluster


def test_validation_joins_train_where_it_is_named(folder, tmp_path):
    train, test, _ = built("mimic-cxr", folder, tmp_path / "out", "--split=train,validate")
    assert [question.answer.split()[-1] for question in train] == ["one.", "three.", "four."]
    assert test == []


def test_reports_in_the_archive_and_tables_that_are_unpacked(folder, tmp_path):
    before = built("mimic-cxr", folder, tmp_path / "loose")[:2]
    with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w") as archive:
        for path in sorted(folder.glob("files/*/*/*.txt")):
            archive.writestr(path.relative_to(folder).as_posix(), path.read_text())
            path.unlink()
    for path in folder.glob("*.csv.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert built("mimic-cxr", folder, tmp_path / "packed")[:2] == before


def test_what_is_missing_is_named(folder, tmp_path, capsys):
    (folder / (member("10000001", "50000001") + ".txt")).unlink()
    words = "mimic-cxr-2.0.0-split.csv.gz line 2: has no report that can be read"
    assert words in refused(capsys, "mimic-cxr", folder, tmp_path / "out", "--split=train")
    (folder / (member("10000001", "50000001") + ".txt")).write_bytes(b"\xff")
    assert words in refused(capsys, "mimic-cxr", folder, tmp_path / "out", "--split=train")
    (folder / (member("10000001", "50000001") + ".txt")).write_text(BOTH.format("one"))
    (folder / member("11000002", "50000003") / "cc-1.jpg").unlink()
    words = "line 5: image: no file (name withheld) beside the rows"
    assert words in refused(capsys, "mimic-cxr", folder, tmp_path / "out", "--split=train")
    views = folder / "mimic-cxr-2.0.0-metadata.csv.gz"
    views.write_bytes(gzip.compress(gzip.decompress(views.read_bytes()).replace(b"aa-3", b"aa-9")))
    assert "has an image that mimic-cxr-2.0.0-metadata" in refused(capsys, "mimic-cxr", folder, tmp_path / "out")
    views.unlink()
    assert "has no file mimic-cxr-2.0.0-metadata.csv.gz" in refused(capsys, "mimic-cxr", folder, tmp_path / "out")


def test_a_broken_line_of_a_table_spoils_all_of_it(folder, tmp_path, capsys):
    table = folder / "mimic-cxr-2.0.0-split.csv.gz"
    table.write_bytes(gzip.compress(gzip.decompress(table.read_bytes()) + b"cut\n"))
    assert "line 9 has 1 cells, but 4 columns" in refused(capsys, "mimic-cxr", folder, tmp_path / "out")
