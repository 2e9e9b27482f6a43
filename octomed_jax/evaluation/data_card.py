"""The card of a corpus: ``CARD.md``, ``card.html``, ``card.json`` and ``keys.npz`` of a folder of shards.

It says for this corpus what the paper's Figure 2 says for the paper's, how the corpus came about, what was taken out
of it, under which licences it stands and who wrote the responses. It reads finished folders and changes none of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from octomed_jax import licences, storage
from octomed_jax.evaluation import data_card_markdown, data_card_page, paper_corpus
from octomed_jax.evaluation.data_card_chain import Chain, missing_rows, read_chain, teachers
from octomed_jax.evaluation.data_card_count import access_of, count_shards, licence_rows, not_open
from octomed_jax.evaluation.data_card_funnel import curation_of, funnel_of
from octomed_jax.evaluation.data_card_keys import KEYS_FILE, Keys, write_keys
from octomed_jax.evaluation.data_card_lengths import Tokens
from octomed_jax.evaluation.data_card_mixture import missing_mixture, mixture_of
from octomed_jax.evaluation.data_card_samples import read_samples
from octomed_jax.traces.shards import ShardReader

CARD_VERSION = 1
JSON_FILE, PAGE_FILE, MARKDOWN_FILE = "card.json", "card.html", "CARD.md"
FOLDER = "card"  # of a folder of shards


def write_data_card(
    shards: storage.PathLike,
    output: storage.PathLike | None = None,
    named: Mapping[str, storage.PathLike] | None = None,
    run: storage.PathLike | None = None,
    config: ConfigDict | None = None,
) -> tuple[epath.Path, dict[str, Any]]:
    """Write the card of a corpus; return its folder and the content of card.json. Equal folders give equal bytes.

    Args:
        shards: what ``octomed shard`` wrote.
        output: folder to write (default: ``card`` in that of the shards).
        named: kind (``traces``, ``attempts``, ``curated``, ``questions``) to the folder that the corpus came from.
        run: a run's folder in which those that are not named are looked for.
        config: says for which student lengths are counted, where the shards were rendered for several, and how an
            epoch mixes them.

    Raises:
        UserError: there are no finished shards, or a folder belongs to other ones.
        StopAndLook: a file of a folder is damaged.
    """
    folder = epath.Path(output) if output else epath.Path(shards) / FOLDER
    chain = read_chain(shards, named or {}, run, config)
    table, keys, samples = describe(chain, config)
    storage.write_text(folder / MARKDOWN_FILE, data_card_markdown.write_card(table, samples))
    storage.write_text(folder / PAGE_FILE, data_card_page.write_page(table, samples))
    write_keys(folder / KEYS_FILE, keys)
    table = {**table, "keys_sha256": storage.sha256_file(folder / KEYS_FILE)}
    storage.write_json(folder / JSON_FILE, table)
    return folder, table


def describe(
    chain: Chain, config: ConfigDict | None = None
) -> tuple[dict[str, Any], Keys, dict[str, list[dict[str, Any]]]]:
    """Return the content of card.json, the hashes of what there is, and the sample traces. Errors as above."""
    manifest = chain.manifests["shards"]
    place = Path(chain.folders["shards"])
    tally = count_shards(place, manifest, Tokens(chain.rendered) if chain.rendered else None)
    counted, keys = tally.finish()
    curation = curation_of(chain)
    samples = read_samples(ShardReader(place), tally.samples())
    rendered = storage.read_json(chain.rendered / "manifest.json")["counts"] if chain.rendered else None
    table = {
        "card_version": CARD_VERSION,
        "shards": manifest.identity,
        **counted,
        "rendered": rendered,
        "funnel": funnel_of(chain, curation, counted["by"]["source"]),
        "curation": curation,
        "mixture": mixture_of(chain, config),
        "access": manifest.access,
        "licences": licence_rows(tally),
        "licence_notes": licences.notes(tally.licences, access_of(tally)),
        "teachers": teachers(chain),
        "settings": dict(manifest.config),
        "samples": {
            "shown": {source: [one["id"] for one in found] for source, found in samples.items()},
            "not_open_hidden": not_open(tally),
        },
        "missing": [*missing_rows(chain), *missing_mixture(chain, config)],
        "paper": paper_corpus.table(),
        "code": {"version": manifest.code_version, "commit": manifest.code_commit},
    }
    return table, keys, samples
