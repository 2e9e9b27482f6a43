"""The finished folders that a corpus came from: shards, a rendering of them, traces, attempts, curated questions.

Each must be the one that the next was made of, by the identities in their manifests. What is not there is named, and
nothing is guessed in its place.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from octomed_jax import manifests
from octomed_jax.errors import UserError
from octomed_jax.hf.rendering import rendering, renderings
from octomed_jax.manifests import Manifest
from octomed_jax.storage import PathLike
from octomed_jax.traces.choose import check_written

# kind of a folder -> (stages that write it, the kind that was made of it)
KINDS = {
    "traces": (("verify",), ("shards",)),
    "attempts": (("distill",), ("traces",)),
    "curated": (("curate",), ("attempts",)),
    "questions": (("questions",), ("curated", "attempts")),
}
WITHOUT = {  # what a card then lacks
    "rendering": "lengths in tokens",
    "traces": "the funnel of attempts and the accepted share",
    "attempts": "the link from the traces to the questions",
    "curated": "what curation took out, and so what was found of held-out questions",
    "questions": "how many questions were built",
}


@dataclasses.dataclass
class Chain:
    """What a corpus came from, as far as it is there.

    Attributes:
        folders: kind to folder, ``shards`` among them.
        manifests: kind to manifest.
        rendered: the folder of a rendering, if there is one.
        missing: what is not there to why.
        unproven: kinds that are there, but what they were joined to the shards by is not.
    """

    folders: dict[str, epath.Path]
    manifests: dict[str, Manifest]
    rendered: Path | None = None
    missing: dict[str, str] = dataclasses.field(default_factory=dict)
    unproven: list[str] = dataclasses.field(default_factory=list)

    @property
    def curation(self) -> str:
        """``curated``, ``not curated`` or ``unknown``."""
        if "curated" in self.manifests:
            return "curated"
        asked = self.manifests["attempts"].inputs.values() if "attempts" in self.manifests else ()
        built = self.manifests.get("questions")
        return "not curated" if built and built.identity in asked else "unknown"


def read_chain(
    shards: PathLike, named: Mapping[str, PathLike], run: PathLike | None = None, config: ConfigDict | None = None
) -> Chain:
    """Read the manifests of a corpus and of what it came from.

    Args:
        shards: what ``octomed shard`` wrote.
        named: kind to folder, as the user gave them; they must be there and fit.
        run: a run's folder in which the others are looked for.
        config: names the rendering; without it there must be one at most.

    Raises:
        UserError: there are no finished shards, or a named folder is not finished or belongs to other shards.
    """
    place = epath.Path(shards)
    chain = Chain({"shards": place}, {"shards": manifests.read_manifest(place, "shard")})
    for kind in KINDS:
        if kind in named:
            _join(chain, kind, epath.Path(named[kind]), is_named=True)
        elif run is not None:
            _join(chain, kind, epath.Path(run) / kind, is_named=False)
        else:
            chain.missing[kind] = f"no --{kind} was given"
    if chain.curation == "not curated":
        chain.missing.pop("curated", None)
    elif "curated" in chain.manifests and "questions" not in chain.manifests:
        chain.missing.pop("questions", None)  # the curated folder says how many went in
    _find_rendering(chain, Path(shards), config)
    return chain


def _join(chain: Chain, kind: str, folder: epath.Path, is_named: bool) -> None:
    stages, after = KINDS[kind]
    if not is_named and not manifests.is_finished(folder):
        chain.missing[kind] = f"{folder.name} is {'not finished' if folder.exists() else 'not there'}"
        return
    manifest = manifests.read_manifest(folder, *stages)
    nearest = next((chain.manifests[one] for one in after if one in chain.manifests), None)
    if nearest is not None and manifest.identity not in nearest.inputs.values():
        made_of = f"what `octomed {manifests.COMMANDS.get(nearest.stage, nearest.stage)}` read for these shards"
        if is_named:
            raise UserError(f"--{kind}={folder} is not {made_of}; name the folder that is, or leave it out")
        chain.missing[kind] = f"{folder.name} is there, and is not {made_of}"
        return
    if nearest is None and not is_named:
        chain.missing[kind] = f"{folder.name} cannot be told to belong to these shards without {' or '.join(after)}"
        return
    if nearest is None or any(one in chain.unproven for one in after):
        chain.unproven.append(kind)
    chain.folders[kind], chain.manifests[kind] = folder, manifest


def _find_rendering(chain: Chain, shards: Path, config: ConfigDict | None) -> None:
    made = renderings(shards)
    if config is not None:
        check_written(config, shards)
    if not made:
        chain.missing["rendering"] = "the shards were not rendered for a student yet"
    elif config is not None:
        chain.rendered = rendering(config, shards)
    elif len(made) > 1:
        raise UserError(
            f"{shards} was rendered for {len(made)} students; say with --config=FILE whose tokenizer counts the lengths"
        )
    else:
        chain.rendered = made[0]


def missing_rows(chain: Chain) -> list[dict[str, str]]:
    """Return what is missing as rows: what, why, and what the card lacks without it."""
    rows = [{"what": kind, "why": why, "lacks": WITHOUT[kind]} for kind, why in chain.missing.items()]
    for kind in chain.unproven:
        why = "taken as given: the folders between it and the shards were not named"
        rows.append({"what": f"proof of {kind}", "why": why, "lacks": "the link to the shards"})
    return rows


def teachers(chain: Chain) -> list[Mapping[str, Any]]:
    """Return the teachers of a corpus as its manifest names them."""
    return list(chain.manifests["shards"].extra.get("teachers", ()))
