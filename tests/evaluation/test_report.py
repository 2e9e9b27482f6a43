import json
import re
import shutil

import pytest
from report_run import BENCHMARKS, PLANTED, make_run

from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.evaluation.page import amount, duration
from octomed_jax.evaluation.report import group_of, summarise, write_report
from octomed_jax.evaluation.report_data import STAGES
from octomed_jax.manifests import Manifest, write_manifest
from octomed_jax.storage import read_json, write_json

FIGURES = ["funnel", "reasons", "sources", "loss", "accuracy", "difficulty", "thinking"]


@pytest.fixture
def run_copy(finished_run, tmp_path):
    return shutil.copytree(
        finished_run, tmp_path / "demo", ignore=shutil.ignore_patterns("report.html", "summary.json")
    )


@pytest.fixture(scope="module")
def page(finished_run):
    return write_report(finished_run).read_text()


def test_summary_has_exactly_the_documented_form(finished_run):
    write_report(finished_run)
    summary = json.loads((finished_run / "summary.json").read_text())
    assert summary == summarise(finished_run)
    kinds = {
        "questions": int, "attempts": int, "accepted": int, "acceptance_rate": float, "train_steps": int,
        "loss_first": float, "loss_last": float, "eval": dict, "export": dict, "seconds": float, "peak_rss_mb": float,
    }  # fmt: skip
    assert {name: type(value) for name, value in summary.items()} == kinds
    assert summary["eval"].keys() == BENCHMARKS.keys()
    for entry in summary["eval"].values():
        assert list(entry) == ["n", "baseline", "before", "after", "after_low", "after_high", "unparsed"]
        assert entry["after_low"] <= entry["after"] <= entry["after_high"]
    assert summary["export"] == {"path": str(finished_run / "export"), "max_logit_diff": 2.5e-6}


def test_summary_agrees_with_the_stages(finished_run):
    summary = summarise(finished_run)
    funnel = read_json(finished_run / "traces" / "funnel.json")["total"]
    assert summary["questions"] == sum(row[4] for row in BENCHMARKS.values())
    assert (summary["attempts"], summary["accepted"]) == (funnel["asked"], funnel["kept"])
    assert summary["acceptance_rate"] == funnel["kept"] / funnel["asked"]
    lines = (finished_run / "train" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in (lines[0], lines[-1])]
    assert [summary["loss_first"], summary["loss_last"]] == losses
    assert summary["train_steps"] == 400  # though some steps stand there twice
    assert summary["seconds"] == 8 * 10.5 + 40 * 28
    assert summary["peak_rss_mb"] == 1600.0
    after = read_json(finished_run / "eval" / "after" / "results.json")["benchmarks"]["plane"]
    assert summary["eval"]["plane"]["after"] == after["accuracy"]


def test_an_export_that_was_not_compared_with_transformers_is_called_that(run_copy):
    write_json(run_copy / "export" / "provenance.json", {"figures": {"structure": {"tensors": 3}}})
    assert summarise(run_copy)["export"]["max_logit_diff"] is None
    assert "not compared with transformers" in write_report(run_copy).read_text()


def test_page_tells_why_attempts_were_rejected_and_only_that(page):
    figure = page.partition('<figure id="figure-reasons"')[2].partition("</figure>")[0]
    assert {code for code in ("no_answer", "other_text", "length", "request_failed", "match") if code in figure} == {
        "no_answer", "other_text", "length", "request_failed",
    }  # fmt: skip
    assert "the response ended at the token limit" in page


def test_page_of_a_student_that_finishes_no_thought(run_copy):
    for when in ("before", "after"):
        path = run_copy / "eval" / when / "results.json"
        results = read_json(path)
        for entry in results["benchmarks"].values():
            entry.update(thinking_tokens_mean=None, thinking_tokens_right=None, thinking_tokens_wrong=None)
        write_json(path, results)
    assert "no thought was finished" in write_report(run_copy).read_text()


def test_page_is_self_contained(page):
    assert not re.search(r"<(script|iframe|object|embed|base)\b", page)
    assert not re.search(r"\s(?:src|srcset|data)=\"(?!data:)", page)
    assert not re.search(r"<link(?![^>]*href=\"data:,\")", page)
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'" in page


def test_page_escapes_what_was_planted(page):
    assert PLANTED not in page
    assert "&lt;script&gt;document.title" in page
    assert "<img src=x" not in page
    assert "Colin27 &lt;b&gt;T1&lt;/b&gt;" in page


def test_page_says_what_it_is(page):
    assert "programmatic teacher (wrong 10 %)" in page
    assert "demonstration, not clinical advice" in page
    for name in FIGURES:
        assert re.search(rf'<figure id="figure-{name}"', page)
    for name in BENCHMARKS:
        assert page.count(name) >= 3
    assert page.count('src="data:image/png;base64,') >= 4
    assert "https://example.org/medmcqa" in page  # the attribution of the card
    for verdict in ("✓ correct", "✗ wrong", "✗ no answer found", "✗ cut off"):
        assert verdict in page


def test_another_teacher_is_not_called_a_program(run_copy):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = run_copy / "attempts" / "attempts" / "part-00000.parquet"
    table = pq.read_table(path)
    names = pa.array(["medgemma-27b"] * table.num_rows, pa.string())
    pq.write_table(table.set_column(table.schema.get_field_index("teacher"), "teacher", names), path)
    write_manifest(run_copy / "attempts", Manifest(stage="distill", config={"model": "medgemma-27b"}))
    text = write_report(run_copy).read_text()
    assert "programmatic" not in text
    assert "medgemma-27b" in text


def test_equal_runs_give_equal_bytes(tmp_path):
    pages = []
    for name in ("one", "two"):
        path = write_report(make_run(tmp_path / name / "demo"))
        pages.append(path.read_bytes())
        assert write_report(path.parent).read_bytes() == pages[-1]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(("folder", "command"), [(name, command) for name, (_, command) in STAGES.items()])
def test_a_missing_stage_is_named_with_its_command(run_copy, folder, command):
    (run_copy / folder / "manifest.json").unlink()
    with pytest.raises(UserError, match=rf"{folder} is not finished.*`octomed {command}`"):
        write_report(run_copy)
    assert not (run_copy / "report.html").exists()
    assert not (run_copy / "summary.json").exists()


def test_no_such_run(tmp_path):
    with pytest.raises(UserError, match="no such run"):
        write_report(tmp_path / "nothing")


@pytest.mark.parametrize(
    "name",
    ["train/metrics.jsonl", "questions/heldout.parquet", "traces/verdicts.parquet", "eval/after/samples/plane.jsonl"],
)
@pytest.mark.parametrize("damage", ["remove", "cut"])
def test_a_damaged_file_is_named(run_copy, name, damage):
    path = run_copy / name
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StopAndLook, match=re.escape(name)):
        write_report(run_copy)
    assert not (run_copy / "report.html").exists()


def test_a_benchmark_cannot_lead_out_of_its_folder(run_copy):
    path = run_copy / "eval" / "after" / "results.json"
    results = read_json(path)
    results["benchmarks"]["../../secret"] = results["benchmarks"]["plane"]
    write_json(path, results)
    with pytest.raises(StopAndLook, match="secret"):
        write_report(run_copy)


def test_before_and_after_must_measure_the_same(run_copy):
    path = run_copy / "eval" / "before" / "results.json"
    results = read_json(path)
    del results["benchmarks"]["plane"]
    write_json(path, results)
    with pytest.raises(UserError, match="plane"):
        write_report(run_copy)


@pytest.mark.parametrize(
    ("source", "n_train", "group"),
    [
        ("brain", 5, "Another brain"),
        ("medcalc", 5, "Kinds trained on, unseen inputs"),
        ("medcalc", 0, "Whole calculators held out"),
        ("medcalc", None, "Other"),
        ("medmcqa", 0, "MedMCQA"),
        ("something", 9, "Other"),
        ("", 0, "Other"),
    ],
)
def test_groups(source, n_train, group):
    assert group_of(source, n_train) == group


def test_durations():
    assert [duration(value) for value in (8.44, 312, 12000)] == ["8.4 s", "5 min 12 s", "3 h 20 min"]


def test_amounts():
    assert [amount(value) for value in (812_000, 4_803_579, 12 * 10**9)] == ["812,000", "4.8 million", "12 billion"]


def test_command(run_copy, capsys):
    assert main(["report", f"--run={run_copy}"]) == 0
    assert str(run_copy / "report.html") in capsys.readouterr().out.splitlines()[-1]
    assert main(["report", f"--run={run_copy}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_json(run_copy / "summary.json")
    assert main(["report", "--config=configs/demo.py:tiny", f"--config.run={run_copy}"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--run=/nothing/there"], "no such run"),
        (["--rum=x"], "did you mean '--run'"),
        (["--run=x", "--config=configs/demo.py"], "give one of them"),
        (["--config.run=x"], "no --config=FILE"),
        (["--config=configs/demo.py", "--config.rum=x"], "did you mean 'run'"),
    ],
)
def test_mistakes_on_the_command_line(arguments, said, capsys):
    assert main(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["report", "--help"])
    assert stop.value.code == 0
    assert "octomed report --run=runs/demo" in capsys.readouterr().out
