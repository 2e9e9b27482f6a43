"""The registry of evaluation sets: names, folders and splits, and what is told of each."""

import pytest
from curation_helpers import curated, held, make, make_config, text, write_attempts, write_folder

from octomed_jax.curation.evaluation_sets import EvaluationSet, evaluation_sets
from octomed_jax.errors import UserError
from octomed_jax.traces import lake


def registered(**sets):
    return make_config(["decontaminate"], against={name: {"folder": str(one), "split": split}
                                                   for name, (one, split) in sets.items()})  # fmt: skip


@pytest.fixture
def folders(tmp_path):
    mine = [make(f"{index}", text(index)) for index in range(6)]
    write_folder(tmp_path / "mine", [*mine, held("own", text(0))])
    one = [held("bone 1", text(1), benchmark="bones", licence="CC-BY-4.0"), make("bone 2", text(2), benchmark="bones")]
    write_folder(tmp_path / "bones" / "questions", one)
    write_folder(tmp_path / "skin" / "curated", [held("skin 3", text(3)), make("skin 4", text(4))])
    return tmp_path


def test_the_config_names_sets_with_a_folder_and_a_split(folders):
    config = registered(bones=(folders / "bones/questions", "all"), skin=(folders / "skin/curated", "train"))
    left, gone, manifest = curated(folders / "out", folders / "mine", config)
    assert set(left) == {"made:3", "made:5"}
    assert {name: (row["match"], row["match_set"], row["match_benchmark"]) for name, row in gone.items()} == {
        "made:0": ("made:own", "held out", "made"),
        "made:1": ("made:bone 1", "bones", "bones"),
        "made:2": ("made:bone 2", "bones", "bones"),
        "made:4": ("made:skin 4", "skin", "made"),
    }
    assert manifest.counts["steps"][0]["matched"] == {
        "held out": {"removed": 1, "held_out": 1, "of": 1},
        "bones": {"removed": 2, "held_out": 2, "of": 2},
        "skin": {"removed": 1, "held_out": 1, "of": 1},
    }
    assert manifest.config["against"] == {"bones": "all", "skin": "train"}
    assert set(manifest.inputs) == {"questions 1", "against bones", "against skin"}
    assert manifest.counts["test"] == 1
    card = (folders / "out" / "card.md").read_text()
    assert "- Taken out for bones: 2, like 2 of 2" in card
    assert f"- against bones: `{manifest.inputs['against bones']}`; all its questions, compared with" in card
    assert "- Licence: CC-BY-4.0" not in card
    assert "- Licence of questions taken out, and of those they are like: CC-BY-4.0" in card


def test_the_command_adds_to_them_in_any_order(folders):
    write_folder(folders / "other", [held("other", text(5))])
    config = registered(bones=(folders / "bones/questions", "test"))
    given = [f"own=x={folders / 'bones/questions'}", folders / "skin/curated"]
    assert [one.name for one in evaluation_sets(config.curate.against, given)] == ["bones", "own", "skin"]
    one, other = ([folders / "skin/curated", f"other={folders / 'other'}"] for _ in range(2))
    other.reverse()
    manifests = [curated(folders / f"out {number}", folders / "mine", config, against=against)[2]
                 for number, against in enumerate((one, other))]  # fmt: skip
    assert manifests[0] == manifests[1]
    rows = [list(lake.iterate_rows(folders / f"out {number}" / "removed.parquet")) for number in range(2)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("given", "name", "folder"),
    [
        ("runs/medqa/questions", "medqa", None),
        ("runs/medqa/curated", "medqa", None),
        ("runs/medqa", "medqa", None),
        ("/data/med qa/questions/", "med_qa", None),
        ("gs://bucket/medqa/questions", "medqa", None),
        ("MedQA=runs/x/questions", "MedQA", "runs/x/questions"),
        ("a b=c", "a_b_c", None),
    ],
)
def test_a_set_without_a_name_has_that_of_its_folder(given, name, folder):
    assert evaluation_sets({}, [given]) == (EvaluationSet(name, folder or given),)


def test_two_of_one_name_are_refused(folders):
    config = registered(skin=(folders / "bones/questions", "test"))
    with pytest.raises(UserError, match=r"two evaluation sets are called 'skin'.*--against=NAME=DIR"):
        curated(folders / "out", folders / "mine", config, against=[folders / "skin/curated"])


def test_registered_sets_wait_for_their_step(folders):
    config = registered(bones=("nowhere", "test"))
    config.curate.steps = ("deduplicate",)
    _, _, manifest = curated(folders / "out", folders / "mine", config)
    assert set(manifest.inputs) == {"questions 1"}
    assert "against" not in manifest.config


@pytest.mark.parametrize(
    ("name", "fields", "error"),
    [
        ("a b", {"folder": "x", "split": "test"}, "'a b' is no name"),
        ("a", {"folder": "", "split": "test"}, "against.a.folder is empty"),
        ("a", {"folder": "x", "split": "dev"}, "against.a.split='dev': one of test, train, all"),
        ("a", {"folder": "x"}, "against.a takes the fields folder and split"),
        ("a", "x", "against.a takes the fields folder and split"),
    ],
)
def test_what_is_no_set_is_refused(folders, name, fields, error):
    config = make_config(["decontaminate"])
    config.curate.against[name] = fields
    with pytest.raises(UserError, match=error):
        curated(folders / "out", folders / "mine", config)


def test_the_card_names_the_attempts(folders):
    attempts = write_attempts(folders / "tried", {f"made:{index}": 8 for index in range(6)})
    _, _, manifest = curated(folders / "out", folders / "mine", make_config(["difficulty"]), attempts=attempts)
    assert f"- attempts: `{manifest.inputs['attempts']}`\n" in (folders / "out" / "card.md").read_text()
