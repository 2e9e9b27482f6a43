"""``octomed eval report``: its numbers are those of the results, and nothing of the samples is read as HTML."""

import base64
import hashlib
import html
import json
import re

import pytest
from questions_folder import make_questions, questions
from report_run import PLANTED
from results_folders import SECRET, SEEDS, asked, exam, judged, make_two, rows, write

from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.evaluation import results_examples
from octomed_jax.evaluation.comparison import compare
from octomed_jax.evaluation.results_report import write_results_report
from octomed_jax.storage import read_json, write_json


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return make_two(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The questions that were asked, with their images."""
    given = asked()
    others = [one for one in questions(each=8) if one.split == "train"]
    return make_questions(tmp_path_factory.mktemp("asked") / "several", given + others)


@pytest.fixture(scope="module")
def made(two, folder, tmp_path_factory):
    """Return the folder that was written, and its numbers."""
    out = tmp_path_factory.mktemp("made") / "report"
    _, table = write_results_report([f"base={two[0]}", f"tuned={two[1]}"], out, [folder])
    return out, table


def cells(page, section):
    """Return the rows of the tables of a section as lists of texts."""
    found = re.search(rf'<section id="{section}">(.*?)</section>', page, re.S)[1]
    return [
        [html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", found, re.S)
    ]


def shown(figures):
    low, high = figures["bootstrap"]
    return f"{100 * figures['accuracy']:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def refused(capsys, *words):
    assert main(["eval", "report", *map(str, words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("octomed: ")


def test_accuracies_are_those_of_the_results(two, made):
    out, _ = made
    page, text = (out / "report.html").read_text(), (out / "results.md").read_text()
    results = [read_json(one / "results.json")["benchmarks"] for one in two]
    by_name = {row[0].split(" ")[0]: row for row in reversed(cells(page, "accuracy"))}
    assert set(results[0]) == {"exam", "findings", "medqa", "scores", "slides", "wards"}
    for name in results[0]:
        want = [shown(one[name]) for one in results]
        row = by_name["MedQA" if name == "medqa" else name]
        assert row[2:4] == want
        assert f"| {want[0]} | {want[1]} |" in text
    wide = [row for row in cells(page, "accuracy") if len(row) == 9 and row[0] == "MedQA"]
    for row, one in zip(wide, results, strict=True):
        low, high = one["medqa"]["wilson"]
        assert row[6] == f"{100 * low:.1f}–{100 * high:.1f}"


def test_the_paper_stands_beside_and_is_marked(made):
    page = (made[0] / "report.html").read_text()
    (medqa,) = [row for row in cells(page, "accuracy") if row[0].startswith("MedQA") and len(row) == 7]
    assert medqa[1] == "20 of 1,273"
    assert medqa[4:] == ["57.99", "90.81†", "88.3"]
    total = next(row for row in cells(page, "accuracy") if row[0] == "partial mean (1 of 5)")
    assert total[4:6] == ["48.10", "67.83"]
    assert "Not measured: headqa, medmcqa, medxpertqa-text, mmlu-pro-health." in page
    assert "the paper’s, not ours" in page
    table = cells(page, "paper")
    assert table[0][3] == "OctoMed-7B"
    assert next(row for row in table if row[0] == "MedQA")[3] == "90.81†"
    assert next(row for row in table if row[0] == "classification, overall").count("46.39§") == 2
    figure_8 = next(row for row in cells(page, "lengths") if row[1:2] == ["MedXpertQA-T"])
    assert figure_8[:6] == ["8", "MedXpertQA-T", "857", "11.7", "3,700", "24.4"]


def test_counts_of_outcomes_are_those_of_the_samples(made):
    given = asked() + exam()
    before, after = rows(given, 3), rows(given, 1, longer=2)
    page = (made[0] / "report.html").read_text()
    found = {(row[0], row[1]): row[2:] for row in cells(page, "failures") if len(row) == 7}
    for letter, samples in (("A", before), ("B", after)):
        counts = judged(given, samples)
        assert {outcome for _, outcome in counts} == {"correct", "wrong", "unparsed", "truncated", "failed"}
        for name in {benchmark for benchmark, _ in counts}:
            kinds = ("correct", "wrong", "unparsed", "truncated", "failed")
            assert found[name, letter] == [str(counts.get((name, kind), 0)) for kind in kinds]


def test_the_comparison_is_that_of_eval_compare(two, made):
    want = compare(two[0], two[1])
    (found,) = [one["comparison"] for one in made[1]["comparisons"]]
    assert found["benchmarks"] == want["benchmarks"]
    assert found["overall"] == want["overall"]
    page = (made[0] / "report.html").read_text()
    row = next(row for row in cells(page, "compared") if row[0] == "medqa")
    assert row[2:4] == [f"{100 * share:.1f}" for share in want["benchmarks"]["medqa"]["accuracy"]]


def test_votes_are_means_of_the_results(two, made):
    results = read_json(two[1] / "results.json")["benchmarks"]
    votes = made[1]["votes"][1]
    assert list(votes["maj_at"]) == ["1", "2", "4"]  # of one question a request failed, so that not all have 5
    for k in votes["maj_at"]:
        for kind in ("maj_at", "pass_at"):
            assert votes[kind][k] == pytest.approx(sum(one[kind][k] for one in results.values()) / len(results))


def test_longer_on_harder_is_seen(made):
    for one in made[1]["calibration"]:
        assert one["unit"] == "tokens"
        assert one["within"]["finished"]["rho"] > 0
        assert sum(row["questions"] for row in one["classes"]) == len(asked()) + 20
    assert made[1]["paper_lengths"]["OctoMed-7B"]["across"]["rho"] == pytest.approx(0.35, abs=0.01)


def test_json_tells_the_numbers_and_the_last_line_where_they_are(two, folder, tmp_path, capsys):
    out = tmp_path / "out"
    words = [f"base={two[0]}", f"tuned={two[1]}/results.json", f"--questions={folder}", f"--output={out}"]
    assert main(["eval", "report", *words]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    hidden = 2 * SEEDS * sum(one.access != "open" for one in asked())
    assert re.fullmatch(rf"\d+ examples and all figures are in {out}/report.html; \d+ samples of .* not shown", last)
    assert main(["eval", "report", *words, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in table["models"]] == ["base", "tuned"]
    assert sum(one["samples"] for one in table["examples"]["credentialed"]) == hidden
    again = (out / "report.html").read_bytes(), (out / "results.md").read_bytes()
    assert main(["eval", "report", *words]) == 0
    assert ((out / "report.html").read_bytes(), (out / "results.md").read_bytes()) == again


def test_nothing_of_a_credentialed_source_is_in_it(made, tmp_path):
    for path in made[0].iterdir():
        assert SECRET not in path.read_text()
    assert SECRET not in json.dumps(made[1])
    page = (made[0] / "report.html").read_text()
    assert "Wards (base): 40 samples are of a credentialed source, and none of them is shown." in page
    # Without the folder of questions the rows' own word counts.
    marked = [row | {"access": "credentialed"} if row["benchmark"] == "wards" else row for row in rows(asked(), 3)]
    write_results_report([str(write(tmp_path / "rows", marked))], tmp_path / "out")
    assert SECRET not in (tmp_path / "out" / "report.html").read_text()
    # The registry knows benchmarks whose source is credentialed, whatever rows say.
    reports = [row | {"benchmark": "mimic-cxr", "access": "open"} for row in rows(exam(), 3)]
    _, table = write_results_report([str(write(tmp_path / "registry", reports))], tmp_path / "registry-out")
    assert table["examples"]["shown"] == 0


def test_a_credentialed_folder_shows_nothing_unless_its_questions_say_so(folder, tmp_path):
    place = tmp_path / "run"
    write(place, rows(asked(), 3))
    results = read_json(place / "results.json")
    del results["settings"]["samples"]
    for path in (place / "samples").iterdir():
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        verdicts = {"verdict": "wrong", "extracted": SECRET, "reason": f"told by {SECRET}"}
        path.write_text("".join(json.dumps(line | verdicts) + "\n" for line in lines))
        name = path.stem
        samples = results["benchmarks"][name]["samples"]
        results["benchmarks"][name] |= {"accuracy": 0.0, "unparsed": 0, "truncated": 0, "samples": samples}
    write_json(place / "results.json", results)
    manifest = manifests.Manifest(stage="eval", config={}, counts={}, files={}, access="credentialed")
    manifests.write_manifest(place, manifest)
    _, table = write_results_report([str(place)], tmp_path / "out")
    assert table["examples"]["shown"] == 0
    assert table["examples"]["credentialed_folders"] == ["run"]
    assert SECRET not in (tmp_path / "out" / "report.html").read_text()
    _, table = write_results_report([str(place)], tmp_path / "told", [folder.parent])  # a folder of folders
    assert table["examples"]["shown"] > 0
    assert {one["benchmark"] for one in table["examples"]["credentialed"]} == {"wards"}


def test_examples_show_images_reasons_and_a_few_of_each_kind(made):
    page = (made[0] / "report.html").read_text()
    items = re.findall(r'<article class="item folded is-(\w+)".*?data-benchmark="([^"]+)" data-model="(\w)">', page)
    assert {kind for kind, *_ in items} == {"correct", "wrong", "unparsed", "truncated"}
    assert {benchmark for _, benchmark, _ in items} == {"exam", "findings", "medqa", "scores", "slides"}
    assert max(items.count(item) for item in items) == results_examples.EACH
    assert page.count("data:image/png;base64,") >= 6
    assert "other_option: another of the options was chosen" in page
    assert "✓ gold" in page


def test_examples_do_not_depend_on_the_order_of_rows(tmp_path):
    samples = rows(exam(60), 3)
    there = write(tmp_path / "there", samples)
    back = write(tmp_path / "back", samples[::-1])
    pages = []
    for one in (there, back):
        write_results_report([f"same={one}"], tmp_path / "out" / one.name)
        pages.append((tmp_path / "out" / one.name / "report.html").read_text())
    items = [re.search(r'<section id="examples">.*?</section>', page, re.S)[0] for page in pages]
    assert items[0] == items[1]


def test_nothing_in_the_samples_is_read_as_html(made, tmp_path):
    page = (made[0] / "report.html").read_text()
    assert PLANTED not in page
    assert page.count("&lt;script&gt;") > 20
    assert "<img src=x" not in page
    ((policy, script),) = re.findall(r"script-src '(sha256-[^']+)'.*<script>(.*?)</script>", page, re.S)
    assert policy == "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert page.count("<script") == 1
    hostile = f"</script></article>{PLANTED}\x00\x07\ud800\u202e[x](javascript:alert(1)) | `"
    samples = []
    for row in rows(exam(40), 2):
        name = hostile.replace("\ud800", "")  # half of a character is no name
        row |= {"benchmark": f"medqa {name}", "id": row["id"] + name, "question": hostile * 3}
        row |= {"response": f"<think>{hostile}</think>{hostile}\n\\boxed{{{'Gout' if row['seed'] else hostile}}}"}
        samples.append(row | {"task": "short_answer", "options": [], "answer": "Gout", "finish_reason": "stop"})
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))
    words = [str(folder / "all.jsonl"), f"--output={folder / 'results.json'}"]
    assert main(["eval", "score", *words]) == 0
    write_results_report([f"<script>alert(1)</script>\x07={folder}"], tmp_path / "out")
    page, text = ((tmp_path / "out" / name).read_text() for name in ("report.html", "results.md"))
    assert page.count("<script") == 1
    assert "<img src=x" not in page + text
    assert not re.search(r"[\x00\x07\u202e\ud800]", page + text)


def test_a_page_of_huge_samples_stays_small(tmp_path):
    samples = rows(exam(40), 2)
    for row in samples:
        row["question"] = "word " * 20_000
        row["response"] = row["response"].replace("</think>", "thought " * 20_000 + "</think>")
    write_results_report([str(write(tmp_path / "huge", samples))], tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "(cut here; 100,000 characters in all)" in page
    assert len(page) < 1_000_000


def test_results_alone_make_a_page_that_says_what_is_missing(two, tmp_path):
    results = tmp_path / "alone.json"
    results.write_bytes((two[0] / "results.json").read_bytes())
    _, table = write_results_report([str(results), f"tuned={two[1]}"], tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "alone: no samples lie beside its results" in page
    assert "alone and tuned are not compared: alone: no samples lie beside its results" in page
    assert table["calibration"][0] is None
    row = next(row for row in cells(page, "failures") if row[:2] == ["medqa", "A"])
    figures = read_json(results)["benchmarks"]["medqa"]
    assert row[2] == f"{figures['samples'] - figures['unparsed'] - figures['truncated']} together"


def test_samples_beside_a_file_of_results_are_found_by_name_and_hash(tmp_path, capsys):
    path = tmp_path / "medqa.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(exam(), 3)))
    assert main(["eval", "score", str(path), f"--output={tmp_path / 'results.json'}"]) == 0
    _, table = write_results_report([str(tmp_path / "results.json")], tmp_path / "out")
    assert table["examples"]["shown"] > 0
    path.write_text(path.read_text() + "\n")
    capsys.readouterr()
    said = refused(capsys, tmp_path / "results.json", f"--output={tmp_path / 'out'}")
    assert "medqa.jsonl is not the file that was scored; score it again" in said


def test_models_on_other_questions_are_shown_and_not_compared(two, tmp_path):
    other = write(tmp_path / "other", rows(exam(12), 3))
    write_results_report([f"base={two[0]}", str(other)], tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "base and other are not compared:" in page
    assert "--allow=benchmarks" in page
    assert 'id="figure-forest-B"' not in page


def test_why_models_are_not_compared_names_no_credentialed_question(tmp_path):
    wards = [row | {"access": "credentialed"} for row in rows(asked(), 3) if row["benchmark"] == "wards"]
    less = [row for row in wards if row["id"] != wards[0]["id"]]
    given = [str(write(tmp_path / name, samples)) for name, samples in (("all", wards), ("less", less))]
    _, table = write_results_report(given, tmp_path / "out")
    assert "`octomed eval compare` says why" in table["comparisons"][0]["why_not"]
    for path in (tmp_path / "out").iterdir():
        assert SECRET not in path.read_text()


def test_a_whole_category_is_an_overall(tmp_path, monkeypatch):
    from octomed_jax.evaluation import benchmarks

    names = ["medqa", "headqa", "medmcqa", "medxpertqa-text", "mmlu-pro-health"]
    monkeypatch.setattr(benchmarks, "is_short", lambda *_: False)
    monkeypatch.setattr("octomed_jax.evaluation.results_numbers.is_short", lambda *_: False)
    samples = [
        row | {"benchmark": name, "id": f"{name}:{row['id']}"}
        for place, name in enumerate(names)
        for row in rows(exam(), place % 3 + 1)
    ]
    _, table = write_results_report([str(write(tmp_path / "all", samples))], tmp_path / "out")
    (text,) = table["categories"]
    figures = read_json(tmp_path / "all" / "results.json")["benchmarks"]
    mean = sum(figures[name]["accuracy"] for name in names) / 5
    assert text["overall"][0]["accuracy"] == pytest.approx(mean)
    page = (tmp_path / "out" / "report.html").read_text()
    assert next(row for row in cells(page, "accuracy") if row[0] == "overall")[2].startswith(f"{100 * mean:.1f} (")
    assert next(row for row in cells(page, "paper") if row[0] == "text, overall")[1] == f"{100 * mean:.1f}"


def test_what_was_seen_and_other_measures_are_shown_where_results_have_them(two, tmp_path):
    results = read_json(two[0] / "results.json")
    told = {"n": 20, "seen": 3, "accuracy_seen": 0.5, "accuracy_unseen": None}
    f1 = {"n": 9, "mean": 0.25, "bootstrap": [0.125, 0.5], "tokenizer": "gpt2 <b>"}
    results["benchmarks"]["medqa"] |= {"seen": told}
    results["benchmarks"]["slake-open"] = {**results["benchmarks"]["medqa"], "accuracy": None, "token_f1": f1}
    write_json(tmp_path / "results.json", results)
    write_results_report([str(tmp_path / "results.json")], tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert ["medqa", "20", "3", "50.0 %", "–"] in cells(page, "seen")
    row = next(row for row in cells(page, "accuracy") if row[1:2] == ["open token F1"])
    assert row == ["slake-open", "open token F1", "9", "25.0 (12.5–50.0)", "85.0", "tokens: gpt2 <b>"]


def test_mistakes_are_one_line_and_write_nothing(two, tmp_path, capsys):
    out = tmp_path / "out"
    output = f"--output={out}"
    results = read_json(two[0] / "results.json")

    def broken(**fields):
        path = tmp_path / f"{'-'.join(fields)}.json"
        write_json(path, {"benchmarks": {"medqa": {**results["benchmarks"]["medqa"], **fields}}})
        return path

    fewer = write(tmp_path / "fewer", rows(exam(), 3))
    lines = (fewer / "samples" / "medqa.jsonl").read_text().splitlines(keepends=True)
    (fewer / "samples" / "medqa.jsonl").write_text("".join(lines[:-1]))
    changed = [type(one)(**{**vars(one), "question": "Another?"}) for one in questions() if one.benchmark == "exam"]
    other = make_questions(tmp_path / "other", changed)
    (tmp_path / "list.json").write_text("[]")
    wanted = [
        ([output], "[NAME=]RESULT"),
        ([two[0]], "--output"),
        ([tmp_path / "nothing", output], "no such file"),
        ([two[0].parent, output], "holds no results.json; `octomed eval score` makes one"),
        ([two[0] / "samples" / "medqa.jsonl", output], "is a file of samples; `octomed eval score"),
        ([tmp_path / "list.json", output], "it has no benchmarks"),
        ([two[0], f"before={two[1]}", output], "2 results are called 'before'; name each by NAME=PATH"),
        ([f"m{n}={two[0]}" for n in range(7)] + [output], "7 results are too many for one page; give at most 6"),
        ([broken(n="20"), output], "medqa: n='20' is no count"),
        ([broken(accuracy=1.5), output], "1.5 is no share between 0 and 1"),
        ([broken(wilson=None), output], "has an accuracy without its intervals"),
        ([fewer, output], "has 99 samples of medqa, the samples beside it 98"),
        ([two[0], output, f"--questions={tmp_path / 'nothing'}"], "make it first with `octomed questions build"),
        ([two[0], output, f"--questions={other}"], "has another text in"),
        ([two[0], output, "--allow=samplin"], "did you mean 'sampling'?"),
        ([two[0], output, "--quesions=x"], "did you mean '--questions'"),
        ([two[0], f"--output={two[0] / 'results.json'}"], "is a file; give a folder"),
        ([two[0], output, "--config.eval.seeds=3"], "overrides a config"),
        (["gs://bucket/results.json", output], "lies in a bucket; copy it to a disk"),
    ]
    for words, said in wanted:
        assert said in refused(capsys, *words), words
    (tmp_path / "cut.json").write_text('{"benchmarks": {')
    assert main(["eval", "report", str(tmp_path / "cut.json"), output]) == 43
    assert "cut.json is not valid JSON" in capsys.readouterr().err
    assert not out.exists()
