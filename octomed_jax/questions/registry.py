"""All adapters of published data sets by name. A new one is one file in ``sources/`` and one word here."""

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.questions.adapter import Adapter
from octomed_jax.questions.sources import (
    aptos,
    bcss,
    brain_tumor_mri,
    chexpert,
    coronahack,
    gmai_mmbench,
    headqa,
    ii_medical,
    iu_xray,
    llava_med,
    medcalc_bench,
    medframeqa,
    medical_o1,
    medmcqa,
    medmnist,
    medqa,
    medvlthinker,
    medxpertqa_mm,
    medxpertqa_text,
    messidor2,
    mimic_cxr,
    mmlu_pro,
    mmmu,
    nejm,
    octomed,
    omnimedvqa,
    pad_ufes,
    pathvqa,
    pmc_instruct,
    pmc_vqa,
    pubmedqa,
    pubmedvision,
    rexvqa,
    slake,
    tfds_sets,
    vqa_rad,
)

MODULES = (
    aptos,
    bcss,
    brain_tumor_mri,
    chexpert,
    coronahack,
    gmai_mmbench,
    headqa,
    ii_medical,
    iu_xray,
    llava_med,
    medcalc_bench,
    medframeqa,
    medical_o1,
    medmcqa,
    medmnist,
    medqa,
    medvlthinker,
    medxpertqa_mm,
    medxpertqa_text,
    messidor2,
    mimic_cxr,
    mmlu_pro,
    mmmu,
    nejm,
    octomed,
    omnimedvqa,
    pad_ufes,
    pathvqa,
    pmc_instruct,
    pmc_vqa,
    pubmedqa,
    pubmedvision,
    rexvqa,
    slake,
    tfds_sets,
    vqa_rad,
)
ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for module in MODULES for adapter in module.SOURCES}


def find_adapter(name: str) -> Adapter:
    """Return an adapter by name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in ADAPTERS:
        hint = did_you_mean(name, list(ADAPTERS))
        raise UserError(f"unknown source {name!r}{hint}; `octomed questions list` has them all")
    return ADAPTERS[name]
