"""What an epoch of training holds of each source, as a config mixes the examples of a folder of shards."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from octomed_jax.evaluation.data_card_chain import Chain
from octomed_jax.inputs.mixture import read_mixture
from octomed_jax.inputs.source_table import source_table
from octomed_jax.training.request import choose, read_rendered

LACKS = "what an epoch holds of each source"


def mixture_of(chain: Chain, config: ConfigDict | None) -> dict[str, Any] | None:
    """Return the mixture that a config asks for, and a row a source; None without a config or a rendering.

    Held-out records are left out, and examples too long for a row of the config.

    Raises:
        UserError: the mixture does not fit the shards, or they were not rendered for the config's student.
        StopAndLook: the index is damaged.
    """
    if config is None or chain.rendered is None:
        return None
    chosen = choose(config, *read_rendered(config, Path(chain.folders["shards"])))
    return {
        "asked": read_mixture(config.mixture).plain,
        "held_out_records": config.held_out.records,
        "sources": source_table(chosen.learned, chosen.numbers()),
    }


def missing_mixture(chain: Chain, config: ConfigDict | None) -> list[dict[str, str]]:
    """Return why there is no mixture, as a row of what is missing; empty where there is one."""
    if config is None:
        return [{"what": "mixture", "why": "no --config was given, which says how sources are mixed", "lacks": LACKS}]
    if chain.rendered is None:
        return [{"what": "mixture", "why": chain.missing["rendering"], "lacks": LACKS}]
    return []
