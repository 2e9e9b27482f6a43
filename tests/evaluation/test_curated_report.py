"""``octomed report --curated``: its figures, what stands side by side, and that nothing in it is read as HTML."""

import json
import re
import shutil

import pyarrow.parquet as pq
import pytest
from curated_folder import LONG, STEPS, make_curated, planted, question
from questions_folder import picture as noise
from report_run import PLANTED

from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.evaluation import curated_report
from octomed_jax.evaluation.curated_report import write_curated_report
from octomed_jax.evaluation.questions_page import MOST_IMAGES
from octomed_jax.manifests import Manifest, write_manifest
from octomed_jax.schema import Question
from octomed_jax.storage import read_json

SECTIONS = ["steps", "removed", "sources", "matched", "filled", "examples", "licences", "settings"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that tests only read."""
    return make_curated(tmp_path_factory.mktemp("curated"))


@pytest.fixture(scope="module")
def page(folder):
    return write_curated_report(folder).read_text()


@pytest.fixture(scope="module")
def table(folder, page):
    assert page
    return read_json(folder / "report.json")


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "curated", ignore=shutil.ignore_patterns("report.*"))


def headings(page):
    return re.findall(r'<section id="(\w+)"', page)


def article(page, identity):
    """Return the example whose removed question has that id."""
    found = [one for one in page.split("<article")[1:] if f"<h4>{identity}</h4>" in one.partition("</h4>")[0] + "</h4>"]
    assert len(found) == 1
    return found[0].partition("</article>")[0]


def sides(one):
    return one.split('<p class="label">')[-2:]


def marked(text):
    return re.findall(r"<mark>(.*?)</mark>", text)


def test_sections_stand_in_their_order(page):
    assert headings(page) == SECTIONS
    assert re.findall(r'<li><a href="#(\w+)">', page) == SECTIONS
    assert re.findall(r'<figure id="figure-(\w+)"', page) == [
        "steps", "removed", "sources", "matched", "filled_modality", "filled_body_region"
    ]  # fmt: skip


def test_counts(table, folder):
    assert (table["before"], table["removed"], table["after"], table["held_out"]) == (26, 10, 16, 4)
    assert table["before"] == sum(one.split == "train" for one in planted())
    assert table["after"] == pq.read_metadata(folder / "questions.parquet").num_rows
    assert table["folders"] == {"questions": 1, "against": 1}
    assert [(step["step"], step["before"], step["removed"], step["after"]) for step in table["steps"]] == [
        ("decontaminate", 26, 6, 20), ("deduplicate", 20, 2, 18), ("balance", 18, 2, 16), ("metadata", 16, 0, 16)
    ]  # fmt: skip
    assert table["rules"] == {"metadata": "rule-2"}
    counts = {field: sum(found.values()) for field, found in table["filled"].items()}
    assert table["filled_by"] == {"rule": counts}
    assert table["marked"] == {"rule-2": counts}  # it is the last step: none of them went after it


def test_by_source(table):
    sources = table["sources"]
    assert list(sources) == ["books", f"books {PLANTED}", "scans", "wards"]
    assert sources["books"] == {
        "before": 16,
        "after": 11,
        "removed": {
            "decontaminate": {"words": 2, "words_with_options": 1},
            "deduplicate": {"same": 1, "same_with_other_answer": 1},
        },
    }
    assert sources["wards"] == {"before": 1, "after": 0, "removed": {"decontaminate": {"text": 1}}}
    for row in sources.values():
        gone = sum(sum(reasons.values()) for reasons in row["removed"].values())
        assert row["before"] == row["after"] + gone
    assert sum(row["before"] for row in sources.values()) == table["before"]
    assert sum(row["after"] for row in sources.values()) == table["after"]


def test_matches_by_benchmark_and_those_of_other_folders(table, page):
    assert table["matched"] == {
        "sets": {
            "held out": {"removed": 5, "held_out": 4, "of": 4},
            "against": {"removed": 1, "held_out": 1, "of": 1},
        },
        "benchmarks": [
            {"set": "held out", "benchmark": "cases", "removed": 2, "held_out": 1, "of": 1},
            {"set": "against", "benchmark": "cases", "removed": 1, "held_out": 1, "of": None},
            {"set": "held out", "benchmark": "choices", "removed": 1, "held_out": 1, "of": 1},
            {"set": "held out", "benchmark": "notes", "removed": 1, "held_out": 1, "of": 1},
            {"set": "held out", "benchmark": "organs", "removed": 1, "held_out": 1, "of": 1},
        ],
    }
    assert '<th scope="row">against</th><td class="n">1</td>' in page


def test_page_says_what_went(page):
    assert "<h1>16 of 26 questions are left</h1>" in page
    assert (
        "10 were taken out: 6 by the step decontaminate, 2 by the step deduplicate and 2 by the step balance." in page
    )
    assert "Access class: credentialed." in page
    assert "is the same question as an earlier one, with another answer" in page
    assert "1 decontaminate.ngram</th><td><code>16</code>" in page
    for licence in ("MIT", PLANTED.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;")):
        assert f"<li>{licence}</li>" in page


def test_what_both_share_is_marked_side_by_side(page):
    ours, theirs = sides(article(page, "books:cases:0002"))
    assert "<h4>books:cases:0002</h4>" in ours
    assert "The held-out question that it is like</p>" in theirs
    assert "<h4>exam:cases:0001</h4>" in theirs
    assert marked(ours)[0].startswith("a man of forty five")
    assert marked(ours)[0].endswith("flat")
    assert [text.lower() for text in marked(theirs)] == marked(ours)
    assert "Once more <mark>" in ours
    assert "</mark>!" in ours


def test_what_is_shared_with_the_options_is_marked_there(page):
    ours, theirs = sides(article(page, "books:choices:0003"))
    for one in (ours, theirs):
        assert "<li>A. <mark>pain in the chest on lying flat</mark></li>" in one
        assert 'class="gold">C. <mark>no pain at all anywhere</mark> <span class="gold-mark">✓ gold</span></li>' in one
    assert "Choose what fits" in ours


def test_where_words_are_not_the_reason_nothing_is_marked(page):
    for identity in ("scans:organs:0003", "books:same:0002"):
        assert not marked(article(page, identity))
    ours, theirs = sides(article(page, "scans:organs:0003"))
    assert (ours.count("<img "), theirs.count("<img ")) == (2, 1)
    ours, theirs = sides(article(page, "books:same:0002"))
    assert "The earlier question that it is like</p>" in theirs
    assert "books:same:0001" in theirs


def test_a_question_that_is_like_none_stands_alone(page):
    alone = [one for one in page.split("<article")[1:] if "of the class &#39;yes&#39;" in one]
    assert len(alone) == 2
    assert all(one.count("<h4>") == 1 for one in alone)


def test_questions_that_are_not_open_are_left_out_and_counted(page, table):
    assert "both of her lower legs" not in page
    assert "typhus" not in page
    assert "<strong>1 example is left out</strong> because a question of it is not open" in page
    assert table["examples"] == {"shown": 9, "not_open_left_out": 1}
    assert page.count("<article") == 9


def closed(one: Question) -> Question:
    return question(one.id, one.question, split=one.split, access="credentialed")


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_of_the_two_that_is_not_open_is_enough(tmp_path, split):
    words = "twenty words that stand in one row are more than the sixteen which are asked for here so it goes"
    given = [question("a:b:1", f"{words}?"), question("c:d:1", f"{words}!", split="test"), question("a:b:2", "Why?")]
    given = [closed(one) if one.split == split else one for one in given]
    page = write_curated_report(make_curated(tmp_path, given, steps=("decontaminate",))).read_text()
    assert "twenty words" not in page
    assert "1 example is left out" in page


def test_nothing_in_it_is_read_as_html(page):
    assert PLANTED not in page
    assert not re.search(r"<(script|iframe|object|embed|base)\b|<img src=x", page)
    assert not re.search(r"\s(?:src|srcset|data)=\"(?!data:)", page)
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'" in page
    for place in ("sources", "examples", "licences"):
        section = page.partition(f'<section id="{place}"')[2].partition("</section>")[0]
        assert "script&gt;" in section, place


def test_nothing_in_marked_words_is_read_as_html(tmp_path):
    text = f"one two three four five six {PLANTED} seven eight nine"
    given = [question("a:b:1", text), question("a:b:2", f"So {text}", split="test"), question("a:b:3", "Why?")]
    page = write_curated_report(make_curated(tmp_path, given, steps=("decontaminate",))).read_text()
    assert "<script" not in page
    assert sum("&lt;script&gt;" in words for words in marked(page)) == 2


def test_what_has_no_data_is_left_out(tmp_path):
    given = [question("a:b:1", "Why?"), question("a:b:2", "When?")]
    folder = make_curated(tmp_path, given, steps=("deduplicate",))
    page = write_curated_report(folder).read_text()
    assert headings(page) == ["steps", "sources", "licences", "settings"]
    assert re.findall(r'<li><a href="#(\w+)">', page) == headings(page)
    assert "<h1>2 of 2 questions are left</h1>" in page
    assert "No step took anything out." in page
    table = read_json(folder / "report.json")
    assert table["matched"] == {"sets": {}, "benchmarks": []}
    assert (table["filled"], table["rules"]) == ({}, {})
    assert (table["filled_by"], table["unknown_to_judge"], table["marked"]) == ({}, {}, {})


def test_long_texts_are_cut(tmp_path):
    long = "word " * 2000
    given = [question("a:b:1", long), question("a:b:2", long), question("a:b:3", f"{long}so", split="test")]
    given.append(question("a:b:4", "Why?"))
    page = write_curated_report(make_curated(tmp_path, given, steps=("decontaminate",))).read_text()
    assert page.count("(cut here; 10,000 characters in all)") == 2
    assert page.count("word word") < 4 * curated_report.MOST_TEXT / 5


def test_a_page_of_large_images_stays_small(tmp_path, monkeypatch):
    shared = tuple(noise(seed, (400, 300)) for seed in range(8))
    given = [question("a:b:1", "Why?", images=shared), question("a:b:2", "Where?", images=shared, split="test")]
    folder = make_curated(tmp_path, [*given, question("a:b:3", "When?")], steps=("decontaminate",))
    assert sum(map(len, shared[:MOST_IMAGES])) > 2_000_000
    assert len(write_curated_report(folder).read_text()) > 2_000_000
    monkeypatch.setattr(curated_report, "IMAGE_BYTES", 12 * 8_000)
    page = write_curated_report(folder).read_text()
    assert page.count("<img ") == 2 * MOST_IMAGES
    assert page.count("(and 2 more images)") == 2
    assert len(page) < 200_000


def test_equal_folders_give_equal_bytes(tmp_path):
    made = []
    for name in ("one", "two"):
        path = write_curated_report(make_curated(tmp_path / name))
        made.append((path.read_bytes(), (path.parent / "report.json").read_bytes()))
        assert write_curated_report(path.parent).read_bytes() == made[-1][0]
    assert made[0] == made[1]


def test_figures_for_scripts_are_plain_json_without_texts(folder, page):
    assert page
    text = (folder / "report.json").read_text()
    assert "forty five" not in text
    assert "typhus" not in text


@pytest.mark.parametrize("name", ["questions.parquet", "heldout.parquet", "removed.parquet", "examples.parquet"])
@pytest.mark.parametrize("damage", ["cut", "spoil", "remove"])
def test_a_damaged_file_is_named(copied, name, damage):
    path = copied / name
    data = path.read_bytes()
    path.write_bytes(data[:-40] if damage == "cut" else b"\0" * len(data))
    if damage == "remove":
        path.unlink()
    with pytest.raises((StopAndLook, UserError), match=re.escape(name)):
        write_curated_report(copied)
    assert not list(copied.glob("report.*"))


def test_a_record_that_is_not_the_manifests_is_named(copied):
    path = copied / "removed.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.slice(1), path)
    with pytest.raises(StopAndLook, match=r"removed.parquet names 2 questions of decontaminate words, the manifest 3"):
        write_curated_report(copied)


def test_another_stage_is_refused(tmp_path):
    with pytest.raises(UserError, match="octomed curate"):
        write_curated_report(tmp_path / "nothing")
    tmp_path.joinpath("x").mkdir()
    write_manifest(tmp_path / "x", Manifest(stage="verify", config={}))
    with pytest.raises(UserError, match="octomed verify"):
        write_curated_report(tmp_path / "x")


def test_command(copied, capsys):
    assert main(["report", f"--curated={copied}"]) == 0
    assert str(copied / "report.html") in capsys.readouterr().out.splitlines()[-1]
    assert main(["report", f"--curated={copied}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_json(copied / "report.json")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--curated=/nothing/there"], "octomed curate"),
        (["--curated=x", "--run=y"], "leave out --run"),
        (["--curated=x", "--config=configs/demo.py"], "leave out --run"),
        (["--curated=x", "--attempts=y"], "give one of them"),
        (["--curate=x"], "did you mean '--curated'"),
    ],
)
def test_mistakes_on_the_command_line(arguments, said, capsys):
    assert main(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_curate_writes_the_report_and_names_it(folder, tmp_path, capsys):
    output = tmp_path / "curated"
    inputs = [f"--questions={folder.parent / 'questions'}", f"--against={folder.parent / 'against'}"]
    words = ["curate", *inputs, f"--output={output}", f"--config.curate.steps={STEPS}", "--workers=1"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"16 of 26 questions are left, 4 held out, in {output}; report: {output / 'report.html'}"
    )
    assert read_json(output / "report.json")["removed"] == 10
    (output / "report.html").write_text("mine")
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(output / "report.html")
    assert (output / "report.html").read_text() == "mine"


TEMPLATE = "which term of the great and old vocabulary of all findings has the meaning"
MEANINGS = (
    "a bone that is too long or too bent",
    "an eye of two colours seen in bright light",
    "some skin without hair on both of the arms",
    "a heart that beats in the right half",
)


def test_a_template_is_named_before_the_words_of_single_questions(tmp_path):
    given = [question(f"a:b:{number}", f"{TEMPLATE} {meaning}?") for number, meaning in enumerate(MEANINGS)]
    given += [question("a:b:8", f"Once more {LONG}!"), question("a:b:9", "Why?")]
    given += [
        question(f"a:b:held{number}", f"{TEMPLATE} {meaning}?", split="test") for number, meaning in enumerate(MEANINGS)
    ]
    given.append(question("a:b:held9", f"Here, {LONG}.", split="test"))
    folder = make_curated(tmp_path, given, steps=("decontaminate",))
    page = write_curated_report(folder).read_text()
    assert read_json(folder / "report.json")["phrases"] == {
        "by_words": 5, "shown": [{"words": TEMPLATE, "questions": 4}], "not_open": False
    }  # fmt: skip
    assert f'<th scope="row">{TEMPLATE}</th><td class="n">4</td><td class="n">80' in page
    assert "phrases" in headings(page)


def test_shared_words_of_a_folder_that_is_not_open_are_not_listed(table, page):
    assert table["phrases"] == {"by_words": 5, "shown": [], "not_open": True}
    assert "phrases" not in headings(page)


def test_licences_of_what_is_shown_beside_are_listed(tmp_path):
    text = "a b c d e f g h i j k l m n o p q"
    given = [
        question("a:b:1", text, licence="of the removed"),
        question("a:b:2", text, split="test", licence="MIT"),
        question("a:b:3", "Why?"),
    ]
    folder = make_curated(tmp_path, given, steps=("decontaminate",))
    table = read_json(write_curated_report(folder).parent / "report.json")
    assert (table["licences"], table["licences_shown"]) == (["MIT"], ["MIT", "of the removed"])
    assert "<li>of the removed</li>" in (folder / "report.html").read_text()
    assert (
        "- Licence of questions taken out, and of those they are like: of the removed"
        in (folder / "card.md").read_text()
    )
