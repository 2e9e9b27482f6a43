"""Reports of chest X-rays: which part of one is its gold, and which images of a study are shown.

A question asks for the findings and the impression; a study whose report lacks one of them is passed over. Marks where
something was taken out so that nobody is known (``___``, ``XXXX``) stay as they are.
"""

import re
from collections.abc import Iterable

from octomed_jax.questions.adapter import PassedOver

WRITE = "Write the findings and impression of this chest X-ray."
MOST_VIEWS = 4  # of one study; of the few that have more, the rest shows the same again
FINDINGS, IMPRESSION, BOTH = "FINDINGS", "IMPRESSION", "FINDINGS AND IMPRESSION"
FRONTAL, LATERAL = ("PA", "AP", "FRONTAL"), ("LATERAL", "LL")

_NAMES = {"FINDING": FINDINGS, "IMPRESSIONS": IMPRESSION, "FINDINGS/IMPRESSION": BOTH, "IMPRESSION AND FINDINGS": BOTH}
_HEADER = re.compile(r"^[ \t]*([A-Z][A-Z ()/,&.-]{2,60}):", re.MULTILINE)
# A line in capitals with a colon begins a section where it holds one of these; others (``HEART:``) are part of one.
_SECTION = re.compile(
    r"\b(?:EXAM|STUDY|INDICATION|HISTORY|REASON|TECHNIQUE|COMPARISON|FINDING|IMPRESSION|CONCLUSION|RECOMMENDATION"
    r"|NOTIFICATION|ADDENDUM|READ|REPORT|PROCEDURE)"
)
# Between an addendum and the report, and what each is called; a mark has three underscores.
_RULE = re.compile(r"^[ \t]*(?:_{5,}|FINAL [A-Z ]{4,40})[ \t\r]*$", re.MULTILINE)


def sections_of(text: str) -> dict[str, str]:
    """Return the sections of a report by name, without those that are empty; of two of one name the last counts."""
    text = _RULE.sub("", text)
    headers = [match for match in _HEADER.finditer(text) if _SECTION.search(match[1])]
    starts = [*(match.start() for match in headers), len(text)]
    found = {}
    for match, end in zip(headers, starts[1:], strict=True):
        name = " ".join(match[1].split())
        if body := tidy(text[match.end() : end]):
            found[_NAMES.get(name, name)] = body
    return found


def tidy(text: str) -> str:
    """Return a text with its paragraphs on a line each."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n[ \t\r]*\n", text))
    return "\n".join(paragraph for paragraph in paragraphs if paragraph)


def gold_of(findings: str, impression: str, both: str = "") -> str:
    """Return the gold of a study.

    Args:
        findings, impression: as the report has them, empty where it does not.
        both: a section that is both.

    Raises:
        PassedOver: the report has not both of them.
    """
    if findings and impression:
        return f"{FINDINGS}: {findings}\n\n{IMPRESSION}: {impression}"
    if both:
        return f"{BOTH}: {both}"
    lacks = FINDINGS if impression else IMPRESSION if findings else f"{FINDINGS} and {IMPRESSION}"
    raise PassedOver(f"its report lacks {lacks}")


def shown(views: Iterable[tuple[str, str]]) -> list[str]:
    """Return the images of a study to be shown, at most MOST_VIEWS, frontal views first.

    Args:
        views: of each image its view (``PA``, ``Lateral``, empty where it is not known), and its name.
    """
    return [name for _, name in sorted(views, key=lambda view: _rank(view[0]))][:MOST_VIEWS]


def _rank(view: str) -> int:
    return 0 if view.upper() in FRONTAL else 1 if view.upper() in LATERAL else 2
