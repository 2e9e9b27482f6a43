"""The works of a point: which folders points share, the commands, and what config.stages may say."""

import itertools
from pathlib import Path

import pytest

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.sweeps.stages import Given, Work, epochs_at, stages_of, step_of, words_of, works_of

DEMO = str(Path(__file__).resolve().parents[2] / "configs/demo.py:tiny")
ALL = ("questions", "curate", "distill", "verify", "shard", "baseline", "train", "export", "eval")


def demo(**changes):
    """The demo's config as plain data, with dotted fields (``__`` for a dot) changed."""
    config = configuration.plain(configuration.load(DEMO))
    for name, value in {"stages": ALL, **changes}.items():
        *parents, leaf = name.split("__")
        node = config
        for part in parents:
            node = node[part]
        node[leaf] = value
    return config


def keys(config, **how) -> dict[str, str]:
    return {work.stage: work.key for work in works_of(config, **how)}


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"questions__medmcqa_sample__test": 7}, ()),
        ({"curate__deduplicate__threshold": 0.9}, ("questions",)),
        ({"distill__temperature": 0.7}, ("questions", "curate")),
        ({"verify__threshold": 0.6}, ("questions", "curate", "distill")),
        ({"traces__per_question": 1}, ("questions", "curate", "distill", "verify")),
        ({"shard__max_pixels": 6272}, ("questions", "curate", "distill", "verify")),
        ({"student__vocab_size": 900}, ("questions", "curate", "distill", "verify")),
        ({"train__peak_learning_rate": 1.0}, ("questions", "curate", "distill", "verify", "shard", "baseline")),
        ({"train__seed": 3}, ("questions", "curate", "distill", "verify", "shard")),
        ({"mixture__weights": "brain=1"}, ("questions", "curate", "distill", "verify", "shard", "baseline")),
        ({"checkpoint__every": 4}, ("questions", "curate", "distill", "verify", "shard", "baseline")),
        ({"export__dtype": "bfloat16"}, (*ALL[:7],)),
        ({"eval__seeds": 2}, ("questions", "curate", "distill", "verify", "shard", "train", "export")),
        ({"seed": 4}, ()),
        ({"name": "other", "run": "elsewhere", "stages": ALL}, ALL),
    ],
)
def test_points_share_the_stages_that_do_not_read_what_differs(changes, shared):
    one, other = keys(demo()), keys(demo(**changes))
    assert tuple(stage for stage in ALL if one[stage] == other[stage]) == shared


def test_the_seed_counts_for_shards_where_traces_are_drawn_by_it():
    given = {"verify": Given("made/traces", "abc")}
    one, other = (keys(demo(seed=seed), given=given)["shard"] for seed in (0, 1))
    assert one == other
    one, other = (keys(demo(seed=seed, traces__choose="random"), given=given)["shard"] for seed in (0, 1))
    assert one != other


def test_names_are_folders_and_kubernetes_names():
    for work in works_of(demo(), rungs=(3, 5)):
        assert work.name.replace("-", "").isalnum()
        assert len(work.name) < 40


def test_every_work_stands_after_those_that_it_needs():
    works = works_of(demo(checkpoint__parts=2), rungs=(3, 5))
    seen: set[str] = set()
    for work in works:
        assert set(work.needs) <= seen
        seen.add(work.name)
    assert [work.until for work in works if work.stage == "train"] == [3, 5, 0]
    assert [work.part for work in works if work.stage == "eval"] == [1, 2]
    assert len({work.key for work in works if work.stage == "train"}) == 1
    assert works_of(demo())[-1].needs == (works_of(demo())[0].name, works_of(demo())[-2].name)


@pytest.mark.parametrize(
    ("given", "stages"),
    [
        ("questions", ALL[1:]),
        ("distill", ("questions", *ALL[3:])),
        ("verify", ("questions", *ALL[4:])),
        ("shard", ("questions", *ALL[5:])),
    ],
)
def test_a_given_stage_and_those_before_it_are_not_run(given, stages):
    assert stages_of(demo(), {given: Given("made", "abc")}) == stages
    one, other = (keys(demo(), given={given: Given("made", identity)}) for identity in ("abc", "abd"))
    assert one["train"] != other["train"]


def test_given_shards_without_an_evaluation_take_no_questions():
    config = demo(stages=("questions", "distill", "verify", "shard", "train"))
    assert stages_of(config, {"shard": Given("made", "abc")}) == ("train",)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (("questions", "distil"), "names 'distil', which is no stage .did you mean 'distill'"),
        (("questions", "questions"), "names 'questions' twice"),
        (("distill", "questions"), "is out of order"),
        (("questions", "distill", "curate"), "is out of order"),
        (("questions", "distill", "verify", "baseline", "shard"), "'baseline' must stand after 'shard'"),
        (("questions", "verify"), "has 'verify' without 'distill'"),
        (("distill",), "has 'distill' without 'questions'"),
        ("questions", "the names of stages"),
        ((), "the names of stages"),
    ],
)
def test_wrong_stages_are_refused(stages, message):
    with pytest.raises(UserError, match=message):
        stages_of(demo(stages=stages))


FILTERED = ("questions", "sample", "curate", "distill", "verify", "shard", "train", "export", "eval")


def filtered(by: str, **changes):
    """A config with the stage ``sample`` whose curation filters by difficulty, by somebody; empty: not at all."""
    steps = ("deduplicate", "difficulty") if by else ("deduplicate",)
    return demo(**{"stages": FILTERED, "curate__steps": steps, "curate__difficulty__by": by or "student", **changes})


def test_a_filter_by_teacher_reads_the_attempts_of_the_stage_sample():
    works = {work.stage: work for work in works_of(filtered("teacher"))}
    assert tuple(works) == FILTERED
    assert works["curate"].inputs == {stage: works[stage].key for stage in ("questions", "sample")}
    assert works["distill"].inputs == {"curate": works["curate"].key}
    folders = {stage: f"sweep/{stage}" for stage in FILTERED}
    assert words_of(works["sample"], "out", folders) == ("distill", "--questions=sweep/questions", "--output=out")
    assert words_of(works["curate"], "out", folders) == (
        "curate", "--questions=sweep/questions", "--attempts=sweep/sample", "--output=out",
    )  # fmt: skip


def test_what_is_sampled_counts_for_what_is_curated():
    one, other = (keys(filtered("teacher", distill__temperature=heat)) for heat in (0.6, 0.7))
    assert [stage for stage in FILTERED if one[stage] == other[stage]] == ["questions"]
    one, other = (keys(filtered("teacher", curate__difficulty__most=most)) for most in (14, 15))
    assert [stage for stage in FILTERED if one[stage] == other[stage]] == ["questions", "sample"]


@pytest.mark.parametrize("by", ["judge", ""])
def test_others_leave_out_the_stage_sample(by):
    given = {"sample": Given("made/tried", "abc")}
    assert stages_of(filtered(by)) == tuple(stage for stage in FILTERED if stage != "sample")
    assert works_of(filtered(by), given) == works_of(filtered(by))
    assert stages_of(filtered("teacher"), given) == FILTERED, "given are the student's"


def test_a_filter_by_student_reads_given_attempts():
    with pytest.raises(UserError, match="give them with --student-attempts=DIR"):
        stages_of(filtered("student"))
    one, other = (
        {work.stage: work for work in works_of(filtered("student"), {"sample": Given("made/tried", identity)})}
        for identity in ("abc", "abd")
    )
    assert "sample" not in one
    assert one["curate"].inputs == {"questions": one["questions"].key, "sample": "made/tried"}
    assert one["curate"].key != other["curate"].key
    assert stages_of(filtered("student"), {"distill": Given("made", "abc")})[:2] == ("questions", "verify")


def test_a_filter_without_the_stage_sample_is_refused():
    with pytest.raises(UserError, match="has 'curate' without 'sample'"):
        stages_of(filtered("teacher", stages=ALL))


def test_a_config_without_stages_is_refused():
    with pytest.raises(UserError, match="has no field stages"):
        stages_of({"seed": 0})


def test_stages_may_leave_out_any_that_is_not_needed():
    for count, there in itertools.product(range(1, 8), (True, False)):
        named = ("questions", *(["curate"] if there else []), "distill", "verify", "shard", "train", "export", "eval")
        assert stages_of(demo(stages=named[:count])) == named[:count]


def test_the_words_of_a_work():
    works = {work.name: work for work in works_of(demo(checkpoint__parts=2), rungs=(3,))}
    by_stage = {(work.stage, work.part, work.until): work for work in works.values()}
    folders = {stage: f"sweep/{stage}" for stage in ALL}
    words = {key: words_of(work, "out", folders, 4 if work.part else 0)[0:] for key, work in by_stage.items()}
    assert words["questions", 0, 0] == ("questions", "build", "--output=out")
    assert words["distill", 0, 0] == ("distill", "--questions=sweep/curate", "--output=out")
    assert words["train", 0, 3] == ("train", "--shards=sweep/shard", "--workdir=out", "--until=3")
    assert words["export", 1, 0] == (
        "export", "--checkpoint=sweep/train/checkpoints/4", "--output=out", "--verify=structure",
    )  # fmt: skip
    assert words["eval", 2, 0] == ("eval", "run", "--questions=sweep/questions", "--model=sweep/export", "--output=out")
    assert words["baseline", 0, 0][2:] == ("--questions=sweep/questions", "--shards=sweep/shard", "--output=out")


@pytest.mark.parametrize(
    ("epochs", "part", "parts", "x", "step"),
    [(0.0, 0, 0, 1.0, 100), (3.0, 0, 0, 3.0, 100), (3.0, 1, 3, 1.0, 33), (3.0, 2, 3, 2.0, 67), (0.0, 1, 4, 0.25, 25)],
)
def test_where_a_mark_is(epochs, part, parts, x, step):
    work = Work("eval", "eval-1", "eval-1", {}, (), part=part, parts=parts)
    assert epochs_at({"train": {"epochs": epochs}}, work) == pytest.approx(x)
    assert step_of(work, 100) == step
