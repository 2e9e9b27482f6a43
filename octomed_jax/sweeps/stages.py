"""Which pieces of work make a point of a sweep: a pure function of its config.

The field ``stages`` of a config names its stages in order. A stage is one ``octomed`` command that writes one folder,
named after what decides its result: the fields that it reads (READS), the folders that it reads, and the version. So
points that ask for the same thing share the folder, and nobody is refused a folder that was made with other settings.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax import __version__, storage
from octomed_jax.errors import UserError, did_you_mean

ORDER = ("questions", "sample", "curate", "distill", "verify", "shard", "train", "export", "eval")
BASELINE = "baseline"  # the student before training
SAMPLE = "sample"  # attempts by which the curation step difficulty tells; only for points that read them
# By which `octomed sweep run` is given the folder of a stage that was made elsewhere.
OPTIONS = {"questions": "--questions", "distill": "--attempts", "verify": "--traces", "shard": "--shards"}
STAGES = (*ORDER, BASELINE)
HASH_DIGITS = 10
# How the student is asked depends on these; configuration.answer_format_of.
_FORMAT = ("distill.answer_format", "traces.format", "traces.answer_format")
# The fields that decide a stage's result, or more. Of a stage before it, its folder's name says all. Training and the
# rendering of shards compare the whole of `traces` with the shards, which may have been made elsewhere.
READS: Mapping[str, tuple[str, ...]] = {
    "questions": ("seed", "questions"),
    SAMPLE: ("seed", "distill", "curate.difficulty.samples"),
    "curate": ("seed", "curate"),
    "distill": ("seed", "distill"),
    "verify": ("verify",),
    "shard": ("traces", "shard", "student", "distill.answer_format"),
    "train": ("seed", "train", "mixture", "held_out", "checkpoint", "traces", "shard", "student", _FORMAT[0]),
    "export": ("export",),
    "eval": ("seed", "eval", *_FORMAT),
    BASELINE: ("seed", "train.seed", "eval", "traces", "shard", "student", _FORMAT[0]),
}
# The stage's command, and the option by which it takes the folder of an earlier stage.
COMMANDS: Mapping[str, tuple[tuple[str, ...], Mapping[str, str], str]] = {
    "questions": (("questions", "build"), {}, "output"),
    SAMPLE: (("distill",), {"questions": "questions"}, "output"),
    "curate": (("curate",), {"questions": "questions", SAMPLE: "attempts"}, "output"),
    "distill": (("distill",), {"questions": "questions", "curate": "questions"}, "output"),
    "verify": (("verify",), {"distill": "attempts"}, "output"),
    "shard": (("shard",), {"verify": "traces"}, "output"),
    "train": (("train",), {"shard": "shards"}, "workdir"),
    "export": (("export",), {"train": "checkpoint"}, "output"),
    "eval": (("eval", "run"), {"questions": "questions", "export": "model"}, "output"),
    BASELINE: (("eval", "run"), {"questions": "questions", "shard": "shards"}, "output"),
}
# What `octomed shard` also looks at to tell what an epoch would hold; the shards do not depend on it.
TOLD_BY_SHARD = ("mixture", "train", "held_out")


@dataclasses.dataclass(frozen=True)
class Given:
    """A stage's folder that was made elsewhere: where it lies, and the identity of its manifest."""

    folder: str
    identity: str


@dataclasses.dataclass(frozen=True)
class Work:
    """One command of a sweep.

    Attributes:
        stage: its stage.
        key: name of the folder that it writes, ``STAGE-HASH``.
        name: of the work itself: the key, or ``KEY-STEP`` where training is to wait at a step.
        inputs: earlier stage to the key of its folder, or to the path of one that is given.
        needs: names of the works that must be done before.
        until: the step at which training waits; 0: at its end.
        part, parts: of the checkpoint that is exported, ``part`` of ``parts`` equal parts of the run; 0: its end.
    """

    stage: str
    key: str
    name: str
    inputs: Mapping[str, str]
    needs: tuple[str, ...]
    until: int = 0
    part: int = 0
    parts: int = 0


def stages_of(config: Mapping[str, Any], given: Mapping[str, Given] | None = None) -> tuple[str, ...]:
    """Return the stages that are to be run for a config, without those that are given or before a given one.

    Raises:
        UserError: the field ``stages`` is missing, names what is no stage, is out of order, or lacks a stage that a
            later one needs.
    """
    given = given_to(config, given or {})
    if "stages" not in config:
        raise UserError(f"the config has no field stages; name the stages of a run, such as stages={ORDER}")
    named = config["stages"]
    if isinstance(named, str) or not named:
        raise UserError(f"config.stages={named!r}: the names of stages, such as {ORDER}")
    for stage in named:
        if stage not in STAGES:
            hint = did_you_mean(str(stage), STAGES)
            raise UserError(f"config.stages names {stage!r}, which is no stage{hint}; known: {', '.join(STAGES)}")
        if list(named).count(stage) > 1:
            raise UserError(f"config.stages names {stage!r} twice; remove one of them")
    ordered = [stage for stage in named if stage != BASELINE]
    if ordered != sorted(ordered, key=ORDER.index):
        raise UserError(f"config.stages={tuple(named)} is out of order; it must follow {', '.join(ORDER)}")
    if BASELINE in named and "shard" in named and list(named).index(BASELINE) < list(named).index("shard"):
        raise UserError(f"config.stages={tuple(named)}: {BASELINE!r} must stand after 'shard', which gives the student")
    last_given = max((ORDER.index(stage) for stage in given if stage != SAMPLE), default=-1)
    whose = attempts_of(config)
    # Held-out questions are asked by evaluations too, wherever the traces come from.
    asks = {"eval", BASELINE} & set(named)
    kept = [
        stage
        for stage in named
        if stage not in given
        and (stage != SAMPLE or (whose and "curate" in named))
        and (stage == BASELINE or ORDER.index(stage) > last_given or (stage == "questions" and asks))
    ]
    there = {*kept, *given}
    for stage in kept:
        if stage == SAMPLE and whose == "student":
            raise UserError(
                "config.curate.difficulty.by='student' reads the student's attempts at the questions, which no stage "
                "makes; give them with --student-attempts=DIR"
            )
        for before in _inputs_of(stage, there, config):
            if before not in there:
                cure = f"give its folder with {OPTIONS[before]}=DIR, or " if before in OPTIONS else ""
                raise UserError(f"config.stages has {stage!r} without {before!r}, which it needs; {cure}name that too")
    return tuple(kept)


def works_of(
    config: Mapping[str, Any], given: Mapping[str, Given] | None = None, rungs: Sequence[int] = ()
) -> tuple[Work, ...]:
    """Return the works of a point in order, each after those that it needs.

    Args:
        config: of the point, as plain data.
        given: stages that were made elsewhere.
        rungs: steps at which training waits, for early stopping.

    Raises:
        UserError: as ``stages_of``.
    """
    given = given_to(config, given or {})
    folders = {stage: one.folder for stage, one in given.items()}
    told = {stage: one.identity for stage, one in given.items()}
    last: dict[str, str] = {}  # stage to the name of the work that finishes it
    works: list[Work] = []
    stages = stages_of(config, given)
    there = {*stages, *given}
    marks = [(0, 0)]
    for stage in stages:
        inputs = _inputs_of(stage, there, config)
        for part, parts in marks if stage in ("export", "eval") else [(0, 0)]:
            suffix = f"-{part}" if part else ""
            before = [f"{one}{suffix}" if one == "export" else one for one in inputs]
            key = key_of(stage, config, [told[one] for one in before], part)
            found = Work(
                stage,
                key,
                key,
                {one: folders[place] for one, place in zip(inputs, before, strict=True)},
                tuple(last[place] for place in before if place in last),
                part=part,
                parts=parts,
            )
            for rung in rungs if stage == "train" else ():
                works.append(dataclasses.replace(found, name=f"{key}-{rung}", until=rung))
                found = dataclasses.replace(found, needs=(works[-1].name,))
            works.append(found)
            folders[f"{stage}{suffix}"] = told[f"{stage}{suffix}"] = last[f"{stage}{suffix}"] = key
        if stage == "train":
            marks = marks_of(config)
    return tuple(works)


def key_of(stage: str, config: Mapping[str, Any], before: Sequence[str], part: int = 0) -> str:
    """Return the name of a stage's folder: ``STAGE-HASH`` of all that decides its result."""
    reads = {name: field(config, name) for name in READS[stage]}
    if stage in ("shard", "train", BASELINE) and field(config, "traces.choose") == "random":
        reads["seed"] = config.get("seed")  # by which responses are drawn
    return f"{stage}-{storage.fingerprint([__version__, stage, reads, list(before), part])[:HASH_DIGITS]}"


def attempts_of(config: Mapping[str, Any]) -> str:
    """Return whose attempts the curation of a config reads, ``student`` or ``teacher``; empty: it reads none."""
    by = field(config, "curate.difficulty.by")
    reads = "difficulty" in (field(config, "curate.steps") or ()) and by in ("student", "teacher")
    return str(by) if reads else ""


def given_to(config: Mapping[str, Any], given: Mapping[str, Given]) -> dict[str, Given]:
    """Return the given stages that a config takes: given attempts of the student are for a filter by student alone."""
    return {stage: one for stage, one in given.items() if stage != SAMPLE or attempts_of(config) == "student"}


def marks_of(config: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return the parts of a training run that are exported and measured, as (part, parts); (0, 0) is its end."""
    parts = field(config, "checkpoint.parts") or 0
    return [(part, parts) for part in range(1, parts + 1)] or [(0, 0)]


def epochs_at(config: Mapping[str, Any], work: Work) -> float:
    """Return how far a mark's training is, in epochs; in runs where ``train.epochs`` does not say how long one is."""
    epochs = float(field(config, "train.epochs") or 1)
    return epochs * work.part / work.parts if work.part else epochs


def step_of(work: Work, steps: int) -> int:
    """Return the step of a mark in a run of ``steps`` steps."""
    return round(steps * work.part / work.parts) if work.part else steps


def field(config: Mapping[str, Any], name: str) -> Any:
    """Return a field by its dotted name, None where there is none."""
    node: Any = config
    for part in name.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def words_of(work: Work, output: str, folders: Mapping[str, str], step: int = 0) -> tuple[str, ...]:
    """Return the command of a work after ``octomed``, without its config.

    Args:
        work: the work.
        output: the folder that it writes.
        folders: earlier stage to its folder.
        step: of the checkpoint that is exported; 0: the newest.
    """
    verb, options, target = COMMANDS[work.stage]
    words = [*verb]
    for stage in work.inputs:
        place = f"{folders[stage]}/checkpoints/{step}" if stage == "train" and step else folders[stage]
        words.append(f"--{options[stage]}={place}")
    words.append(f"--{target}={output}")
    if work.until:
        words.append(f"--until={work.until}")
    if work.stage == "export":
        # Every mark is exported; the deeper levels of verification are for the one that is kept.
        words.append("--verify=structure")
    return tuple(words)


def _inputs_of(stage: str, there: set[str], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the stages whose folders a stage reads."""
    inputs = tuple(COMMANDS[stage][1])
    if stage == "distill":
        return ("curate",) if "curate" in there else ("questions",)
    if stage == "curate" and not attempts_of(config):
        return ("questions",)
    return inputs
