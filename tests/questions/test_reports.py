"""Sections of chest X-ray reports, and the images of a study that are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.questions.adapter import PassedOver
from octomed_jax.questions.reading.reports import MOST_VIEWS, gold_of, sections_of, shown

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with new onset ascites  // eval for infection

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  None.

 FINDINGS:

 There is no focal consolidation, pleural effusion
 or pneumothorax.

 LUNGS: Clear since ___.

 IMPRESSION:

 No acute process: stable.

 RECOMMENDATION(S):  Call Dr. ___ at 3:15 p.m.
"""
FINDINGS = "There is no focal consolidation, pleural effusion or pneumothorax.\nLUNGS: Clear since ___."


def test_findings_and_impression_and_nothing_else():
    sections = sections_of(REPORT)
    assert sections["FINDINGS"] == FINDINGS
    assert sections["IMPRESSION"] == "No acute process: stable."
    assert sections["RECOMMENDATION(S)"] == "Call Dr. ___ at 3:15 p.m."
    assert sections_of(REPORT.replace("\n", "\r\n")) == sections


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("", {}),
        ("No section at all.", {}),
        ("FINDINGS: Clear.\nIMPRESSION:\n\n", {"FINDINGS": "Clear."}),
        ("IMPRESSION: Old.\n______\n FINAL REPORT\nIMPRESSION: New.", {"IMPRESSION": "New."}),
        ("IMPRESSION: Kept.\nIMPRESSION:", {"IMPRESSION": "Kept."}),
        ("IMPRESSION: New.\n FINAL ADDENDUM \nADDENDUM: Called.", {"IMPRESSION": "New.", "ADDENDUM": "Called."}),
        ("FINDINGS AND IMPRESSION: Clear.", {"FINDINGS AND IMPRESSION": "Clear."}),
        ("FINDINGS/IMPRESSION: Clear.", {"FINDINGS AND IMPRESSION": "Clear."}),
        ("  FINDING: Clear.\n  IMPRESSIONS: Normal.", {"FINDINGS": "Clear.", "IMPRESSION": "Normal."}),
        ("See FINDINGS: below", {}),
        ("FINDINGS:\n TWO VIEWS OF THE CHEST: Clear.", {"FINDINGS": "TWO VIEWS OF THE CHEST: Clear."}),
        ("IMPRESSION: ___ year old.\n ___", {"IMPRESSION": "___ year old. ___"}),
    ],
)
def test_forms_of_reports(text, sections):
    assert sections_of(text) == sections


def test_the_gold_needs_both():
    assert gold_of("Clear.", "Normal.") == "FINDINGS: Clear.\n\nIMPRESSION: Normal."
    assert gold_of("", "", "Clear.") == "FINDINGS AND IMPRESSION: Clear."
    for given_, lacks in (
        (("Clear.", ""), "IMPRESSION"),
        (("", "x"), "FINDINGS"),
        (("", ""), "FINDINGS and IMPRESSION"),
    ):
        with pytest.raises(PassedOver, match=f"its report lacks {lacks}$"):
            gold_of(*given_)


def test_frontal_views_come_first():
    views = [("", "a"), ("LATERAL", "b"), ("AP", "c"), ("LL", "d"), ("PA", "e")]
    assert shown(views) == ["c", "e", "b", "d"]
    assert shown([("Lateral", "a"), ("Frontal", "b")]) == ["b", "a"]
    assert len(shown(views * 2)) == MOST_VIEWS


# No line is a rule of underscores, which is left out.
TEXTS = st.lists(st.sampled_from(["abc", "XYZ:", "AB CD: x", "___", "9.", " ", "\n"]), max_size=8).map(" ".join)


@given(TEXTS, TEXTS)
def test_what_stands_under_a_header_is_found_whole(findings, impression):
    sections = sections_of(f" FINDINGS: {findings}\n IMPRESSION: {impression}\n NOTIFICATION: none")
    assert sections.get("FINDINGS", "").split() == findings.split()
    assert sections.get("IMPRESSION", "").split() == impression.split()
