"""How a corpus came about, by source: questions from built to sharded, attempts from asked to training rows."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from etils import epath

from octomed_jax import storage
from octomed_jax.errors import StopAndLook
from octomed_jax.evaluation.curated_data import read_figures
from octomed_jax.evaluation.data_card_chain import Chain
from octomed_jax.evaluation.report_data import FUNNEL_STEPS
from octomed_jax.traces.lake import iterate_rows

QUESTION_STEPS = ("built", "curated", "asked", "with_trace", "in_shards")
ATTEMPT_STEPS = (*FUNNEL_STEPS, "in_shards")
QUESTIONS_FILE = "questions.parquet"


def curation_of(chain: Chain) -> dict[str, Any]:
    """Return what curation took out, as in the report of curated questions; or that there was none, or nobody knows.

    Raises:
        StopAndLook: a file of the curated folder is damaged.
    """
    if chain.curation != "curated":
        return {"state": chain.curation}
    return {"state": "curated", **read_figures(chain.folders["curated"], chain.manifests["curated"])}


def funnel_of(chain: Chain, curation: Mapping[str, Any], sharded: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return the counts of every step by source, with their total; a step that is not known is None everywhere.

    Args:
        chain: the folders.
        curation: of ``curation_of``.
        sharded: source to its ``questions`` and ``instances`` in the shards.

    Raises:
        StopAndLook: a file is damaged.
    """
    built, curated = _built(chain, curation)
    traced = _traced(chain)
    if traced is not None:
        _check(chain, traced, sharded)
    names = sorted({*sharded, *(built or ()), *(traced or ())})
    rows = {}
    for name in names:
        here, funnel = sharded.get(name, {"questions": 0, "instances": 0}), (traced or {}).get(name)
        asked = {step: funnel[step] if funnel else 0 for step in FUNNEL_STEPS} if traced is not None else {}
        rows[name] = {
            "questions": {
                "built": built.get(name, 0) if built is not None else None,
                "curated": curated.get(name, 0) if curated is not None else None,
                "asked": (funnel["questions"] if funnel else 0) if traced is not None else None,
                "with_trace": (funnel["questions_kept"] if funnel else 0) if traced is not None else None,
                "in_shards": here["questions"],
            },
            "attempts": {
                **{step: asked.get(step) for step in FUNNEL_STEPS},
                "published": funnel.get("published", 0) if funnel else 0,
                "in_shards": here["instances"],
            },
        }
    total = {
        kind: {step: _sum([row[kind][step] for row in rows.values()]) for step in (*steps, *more)}
        for kind, steps, more in (("questions", QUESTION_STEPS, ()), ("attempts", ATTEMPT_STEPS, ("published",)))
    }
    return {"sources": rows, "total": total}


def _check(chain: Chain, traced: Mapping[str, Mapping[str, int]], sharded: Mapping[str, Mapping[str, int]]) -> None:
    for name, row in sharded.items():
        kept = traced[name]["kept"] if name in traced else 0
        if row["instances"] > kept:
            raise StopAndLook(
                f"{chain.folders['traces'] / 'funnel.json'} tells of {kept:,} traces of {name}, the shards hold "
                f"{row['instances']:,}; run `octomed verify` and `octomed shard` again into other folders"
            )


def _sum(values: "list[int | None]") -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _built(chain: Chain, curation: Mapping[str, Any]) -> tuple[dict[str, int] | None, dict[str, int] | None]:
    """Return source to how many questions were built, and how many curation left; None where it is not known."""
    if curation["state"] == "curated":
        sources = curation["sources"]
        return {name: row["before"] for name, row in sources.items()}, {n: row["after"] for n, row in sources.items()}
    if "questions" not in chain.folders:
        return None, None
    counts = Counter(row["source"] for row in iterate_rows(chain.folders["questions"] / QUESTIONS_FILE, ["source"]))
    return dict(counts), None


def _traced(chain: Chain) -> dict[str, Mapping[str, int]] | None:
    """Return ``sources`` of funnel.json; None without traces.

    Raises:
        StopAndLook: it is damaged.
    """
    if "traces" not in chain.folders:
        return None
    path: epath.Path = chain.folders["traces"] / "funnel.json"
    table = storage.read_json(path)
    wanted = (*FUNNEL_STEPS, "questions", "questions_kept")
    sources = table.get("sources") if isinstance(table, dict) else None
    if not isinstance(sources, dict) or not all(name in row for row in sources.values() for name in wanted):
        raise StopAndLook(f"{path} is not as it was written; run `octomed verify` again into another folder")
    return sources
