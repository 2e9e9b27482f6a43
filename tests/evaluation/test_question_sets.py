"""Which questions a run asks: names of the registry, categories, the questions' own names, and folders."""

import json

import pytest
from eval_helpers import make_question, write_heldout

from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.evaluation.question_sets import choose


def folder_of(path, *names):
    """Write a folder with two questions of each of some benchmarks; ids are of the folder."""
    made = [(place, name) for name in names for place in range(2)]
    return write_heldout(
        path, [make_question(0, id=f"{path.name}:{name}:{place}", benchmark=name) for place, name in made]
    )


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A folder of folders."""
    shelf = tmp_path_factory.mktemp("shelf")
    folder_of(shelf / "exams", "medqa-5options", "medmcqa", "own_set")
    folder_of(shelf / "legacy", "vqa-rad-open", "vqa-rad-closed", "slake-open")
    folder_of(shelf / "classes", "aptos")
    (shelf / "notes").mkdir()
    return shelf


def benchmarks_of(found):
    return sorted({question.benchmark for question in found.read()})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), ["aptos", "medmcqa", "medqa-5options", "own_set", "slake-open", "vqa-rad-closed", "vqa-rad-open"]),
        (("medqa",), ["medqa-5options"]),
        (("MedQA", "own_set"), ["medqa-5options", "own_set"]),
        (("vqa-rad",), ["vqa-rad-closed", "vqa-rad-open"]),
        (("vqa-rad-open",), ["vqa-rad-open"]),
        (("VQA_RAD_open",), ["vqa-rad-open"]),
        (("MedQA_5options",), ["medqa-5options"]),
        (("text",), ["medmcqa", "medqa-5options"]),
        (("Legacy VQA",), ["slake-open", "vqa-rad-closed", "vqa-rad-open"]),
        (("all 14",), ["aptos", "medmcqa", "medqa-5options"]),
        (("classification", "medmcqa"), ["aptos", "medmcqa"]),
    ],
)
def test_names_find_their_questions(shelf, names, expected):
    found = choose(shelf, names)
    assert benchmarks_of(found) == expected
    assert found.named == names
    assert len(found.read()) == 2 * len(expected)


def test_only_folders_with_a_question_of_it_are_read(shelf):
    found = choose([shelf], ("medqa", "aptos"))
    assert [folder.name for folder in found.folders] == ["classes", "exams"]
    assert set(found.inputs) == {"questions", "questions.0", "questions.1"}
    assert choose(shelf, ("aptos",)).inputs == choose(shelf / "classes", ()).inputs


def test_a_folder_is_a_name_too(shelf, tmp_path):
    own = folder_of(tmp_path / "own", "a_set", "b_set")
    alone = choose(tmp_path / "nothing here", (str(own),))
    assert benchmarks_of(alone) == ["a_set", "b_set"]
    assert "/" not in alone.named[0], "results name a folder by what it holds"
    beside = choose([shelf / "exams", shelf / "classes"], ("aptos", str(own)))
    assert benchmarks_of(beside) == ["a_set", "aptos", "b_set"]
    assert choose([shelf / "classes", f"{shelf}/exams/../classes"], ()).inputs == choose(shelf / "classes", ()).inputs


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("medqaa",), r"no benchmark 'medqaa' among the held-out questions of .*\(did you mean 'medqa'\?\); there are"),
        (("MEDQAA",), r"no benchmark 'MEDQAA' .*\(did you mean 'medqa'\?\)"),
        (("own_sett",), r"did you mean 'own_set'"),
        (("txt",), r"did you mean 'text'"),
        (("headqa",), r"holds no question of headqa; build them with `octomed questions build --source=headqa`, or"),
        (("bcss",), r"holds no question of bcss; which tiles the paper took is not said"),
        (("reasoning on images",), r"holds no question of any benchmark of 'reasoning on images'; there are: aptos, m"),
        (("./none",), r"none does not exist; make it first with `octomed questions build`"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_line(shelf, names, why):
    with pytest.raises(UserError, match=why) as caught:
        choose(shelf, names)
    assert "\n" not in str(caught.value)


def test_what_a_folder_of_folders_holds_is_told(shelf, capsys):
    assert main(["eval", "benchmarks", f"--questions={shelf}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    held = {one["benchmark"]: one["held"] for one in told["benchmarks"] if one["held"]}
    assert held == {"medqa": 2, "medmcqa": 2, "aptos": 2, "vqa-rad": 4, "slake": 2}
    assert told["others"] == {"own_set": 2}


def test_one_question_in_two_folders_is_refused(shelf, tmp_path):
    folder_of(tmp_path / "copy" / "exams", "medmcqa")
    with pytest.raises(UserError, match=r"question exams:medmcqa:0 is there 2 times in .*exams, .*exams"):
        choose([shelf / "exams", tmp_path / "copy"], ("medmcqa",)).read()


def test_a_folder_without_held_out_questions(tmp_path):
    with pytest.raises(UserError, match="holds no held-out question; build it with some"):
        choose(write_heldout(tmp_path / "empty", []), ())
