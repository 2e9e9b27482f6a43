"""All package sources by name: what a config makes questions of. A new one is one file here and one word below."""

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.questions.packages import (
    brain,
    brain_regions,
    dicom,
    hpo_diseases,
    hpo_terms,
    icd10,
    medcalc,
    medmcqa_sample,
    medplexity,
    mmlu_sample,
    tiles,
    uniprot_diseases,
    who_medicines,
    wordnet,
)
from octomed_jax.questions.packages.source import Source

SOURCES: dict[str, Source] = {
    module.SOURCE.name: module.SOURCE
    for module in (
        brain,
        medcalc,
        icd10,
        dicom,
        medmcqa_sample,
        brain_regions,
        hpo_diseases,
        hpo_terms,
        medplexity,
        mmlu_sample,
        tiles,
        uniprot_diseases,
        who_medicines,
        wordnet,
    )
}


def find_source(name: str) -> Source:
    """Return a source by name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in SOURCES:
        hint = did_you_mean(name, list(SOURCES))
        raise UserError(f"unknown source {name!r} in config.questions{hint}; known: {', '.join(SOURCES)}")
    return SOURCES[name]
