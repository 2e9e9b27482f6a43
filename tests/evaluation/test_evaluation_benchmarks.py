"""The registry of benchmarks, its command, its page, and the means over categories."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.evaluation import benchmarks
from octomed_jax.evaluation.benchmark_table import markdown_tables
from octomed_jax.evaluation.benchmarks import (
    ALL,
    BENCHMARKS,
    CLASSES,
    EVERY,
    IMAGES,
    LEGACY,
    TEXT,
    WITH_IMAGES,
    benchmark_of,
    categories,
    category_members,
    find_benchmark,
    held_by_benchmark,
    is_closed,
    is_short,
)
from octomed_jax.prompts import FORMATS
from octomed_jax.schema import QUESTION_SCHEMA, Question, question_to_row
from octomed_jax.traces import lake

PAGE = Path(__file__).parents[2] / "docs" / "evaluation-benchmarks.md"


def held(number, benchmark, source="made"):
    names = {"id": f"{source}:{number}", "source": source, "benchmark": benchmark, "split": "test"}
    return Question(**names, task="short_answer", question=f"What is {number}?", answer="this")


@pytest.fixture
def folder(tmp_path):
    questions = [held(1, "medmcqa"), held(2, "medmcqa"), held(3, "vqa-rad-open"), held(4, "vqa-rad-closed")]
    questions += [held(5, "own_set")]
    for file, some in (("questions.parquet", []), ("heldout.parquet", questions)):
        lake.write_rows(tmp_path / "questions" / file, map(question_to_row, some), QUESTION_SCHEMA)
    files = manifests.hash_files(tmp_path / "questions")
    manifests.write_manifest(tmp_path / "questions", manifests.Manifest(stage="questions", config={}, files=files))
    return tmp_path / "questions"


def test_every_benchmark_is_read_from_held_out_questions_with_gold():
    assert len(category_members(EVERY)) == 14
    assert [len(category_members(name)) for name in (TEXT, IMAGES, CLASSES, WITH_IMAGES, LEGACY)] == [5, 4, 5, 9, 3]
    for one in ALL:
        assert one.style in FORMATS
        assert one.readings or one.name == "bcss"
        for reading in one.readings:
            split = reading.adapter.splits[reading.split]
            assert split.goes_to == "test", f"{reading} is learnt from"
            assert split.gold


def test_what_the_adapters_call_their_questions_is_registered():
    named = {"octomed-pmc-vqa": "pmc-vqa", "octomed-messidor2": "messidor2", "octomed-medqa-5options": "medqa-5options"}
    named |= {"octomed-vqa-rad": "vqa-rad-open", "octomed-slake": "slake-closed"}
    for one in ALL:
        for reading in one.readings:
            assert benchmark_of(named.get(reading.source, reading.source)) is one
    called = [name for one in ALL for name in one.called]
    assert len(called) == len(set(called))
    assert benchmark_of("own_set") is None


def test_case_and_marks_do_not_part_two_names():
    plain = ["".join(filter(str.isalnum, name.lower())) for one in ALL for name in {*one.called, one.title}]
    of_both = {key for key in plain if len({one.name for one in ALL for n in (*one.called, one.title)
                                            if "".join(filter(str.isalnum, n.lower())) == key}) > 1}  # fmt: skip
    assert not of_both  # no name of one benchmark is read as another's
    for called, name in (
        ("pmc_vqa", "pmc-vqa"),
        ("PMC VQA 2", "pmc-vqa"),
        ("MedQA", "medqa"),
        ("MESSIDOR-2", "messidor2"),
        ("MMLU-Pro Health", "mmlu-pro-health"),
        ("NEJM", "nejm-image-challenge"),
        ("VQA_RAD_closed", "vqa-rad"),
    ):
        assert benchmark_of(called) is BENCHMARKS[name]
    for other in ("pmc-vqa-3", "medqa-us", "", "---", "vqa"):
        assert benchmark_of(other) is None
    assert is_closed("VQA_RAD_Closed", "short_answer")
    assert not is_closed("slake_open", "yes_no")
    assert held_by_benchmark({"pmc_vqa": 2, "PMC-VQA": 3, "own": 4}) == {"pmc-vqa": 5}


def test_the_paper_s_in_domain_ones():
    starred = {one.name for one in category_members(EVERY) if one.in_domain}
    assert starred == {"medqa", "headqa", "medmcqa", "pmc-vqa"} | {one.name for one in category_members(CLASSES)}


def test_a_benchmark_is_found_by_every_name():
    for name in ("vqa-rad", "VQA-RAD", "vqa-rad-open"):
        assert find_benchmark(name) is BENCHMARKS["vqa-rad"]
    assert find_benchmark("MMLU-PRO (H)").name == "mmlu-pro-health"
    with pytest.raises(UserError, match=r"unknown benchmark 'medxpertqa-txt' \(did you mean 'medxpertqa-text'\?\)"):
        find_benchmark("medxpertqa-txt")
    with pytest.raises(UserError, match="unknown benchmark 'zzz'; `octomed eval benchmarks` has them all"):
        find_benchmark("zzz")


def test_closed_is_what_the_name_or_the_task_says():
    assert is_closed("slake-closed", "short_answer")
    assert not is_closed("slake-open", "yes_no")
    assert is_closed("pathvqa", "yes_no")
    assert not is_closed("vqa-rad", "short_answer")


def test_overall_is_the_plain_mean_of_a_whole_category():
    scores = {"medqa-5options": 0.9, "headqa": 0.8, "medmcqa": 0.7, "medxpertqa-text": 0.2, "mmlu-pro-health": 0.4}
    told = categories(scores | {"own_set": 0.0, "pathvqa": 0.1})
    assert list(told) == [TEXT]
    assert told[TEXT]["mean"] == pytest.approx(0.6)
    assert (told[TEXT]["overall"], told[TEXT]["label"], told[TEXT]["missing"]) == (True, "overall", [])
    sizes = {name: find_benchmark(name).questions for name in scores}
    assert categories(scores, sizes)[TEXT]["overall"]
    short = categories(scores, {**sizes, "medmcqa": 299})[TEXT]
    assert short["mean"] == pytest.approx(0.6)
    assert (short["overall"], short["short"]) == (False, ["medmcqa"])
    assert short["label"] == "partial (too few questions of medmcqa)"


def test_a_category_with_gaps_is_partial_and_says_what_is_missing():
    told = categories({"medqa": 0.5, "aptos": 0.7, "messidor2": 0.6})
    assert list(told) == [TEXT, CLASSES, EVERY]
    assert told[CLASSES]["mean"] == pytest.approx(0.65)
    assert told[CLASSES]["label"] == "partial (2 of 5 benchmarks)"
    assert told[CLASSES]["missing"] == ["brain-tumor-mri", "coronahack", "bcss"]
    assert told[EVERY]["mean"] == pytest.approx(0.6)
    assert not told[EVERY]["overall"]
    whole = categories({one.name: 0.5 for one in category_members(EVERY)})
    assert list(whole) == [TEXT, IMAGES, CLASSES, EVERY, WITH_IMAGES]
    assert all(one["overall"] for one in whole.values())
    with pytest.raises(UserError, match="'medqa' and 'medqa-5options' are both MedQA"):
        categories({"medqa": 0.5, "medqa-5options": 0.6})
    with pytest.raises(ValueError, match="no category 'texts'"):
        category_members("texts")


def test_a_few_questions_may_be_passed_over():
    one = dataclasses.replace(BENCHMARKS["aptos"], questions=200)
    assert [is_short(one, count) for count in (200, 198, 197)] == [False, False, True]
    assert not is_short(BENCHMARKS["bcss"], 1)


def test_the_command_says_what_a_folder_holds(folder, capsys):
    assert main(["eval", "benchmarks", f"--questions={folder}"]) == 0
    shown = capsys.readouterr().out
    assert "2 (too few)" in shown
    assert shown.splitlines()[-1].endswith(f"of 2 of {len(ALL)} benchmarks, and 1 benchmarks of its own (own_set)")
    assert main(["eval", "benchmarks", f"--questions={folder}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["benchmark"]: row["held"] for row in told["benchmarks"] if row["held"]} == {"medmcqa": 2, "vqa-rad": 2}
    assert told["others"] == {"own_set": 1}
    assert main(["eval", "benchmarks", "Aptos", "medqa"]) == 0
    shown = capsys.readouterr().out
    assert "--source=aptos --split=test" in shown
    assert "in-domain in the paper: yes" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["medqaa"], "did you mean 'medqa'"),
        (["--questions=nowhere"], "nowhere does not exist"),
        (["--markdown", "--json"], "--markdown prints the whole registry"),
        (["--config.a=1"], "this command has none"),
    ],
)
def test_mistakes_are_one_line(arguments, words, capsys):
    assert main(["eval", "benchmarks", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert words in error
    assert "\n" not in error


def test_the_page_has_the_command_s_tables(capsys):
    assert main(["eval", "benchmarks", "--markdown"]) == 0
    made = capsys.readouterr().out.strip()
    assert made == markdown_tables()
    [registry] = re.findall(r"<!-- registry -->\n(.*?)\n## The paper's figures", PAGE.read_text(), re.DOTALL)
    assert registry.strip() == made


def test_no_category_is_without_a_benchmark():
    assert {one.category for one in ALL} == set(benchmarks.CATEGORIES)
