import json
import re
import shutil
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from attempts_folder import attempt_at, failed_at, make_attempts, read_report, read_rows, write_folder
from report_run import PLANTED

from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.evaluation.attempts_report import MOST_EXAMPLES, write_attempts_report
from octomed_jax.manifests import Manifest, write_manifest
from octomed_jax.schema import Question
from octomed_jax.storage import read_json, sha256_bytes

SECTIONS = ["asked", "funnel", "acceptance", "reasons", "passes", "lengths", "letters", "duplicates", "failures"]
FIGURES = [
    "funnel", "questions", "acceptance", "sources", "reasons", "pass_rate", "lengths", "lengths_by_source", "letters",
    "duplicates",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that tests only read."""
    return make_attempts(tmp_path_factory.mktemp("attempts") / "several", each=40, preference=0.8)


@pytest.fixture(scope="module")
def page(folder):
    return write_attempts_report(folder).read_text()


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "several", ignore=shutil.ignore_patterns("report.*"))


def question(index=0, **fields):
    fields = {"task": "mcq", "options": ("alpha", "beta"), "answer": "alpha", "licence": "MIT", **fields}
    return Question(
        f"exam:{index:04d}", "exam", "exam", "train", fields.pop("task"), fields.pop("text", "Which?"), **fields
    )


def headings(text):
    return re.findall(r'<section id="(\w+)"', text)


def test_sections_stand_in_their_order(page):
    assert headings(page) == [*SECTIONS, "examples", "settings"]
    assert re.findall(r'<figure id="figure-(\w+)"', page) == FIGURES
    linked = re.findall(r'<li><a href="#(\w+)">', page)
    assert linked == headings(page)


def test_page_says_what_it_is(page, folder):
    table = read_report(folder)
    assert f"{table['funnel']['correct']:,} of {table['funnel']['asked']:,} attempts are right" in page
    assert "gpt-oss-120b" in page
    assert "Access class: credentialed." in page
    assert "programmatic" not in page
    for source, row in table["sources"].items():
        assert f'<th scope="row">{source}</th>' in page
        assert row["licences"][0] in page
    assert "Letter bias: C." in page
    assert "HTTP 503: no healthy upstream (request N)" in page


def test_page_is_self_contained(page):
    assert not re.search(r"<(script|iframe|object|embed|base)\b", page)
    assert not re.search(r"\s(?:src|srcset|data)=\"(?!data:)", page)
    assert not re.search(r"<link(?![^>]*href=\"data:,\")", page)
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'" in page


def test_hostile_text_is_escaped_wherever_it_stands(tmp_path):
    asked = question(text=f"Which?{PLANTED}", options=("alpha", PLANTED))
    rows = [
        attempt_at(asked, 0, f"<think>{PLANTED}</think>\n\n\\boxed{{A}}", teacher=PLANTED),
        attempt_at(asked, 1, f"</pre>{PLANTED}", teacher=PLANTED),
        failed_at(asked, 2, f"HTTP 500: {PLANTED}", teacher=PLANTED),
    ]
    extra = {"teacher": PLANTED, "cost": {PLANTED: PLANTED}}
    config = {"model": PLANTED}
    folder = write_folder(tmp_path / "attempts", [asked], rows, extra=extra, config=config)
    text = write_attempts_report(folder).read_text()
    assert PLANTED not in text
    assert not re.search(r"<(script|img src=x|/pre)", text)
    for place in ("acceptance", "failures", "spent", "examples", "settings"):
        section = text.partition(f'<section id="{place}"')[2].partition("</section>")[0]
        assert "&lt;script&gt;" in section, place


def test_one_example_a_reason(page, folder):
    table = read_report(folder)
    shown = re.findall(r"<dt>Reason</dt><dd>(\w+):", page)
    assert len(shown) == len(set(shown)) <= MOST_EXAMPLES
    assert set(shown) == table["reasons"].keys() - {"request_failed"}
    assert shown[0] == "match"


def test_examples_are_chosen_by_a_hash_of_their_names(page, folder):
    questions, attempts = read_rows(folder)
    is_open = {one["id"]: one["access"] == "open" for one in questions}
    names = [
        f"{row['question_id']}:{row['sample_index']}"
        for row in attempts
        if row["reason"] == "match" and is_open[row["question_id"]]
    ]
    first = min(names, key=lambda name: sha256_bytes(name.encode()))
    shown = re.search(r'<article class="is-correct">.*?<span>([^<]*)</span></h4>', page, re.DOTALL)
    assert shown[1] == first.replace(":", ", sample ").replace(", sample ", ":", 1)


def test_texts_of_questions_that_are_not_open_are_not_shown(page):
    articles = page.partition('<section id="examples"')[2]
    assert "Question " in articles
    assert "of chest" not in page  # the credentialed source
    assert "Questions that are not open are left out." in page


def test_an_example_shows_the_options_as_the_teacher_saw_them(tmp_path):
    asked = question(options=("alpha", "beta", "gamma"))
    row = attempt_at(asked, 0, "<think>So.</think>\n\n\\boxed{C}", order=(2, 1, 0))
    assert row["verdict"] == "correct"
    text = write_attempts_report(write_folder(tmp_path / "attempts", [asked], [row])).read_text()
    assert "<li>A. gamma</li><li>B. beta</li><li>C. alpha</li>" in text
    assert "<dt>Gold</dt><dd>C. alpha</dd>" in text


def test_long_texts_are_cut(tmp_path):
    row = attempt_at(question(), 0, "<think>" + "word " * 5000 + "</think>\n\n\\boxed{A}")
    text = write_attempts_report(write_folder(tmp_path / "attempts", [question()], [row])).read_text()
    assert "(cut here; 24,999 characters in all)" in text
    assert text.count("word ") < 300


def test_what_has_no_data_is_left_out(tmp_path):
    """No failure, no multiple choice, one sample a question, no tokens counted, nothing rejected."""
    asked = question(task="short_answer", options=())
    row = attempt_at(asked, 0, "\\boxed{alpha}", completion_tokens=0)
    folder = write_folder(tmp_path / "attempts", [asked], [row])
    text = write_attempts_report(folder).read_text()
    assert headings(text) == ["asked", "funnel", "acceptance", "passes", "examples", "settings"]
    assert re.findall(r'<li><a href="#(\w+)">', text) == headings(text)
    table = read_report(folder)
    assert [table[name] for name in ("lengths", "letters", "duplicates", "failures")] == [{}, {}, {}, {}]
    assert "saved_requests" not in table
    assert "cost" not in table


def test_questions_without_an_attempt(tmp_path):
    rows = [attempt_at(question(1), 0, "\\boxed{A}")]
    folder = write_folder(tmp_path / "attempts", [question(0), question(1), question(2)], rows)
    text = write_attempts_report(folder).read_text()
    assert "of 3 in the folder" in text
    table = read_report(folder)
    assert (table["questions"], table["funnel"]["questions"], table["pass_rate"]["questions"]) == (3, 1, 1)


def test_no_attempt_at_all(tmp_path):
    text = write_attempts_report(write_folder(tmp_path / "attempts", [question()], [])).read_text()
    assert headings(text) == ["asked", "settings"]


def test_only_failures(tmp_path):
    folder = write_folder(tmp_path / "attempts", [question()], [failed_at(question(), 0, "no route to host")])
    text = write_attempts_report(folder).read_text()
    assert headings(text) == ["asked", "funnel", "acceptance", "reasons", "failures", "settings"]


def test_the_programmatic_teacher_is_named(tmp_path):
    rows = [attempt_at(question(), index, "\\boxed{A}", teacher="scripted") for index in range(2)]
    extra = {"teacher": "programmatic teacher (10% wrong)"}
    folder = write_folder(tmp_path / "attempts", [question()], rows, extra=extra)
    text = write_attempts_report(folder).read_text()
    assert "The teacher is a program, not a model." in text
    assert "programmatic teacher (10% wrong)" in text
    assert "a program writes the same text again" in text
    assert "Alarm" not in text


@pytest.mark.parametrize(
    ("groups", "texts", "temperature", "alarm"),
    [
        ((0, 0), ("one " * 50, "one " * 50), 0.7, True),
        ((0, 1), ("one " * 50, "one " * 50), 0.7, True),  # by requests of their own
        ((0, 0), ("one " * 50, "two " * 50), 0.7, False),
        ((0, 0), ("one", "one"), 0.7, False),  # short texts are equal by chance
        ((0, 0), ("one " * 50, "one " * 50), 0.0, False),
    ],
)
def test_many_long_samples_that_are_copies_are_an_alarm(tmp_path, groups, texts, temperature, alarm):
    rows = [
        attempt_at(question(), index, f"<think>{text}</think>\n\n\\boxed{{A}}", group=group)
        for index, (group, text) in enumerate(zip(groups, texts, strict=True))
    ]
    folder = write_folder(tmp_path / "attempts", [question()], rows, config={"temperature": temperature})
    text = write_attempts_report(folder).read_text()
    assert read_report(folder)["duplicates"]["alarm"] is alarm
    assert text.count("Alarm: many samples are copies.") == (2 if alarm else 0)
    assert text.count('class="notice alarm"') == (2 if alarm else 0)
    assert ("the temperature is 0" in text) is (temperature == 0.0)


def test_saved_requests_and_cost(tmp_path):
    extra = {"cost": {"currency": "USD", "total": 1234.5}}
    rows = [attempt_at(question(), 0, "\\boxed{A}")]
    folder = write_folder(tmp_path / "attempts", [question()], rows, counts={"saved_requests": 5120}, extra=extra)
    text = write_attempts_report(folder).read_text().partition('<section id="spent"')[2].partition("</section>")[0]
    for name, value in (("saved requests", "5,120"), ("cost: currency", "USD"), ("cost: total", "1,234.5")):
        assert f'<th scope="row">{name}</th><td class="n">{value}</td>' in text
    assert read_report(folder)["cost"] == extra["cost"]


def test_equal_folders_give_equal_bytes(tmp_path):
    made = []
    for name in ("one", "two"):
        path = write_attempts_report(make_attempts(tmp_path / name / "attempts", each=5))
        made.append((path.read_bytes(), (path.parent / "report.json").read_bytes()))
        assert write_attempts_report(path.parent).read_bytes() == made[-1][0]
    assert made[0] == made[1]


@pytest.mark.parametrize("row_group", [100, 20_000])
def test_memory_does_not_grow_with_the_attempts(tmp_path, row_group):
    """32 MB of responses pass through; what is held is a few hundred of them, whatever the row groups."""
    questions = [question(index) for index in range(500)]
    first = attempt_at(questions[0], 0, "\\boxed{A}")
    rows = [
        {**first, "question_id": one.id, "sample_index": index, "response": f"{one.id}:{index} " + "word " * 800}
        for one in questions
        for index in range(16)
    ]
    folder = write_folder(tmp_path / "attempts", questions, rows, row_group=row_group)
    del rows
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        write_attempts_report(folder)
        python = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)
    assert 0 < pool.max_memory() < 16e6
    assert python < 16e6
    assert read_report(folder)["funnel"]["asked"] == 8000


def test_no_such_folder(tmp_path):
    with pytest.raises(UserError, match="octomed distill"):
        write_attempts_report(tmp_path / "nothing")


def test_another_stage_is_refused(tmp_path):
    tmp_path.joinpath("x").mkdir()
    write_manifest(tmp_path / "x", Manifest(stage="verify", config={}))
    with pytest.raises(UserError, match="octomed verify"):
        write_attempts_report(tmp_path / "x")


def test_attempts_without_verdicts_are_named(copied):
    path = copied / "attempts" / "part-00001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["verdict"]), path)
    with pytest.raises(UserError, match=r"'verdict'.*octomed distill"):
        write_attempts_report(copied)
    assert not list(copied.glob("report.*"))


@pytest.mark.parametrize("name", ["questions.parquet", "attempts/part-00000.parquet", "attempts/part-00001.parquet"])
@pytest.mark.parametrize("damage", ["cut", "spoil"])
def test_a_damaged_file_is_named(copied, name, damage):
    path = copied / name
    data = path.read_bytes()
    path.write_bytes(data[:-40] if damage == "cut" else data[:200] + b"\0" * 400 + data[600:])
    with pytest.raises(StopAndLook, match=re.escape(path.name)):
        write_attempts_report(copied)
    assert not list(copied.glob("report.*"))


def rewrite(folder, change):
    """Change the rows of the first part."""
    path = folder / "attempts" / "part-00000.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.reverse(), "out of order"),
        (lambda rows: rows[0].update(question_id="nobody:1"), "unknown question"),
        (lambda rows: rows[0].update(verdict="perhaps"), "'perhaps'"),
    ],
)
def test_rows_that_cannot_be_are_named(copied, change, said):
    rewrite(copied, change)
    with pytest.raises(StopAndLook, match=said):
        write_attempts_report(copied)


def test_command(copied, capsys):
    assert main(["report", f"--attempts={copied}"]) == 0
    assert str(copied / "report.html") in capsys.readouterr().out.splitlines()[-1]
    assert main(["report", f"--attempts={copied}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_json(copied / "report.json")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--attempts=/nothing/there"], "octomed distill"),
        (["--attempts=x", "--run=y"], "leave out --run"),
        (["--attempts=x", "--config=configs/demo.py"], "leave out --run"),
        (["--attempt=x"], "did you mean '--attempts'"),
    ],
)
def test_mistakes_on_the_command_line(arguments, said, capsys):
    assert main(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_figures_for_scripts_are_plain_json(folder, page):
    assert page
    text = (folder / "report.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text)["funnel"]["asked"] == len(read_rows(folder)[1])
