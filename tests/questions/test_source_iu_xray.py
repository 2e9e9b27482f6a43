"""IU X-ray as Kaggle and as Open-i publish it; the reports are made up."""

import csv
import zipfile

import pytest
from adapter_helpers import built, picture, refused

from octomed_jax.questions.pseudonyms import pseudonym

COLUMNS = ("uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression")
ROWS = [
    (
        "1",
        "normal",
        "normal",
        "Xray Chest PA and Lateral",
        "Positive TB test",
        "None.",
        "No XXXX of,\nan effusion.",
        "X.",
    ),
    ("2", "x", "x", "Chest, 2 views", "Pain", "", "", "Only an impression."),
    ("3", "x", "x", "Chest", "Pain", "", "Clear.", "Normal."),
    ("4", "x", "x", "Chest", "Pain", "", "Clear.", "Normal."),
]
PROJECTIONS = [
    ("1", "1_IM-0001-3001.dcm.png", "Lateral"),
    ("1", "1_IM-0001-4001.dcm.png", "Frontal"),
    ("2", "2_IM-0652-1001.dcm.png", "Frontal"),
    ("3", "3_IM-1384-1001.dcm.png", "Frontal"),
]
XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation>
  <meta type="rr"/><uId id="CXR{uid}"/><pmcId id="{uid}"/>
  <MedlineCitation><Article><Abstract>
    <AbstractText Label="COMPARISON">None.</AbstractText>
    <AbstractText Label="INDICATION">Pain</AbstractText>
    <AbstractText Label="FINDINGS">{findings}</AbstractText>
    <AbstractText Label="IMPRESSION">Normal &lt; XXXX.</AbstractText>
  </Abstract></Article></MedlineCitation>
  {images}
</eCitation>"""


def table(path, columns, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture
def kaggle(tmp_path):
    root = tmp_path / "in"
    images = root / "images" / "images_normalized"
    images.mkdir(parents=True)
    table(root / "indiana_reports.csv", COLUMNS, ROWS)
    table(root / "indiana_projections.csv", ("uid", "filename", "projection"), PROJECTIONS)
    for seed, (_, name, _) in enumerate(PROJECTIONS):
        (images / name).write_bytes(picture(seed, mode="L"))
    return root


def test_tables_of_kaggle(kaggle, tmp_path):
    train, test, manifest = built("iu-xray", kaggle, tmp_path / "out")
    assert {question.id for question in train} == {f"iu-xray:{pseudonym('iu-xray', uid)}" for uid in "13"}
    assert test == []
    first = next(question for question in train if question.cluster == pseudonym("iu-xray", "1"))
    assert first.answer == "FINDINGS: No XXXX of, an effusion.\n\nIMPRESSION: X."
    assert first.images == (picture(1, mode="L"), picture(0, mode="L"))  # frontal first
    assert (first.task, first.modality, first.body_region) == ("report", "X-ray", "chest")
    assert manifest.counts["passed_over"] == {"it has no image": 1, "its report lacks FINDINGS": 1}


def test_images_in_an_archive(kaggle, tmp_path):
    before = built("iu-xray", kaggle, tmp_path / "loose")[0]
    with zipfile.ZipFile(kaggle / "images.zip", "w") as archive:
        for path in sorted(kaggle.glob("images/*/*.png")):
            archive.write(path, path.relative_to(kaggle).as_posix())
            path.unlink()
    assert built("iu-xray", kaggle, tmp_path / "packed")[0] == before


def test_a_missing_image_or_table_is_named(kaggle, tmp_path, capsys):
    (kaggle / "images" / "images_normalized" / PROJECTIONS[3][1]).unlink()
    words = "indiana_reports.csv line 5: image: no file '3_IM-1384-1001.dcm.png'"
    assert words in refused(capsys, "iu-xray", kaggle, tmp_path / "out")
    (kaggle / "indiana_projections.csv").write_text("uid,filename,projection\n1\n")
    assert "indiana_projections.csv line 2 has 1 cells" in refused(capsys, "iu-xray", kaggle, tmp_path / "out")
    (kaggle / "indiana_projections.csv").unlink()
    assert "has no file indiana_projections.csv" in refused(capsys, "iu-xray", kaggle, tmp_path / "out")
    (kaggle / "indiana_reports.csv").unlink()
    assert "has no file indiana_reports.csv" in refused(capsys, "iu-xray", kaggle, tmp_path / "out")


def test_files_of_open_i(tmp_path, capsys):
    root = tmp_path / "in"
    for folder in ("ecgen-radiology", "NLMCXR_png"):
        (root / folder).mkdir(parents=True)
    image = '<parentImage id="CXR{0}_1_IM-000{0}"><figureId>F1</figureId><caption>Chest</caption></parentImage>'
    for uid, findings, images in ((1, "Clear.", image.format(1)), (2, "", image.format(2)), (3, "Clear.", "")):
        (root / "ecgen-radiology" / f"{uid}.xml").write_text(XML.format(uid=uid, findings=findings, images=images))
        (root / "NLMCXR_png" / f"CXR{uid}_1_IM-000{uid}.png").write_bytes(picture(uid))
    (question,), _, manifest = built("iu-xray", root, tmp_path / "out")
    assert question.id == f"iu-xray:{pseudonym('iu-xray', '1')}"
    assert question.answer == "FINDINGS: Clear.\n\nIMPRESSION: Normal < XXXX."
    assert question.images == (picture(1),)
    assert manifest.counts["passed_over"] == {"it has no image": 1, "its report lacks FINDINGS": 1}
    (root / "ecgen-radiology" / "2.xml").unlink(missing_ok=True)
    (tmp_path / "secret.xml").write_text("<eCitation/>")
    (root / "ecgen-radiology" / "2.xml").symlink_to(tmp_path / "secret.xml")
    assert "leads out of" in refused(capsys, "iu-xray", root, tmp_path / "again")
    (root / "ecgen-radiology" / "2.xml").unlink()
    (root / "ecgen-radiology" / "2.xml").write_text("<eCitation>")
    assert "ecgen-radiology/2.xml row 1: is no XML (" in refused(capsys, "iu-xray", root, tmp_path / "again")
    bomb = (
        '<!DOCTYPE a [<!ENTITY b "'
        + "c" * 10_000
        + '">'
        + "".join(f'<!ENTITY {chr(ord(name) + 1)} "{f"&{name};" * 20}">' for name in "bcdefgh")
    )
    (root / "ecgen-radiology" / "2.xml").write_text(bomb + "]><eCitation>&i;</eCitation>")
    assert "ecgen-radiology/2.xml row 1: is no XML (" in refused(capsys, "iu-xray", root, tmp_path / "again")
