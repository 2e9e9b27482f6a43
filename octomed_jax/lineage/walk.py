"""From a training row to where it came from: every stage that it went through, with what that stage knows of it.

Each folder is found by the identity that the one after it names. One that is not at hand is named, and the walk ends
there on that way; of a row that is not in the shards the walk says why.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.lineage.chain import Chain, named, start_of
from octomed_jax.lineage.folders import Found, open_folders
from octomed_jax.lineage.learned import learned_from
from octomed_jax.lineage.questions import asked_by
from octomed_jax.lineage.records import find_record, shard_of, wanted_of
from octomed_jax.lineage.rows import find_rows, parts
from octomed_jax.manifests import QUESTION_STAGES
from octomed_jax.storage import PathLike
from octomed_jax.traces.grouped import LAKE, accepted
from octomed_jax.traces.shards import ShardReader
from octomed_jax.verification.check import REASONS


@dataclasses.dataclass
class Walk:
    """What is found of one question.

    Attributes:
        question: its id.
        sample: the only sample that is asked for, or None.
        answer: what became of it, in one line.
        rows: of each attempt, what became of it.
        stages: the folders that it went through, the last one first, each with ``row``: what it knows of the question.
        missing: folders that are not at hand.
    """

    question: str
    sample: int | None
    answer: str = ""
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    stages: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    missing: list[str] = dataclasses.field(default_factory=list)


def trace(row: str, runs: Sequence[PathLike], shards: PathLike | None = None) -> Walk:
    """Walk from a training row to its source.

    Args:
        row: ``QUESTION_ID``, ``QUESTION_ID:SAMPLE`` or ``RECORD/RESPONSE`` of the shards.
        runs: folders of runs or of stages, in which the stages' folders are looked for.
        shards: of which the row is; needed where the runs hold several.

    Raises:
        UserError: there is no such row, or a folder is not there.
        StopAndLook: a file is damaged.
    """
    folders = open_folders([*runs, *([shards] if shards else [])])
    chain = Chain(folders, start_of(folders, shards))
    question, sample = named(row, chain)
    walk = Walk(question, sample)
    _shards(walk, chain)
    _lake(walk, chain)
    _attempts(walk, chain)
    _questions(walk, chain)
    walk.answer = _answer(walk, chain)
    return walk


def _shards(walk: Walk, chain: Chain) -> None:
    """Tell where the question lies in the shards, how it is rendered, and what training did with it."""
    if not (found := chain.shard):
        return
    placed = chain.placed or find_record(ShardReader(found.folder), walk.question)
    chain.placed = placed
    told: dict[str, Any] = {}
    if placed:
        name, number = shard_of(found, placed.number)
        told = {
            "file": name,
            "record_in_file": number,
            "record": placed.number,
            "samples": list(placed.record.samples),
        }
        walk.stages += learned_from(chain.folders, found, placed.number)
    walk.stages.append({**found.about(), "row": told})


def _lake(walk: Walk, chain: Chain) -> None:
    """Tell what was answered, what the verifier read in it, and which of it is trained on."""
    if not _at_hand(walk, chain.shard, chain.verify, "verify"):
        return
    assert chain.verify
    told: dict[str, Any] = {}
    if row := chain.lake:
        fields = row.fields
        told = {
            "file": f"{LAKE}/{row.path.name}",
            "row": row.number,
            "responses": len(fields["responses"]),
            "accepted": len(accepted(fields)),
            "verifier": sorted({verdict["verifier"] for verdict in fields["verdicts"]}),
        }
        walk.rows = [one for one in _rows(fields, chain) if walk.sample in (None, one["sample"])]
    walk.stages.append({**chain.verify.about(), "row": told})


def _rows(fields: Mapping[str, Any], chain: Chain) -> list[dict[str, Any]]:
    """Return of each attempt who made it, what was read in it, and what became of it."""
    settings = chain.shard.manifest.config.get("traces", {}) if chain.shard else None
    wanted = wanted_of(chain.shard, fields) if chain.shard and settings else None
    record = chain.placed.record if chain.placed else None
    rows = []
    for place, (attempt, verdict) in enumerate(zip(fields["attempts"], fields["verdicts"], strict=True)):
        sample = attempt["sample_index"]
        row: dict[str, Any] = {
            "id": f"{fields['id']}:{sample}",
            "sample": sample,
            "attempt": attempt,
            "verdict": verdict,
        }
        order = attempt["option_order"] or []
        row["options"] = [fields["options"][one] for one in order] if order else list(fields["options"] or ())
        row["characters"] = len(fields["responses"][place] or "")
        if record and sample in record.samples:
            row["response"] = record.samples.index(sample)
        row["became"], row["why"] = _became(row, wanted.samples if wanted else (), settings)
        rows.append(row)
    return rows


def _became(row: Mapping[str, Any], wanted: Sequence[int], settings: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return what became of an attempt, and why."""
    verdict = row["verdict"]
    known = REASONS.get(verdict["reason"], verdict["reason"]).partition(": ")[2]
    if "response" in row:
        return "in the shards", ""
    if verdict["verdict"] != "correct":
        return "rejected", f"{verdict['verdict']} ({verdict['reason']}): {known}"
    if settings is None:
        return "accepted", "no shards are at hand"
    if row["sample"] in wanted:
        return "lost", "it is to be in the shards and is not; `octomed data check` says what does not fit"
    how = ", ".join(f"traces.{name}={value}" for name, value in settings.items())
    others = ", ".join(map(str, wanted)) or "none"
    return "not chosen", f"with {how} the shards have of this question the samples: {others}"


def _attempts(walk: Walk, chain: Chain) -> None:
    """Tell where the attempts themselves lie."""
    if not _at_hand(walk, chain.verify, chain.distill, "distill"):
        return
    assert chain.distill
    columns = ["question_id", "sample_index", "teacher", "verdict", "reason", "verifier"]
    found = find_rows(parts(chain.distill.folder / "attempts"), "question_id", walk.question, columns)
    told: dict[str, Any] = {}
    if found:
        told = {
            "file": f"attempts/{found[0].path.name}",
            "first_row": found[0].number,
            "attempts": len(found),
            "teachers": sorted({one.fields["teacher"] for one in found}),
        }
    walk.stages.append({**chain.distill.about(), "row": told, "teachers": _teachers(chain.distill)})


def _teachers(found: Found) -> list[dict[str, Any]]:
    return [dict(one) for one in found.manifest.extra.get("teachers", ())]


def _questions(walk: Walk, chain: Chain) -> None:
    """Tell which folders of questions it went through, and which row of a source it is."""
    first = [chain.asked] if chain.asked else []
    unknown = chain.lake is None and chain.placed is None  # then any folder of questions may say why
    if not _at_hand(walk, chain.distill, chain.asked, "questions") and unknown:
        first = list(reversed(chain.folders.of(*QUESTION_STAGES)))
    told: dict[str, dict[str, Any]] = {}
    for one in first:
        if str(one.folder) not in told:
            stages = asked_by(chain.folders, one, walk.question, walk.missing) or [{**one.about(), "row": {}}]
            told |= {stage["folder"]: stage for stage in stages}
    walk.stages += told.values()


def _at_hand(walk: Walk, after: Found | None, found: Found | None, name: str) -> bool:
    if found:
        return True
    if after and (identity := after.manifest.inputs.get(name)):
        what = {"verify": "traces", "distill": "attempts"}.get(name, name)
        walk.missing.append(f"not at hand: {what} folder of identity {identity}, of which {after.folder} is made")
    return False


def _answer(walk: Walk, chain: Chain) -> str:
    """Return in one line what became of the row."""
    name = walk.question if walk.sample is None else f"{walk.question}:{walk.sample}"
    if walk.sample is not None and walk.rows:
        [row] = walk.rows
        if row["became"] != "in the shards":
            return f"{name} is not in the shards: {row['became']}, {row['why']}"
    if chain.placed:
        inside = [row for row in walk.rows if row["became"] == "in the shards"]
        count = len(inside) if walk.rows else len(chain.placed.record.responses)
        assert chain.shard
        which = f"response {inside[0]['response']}" if walk.sample is not None and inside else f"{count} responses"
        where = f"{name} is in the shards {chain.shard.folder}: record {chain.placed.number}, {which}"
        return where + "".join(_not_learned(stage) for stage in walk.stages if stage["stage"] == "train")
    return f"{name} is not in the shards: {_why(walk, chain)}"


def _not_learned(run: Mapping[str, Any]) -> str:
    """Return why a training run has not learned from a record that is in its shards, if it has not."""
    row = run["row"]
    if row.get("held_out"):
        return f"; {run['folder']} has held it out of training"
    if row.get("left_out_by_mixture"):
        return f"; the mixture of {run['folder']} leaves its source out"
    if "could_not_be_read" in row:
        return f"; {run['folder']} could not read it ({row['could_not_be_read'][0]['problem']})"
    if "longer_than_a_row" in row:
        return f"; of {run['folder']} a row is too short for the responses {row['longer_than_a_row']}"
    return ""


def _why(walk: Walk, chain: Chain) -> str:
    """Return why a question is not in the shards."""
    known = [stage["row"] for stage in walk.stages if stage["stage"] in QUESTION_STAGES and stage["row"]]
    for row in known:
        if removed := row.get("removed"):
            like = f", like {removed['match']}" if removed["match"] else ""
            return f"taken out by curation, step {removed['step']} ({removed['reason']}){like}"
    if any(row.get("split") == "test" for row in known):
        return "held out: a question of the split test is evaluated with and never learned from"
    if walk.rows:
        became: dict[str, int] = {}
        for row in walk.rows:
            became[row["became"]] = became.get(row["became"], 0) + 1
        return "of its attempts " + ", ".join(f"{count} {what}" for what, count in became.items())
    if chain.lake:
        return "no teacher was asked about it"
    if not chain.verify and chain.shard:
        return "none of their records is of it"
    if chain.verify and known:
        return f"{chain.start.folder} was made without it: it stands in questions of which those attempts were not made"
    return "no stage after its questions is at hand"
