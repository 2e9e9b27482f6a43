"""What the licences of sources ask of whoever passes on what is made of them.

Read from SPDX ids and from the short texts that sources have. No legal advice: what is not known by its name is named,
for a person to read.
"""

import functools
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.plain_text import plain

COLUMNS = ("source", "licence", "access")  # of a question, that its release depends on

NO_DERIVATIVES, SHARE_ALIKE, NON_COMMERCIAL = "no-derivatives", "share-alike", "non-commercial"
AGREEMENT, RESERVED, OWN_TERMS, UNKNOWN = "agreement", "all-rights-reserved", "own-terms", "unknown"
# Term to what a card says of it, in the order of the card; {} are the licences with their sources.
MEANING = {
    NO_DERIVATIVES: "No derivatives: {}. Nothing that is made of them may be passed on.",
    SHARE_ALIKE: "Share-alike: {}. What is made of them may have to be passed on under the same licence.",
    NON_COMMERCIAL: "Non-commercial: {}. Neither they nor what is made of them may be used commercially.",
    AGREEMENT: "Bound by an agreement: {}. It binds whoever has them, or what is made of them.",
    RESERVED: "All rights reserved: {}. Nothing of them may be passed on without a permission.",
    OWN_TERMS: "Terms of their own: {}. Read them before anything is passed on.",
    UNKNOWN: "Licence unknown: {}. Ask who holds the rights before anything is passed on.",
}

# Why a source under such terms is not released unless it is named as one that somebody has read.
_TO_BE_READ = {
    AGREEMENT: "which binds whoever gets it",
    RESERVED: "which allows nothing",
    OWN_TERMS: "which are terms of its own",
    UNKNOWN: "so that it is not known what it allows",
}

_CREATIVE_COMMONS = re.compile(r"(?<![a-z])by(?:[\s_/-]*\d\.\d)?((?:[\s_/-]*(?:nc|nd|sa))+)(?![a-z])")
_WORDS = {
    NO_DERIVATIVES: re.compile(r"\bno[\s-]?deriv"),
    SHARE_ALIKE: re.compile(r"\bshare[\s-]?alike|\b(?:[al]?gpl|gfdl|odbl|mpl|eupl|cecill|osl)(?![a-z]{2})|copyleft"),
    NON_COMMERCIAL: re.compile(r"\bnon[\s-]?commercial|\bresearch (?:use )?only|\bacademic use"),
    RESERVED: re.compile(
        r"\brights (?:are )?reserved|\bproprietary|\bunlicensed\b|\bno (?:licen[cs]e|redistribution|reuse)\b"
        r"|\bnot? (?:be|to be|for) redistribut|©|\bcopyright (?:\(c\)|\d{4})"
    ),
    AGREEMENT: re.compile(r"\bagreement|\bcredentialed|\bphysionet|\brestricted access|\bdua\b"),
}
_FREE = re.compile(
    r"\b(?:apache|mit|bsd|isc|cc0|zlib|psf|pddl|odc-by|unlicense|public[\s-]domain|no[\s-]known[\s-]restrictions)"
    r"(?![a-z])"
    # Of Creative Commons whole ids alone: what more stands behind them may take back what they give.
    r"|\bcc[\s_/-]*by(?:[\s_/-]*\d(?:\.\d)?(?:[\s_-](?:igo|international|unported))?)?\s*(?:$|\()"
    r"|\bcreativecommons\.org/(?:licenses/by|publicdomain/(?:zero|mark))(?:/|$)"
    r"|\bcreative commons (?:attribution|zero)(?: \d\.\d)?(?: (?:international|unported|generic|public|licen[cs]e))*"
    r"\s*(?:$|\()"
)
_UNKNOWN = re.compile(
    r"\W*(?:unknown|other|none|not (?:stated|known)|n/?a|noassertion|no-cc code|as (?:each of )?its)\b"
)


@functools.lru_cache(maxsize=1024)
def terms(licence: str) -> frozenset[str]:
    """Return what a licence asks, some of MEANING; nothing where it is free, but for being named.

    Several licences (``;``, ``AND``) ask all of theirs; of a choice (``OR``), only what each of them asks.
    """
    parts = [part for part in re.split(r";|\sAND\s", licence) if part.strip()]
    return frozenset().union(*map(_choice, parts or [""]))


def _choice(text: str) -> frozenset[str]:
    one, *others = (_terms(part.lower()) for part in re.split(r"\sOR\s", text))
    return one.intersection(*others)


def _terms(text: str) -> frozenset[str]:
    found = {term for term, words in _WORDS.items() if words.search(text)}
    for match in _CREATIVE_COMMONS.finditer(text):
        short = {"nc": NON_COMMERCIAL, "nd": NO_DERIVATIVES, "sa": SHARE_ALIKE}
        found |= {short[word] for word in re.findall("nc|nd|sa", match[1])}
    if not text.strip() or _UNKNOWN.match(text):
        found.add(UNKNOWN)
    elif not found and not _FREE.search(text):
        found.add(OWN_TERMS)
    return frozenset(found)


def notes(licences_by_source: Mapping[str, Iterable[str]], access: Mapping[str, str] | str = "open") -> list[str]:
    """Return what a card says of licences and access, a line each; nothing where all is open and free.

    Args:
        licences_by_source: source to its licences (a Counter will do).
        access: source to its access class, or one of all.
    """
    if isinstance(access, str):
        access = dict.fromkeys(licences_by_source, access)
    lines = []
    if bound := sorted(source for source, one in access.items() if one != "open"):
        names = ", ".join(map(plain, bound))
        lines.append(f"Credentialed: {names}. Their terms of use bind whoever has them, or what is made of them.")
    named: dict[str, set[str]] = {}
    for source, licences in licences_by_source.items():
        for licence in licences:
            named.setdefault(licence, set()).add(source)
    for term, meaning in MEANING.items():
        of_term = [
            f"{plain(licence) or 'none stated'} ({', '.join(map(plain, sorted(sources)))})"
            for licence, sources in sorted(named.items())
            if term in terms(licence)
        ]
        if of_term:
            lines.append(meaning.format("; ".join(of_term)))
    return lines


def refusal(source: str, licence: str, access: str, permitted: Collection[str] = ()) -> str:
    """Return why a question may not stand in what is released; empty where it may.

    Args:
        source, licence, access: of the question.
        permitted: sources whose terms somebody has read, and found that they allow it.
    """
    if access != "open":
        return f"{source} ({licence or 'no licence stated'}) is {access}, whose terms bind whoever gets it"
    asked = terms(licence)
    if NO_DERIVATIVES in asked:
        return f"{source} is under {licence}, which allows no derivatives"
    if source in permitted:
        return ""
    for term, why in _TO_BE_READ.items():
        if term in asked:
            return f"{source} is under {licence.strip() or 'no licence that is stated'}, {why}"
    return ""


def check_release(rows: Iterable[Mapping[str, Any]], where: str, permitted: Collection[str] = ()) -> None:
    """Refuse what may not be released.

    Args:
        rows: questions, with COLUMNS.
        where: the folder that they are of.
        permitted: as in ``refusal``.

    Raises:
        UserError: a source is credentialed or allows no derivatives, or nobody has read its terms; all such sources are
            named.
    """
    kinds = sorted({(row["source"], row["licence"], row["access"]) for row in rows})
    if refused := {kind: why for kind in kinds if (why := refusal(*kind, permitted=permitted))}:
        names = ",".join(sorted({source for source, *_ in refused}))
        to_read = ",".join(sorted({kind[0] for kind in refused if not refusal(*kind, permitted=kind[:1])}))
        read = f", name those whose terms you have read and that allow it (config.traces.permitted={to_read})"
        raise UserError(
            f"config.traces.release: {where} holds what may not be released: {'; '.join(refused.values())}; leave it "
            f"out (config.traces.leave_out={names}){read if to_read else ''}, or set config.traces.release=False for a "
            "corpus that stays where it is"
        )
