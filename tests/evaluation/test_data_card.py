"""``octomed data card``: its numbers are those of the corpus, and nothing is shown that may not be."""

import json
import re
import shutil

import pytest
from corpus_run import SECRET, SECRET_THOUGHT, config_of, given, make_corpus
from report_run import PLANTED

from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.evaluation.data_card import write_data_card
from octomed_jax.evaluation.data_card_keys import read_keys
from octomed_jax.evaluation.data_card_rows import release_words
from octomed_jax.hf.rendering import renderings
from octomed_jax.inputs.tokenizer import load_tokenizer
from octomed_jax.storage import read_json, write_json
from octomed_jax.traces.lake import iterate_rows
from tests.traces.corpus import iterate_records

FILES = ["CARD.md", "card.html", "card.json", "keys.npz"]
SECTIONS = [
    "numbers", "composition", "lengths", "funnel", "mixture", "contamination", "licences", "teachers", "samples", "made"
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that tests only read."""
    return make_corpus(tmp_path_factory.mktemp("corpus") / "run")


@pytest.fixture(scope="module")
def card(run, tmp_path_factory):
    folder, _ = write_data_card(run / "shards", tmp_path_factory.mktemp("card"), run=run, config=config_of(run))
    return folder


@pytest.fixture(scope="module")
def table(card):
    return read_json(card / "card.json")


@pytest.fixture(scope="module")
def records(run):
    """What was accepted, as far as the recipe takes it, read from the lake and not from the shards."""
    return [record.first(2) for record in iterate_records(run / "traces")]


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def test_counts_are_those_of_the_lake(table, records):
    rows = [(record.question, response) for record in records for response in record.responses]
    images = {digest for question, _ in rows for digest in question.image_hashes}
    counts = table["counts"]
    assert counts["instances"] == len(rows) > 30
    assert counts["vision_language"] == sum(bool(question.images) for question, _ in rows)
    assert counts["text_only"] + counts["vision_language"] == len(rows)
    assert counts["questions"] == counts["unique_questions"] == len(records)
    assert counts["unique_images"] == len(images)
    assert counts["images"] == sum(len(record.question.images) for record in records)
    assert counts["traces_per_question"] == round(len(rows) / len(records), 2)
    assert sum(int(n) * questions for n, questions in table["traces_per_question"].items()) == len(rows)


@pytest.mark.parametrize("field", ["source", "benchmark", "task"])
def test_counts_by_field(table, records, field):
    for name, row in table["by"][field].items():
        mine = [record for record in records if getattr(record.question, field) == name]
        assert row["questions"] == len(mine)
        assert row["instances"] == sum(len(record.responses) for record in mine)
        assert row["unique_images"] == len({digest for one in mine for digest in one.question.image_hashes})
    assert sum(row["questions"] for row in table["by"][field].values()) == len(records)


def test_what_has_no_label_is_told_apart_by_its_images(table, records):
    rows = table["by"]["modality"]
    unlabelled = [record.question for record in records if not record.question.modality]
    assert rows["text only"]["questions"] == sum(not one.images for one in unlabelled) > 0
    assert rows["not labelled"]["questions"] == sum(bool(one.images) for one in unlabelled) > 0
    assert rows["text only"]["unique_images"] == 0


def test_lengths_are_those_of_the_students_tokenizer(table, records, run):
    [rendered] = renderings(run / "shards")
    student = next(path.parent for path in rendered.rglob("tokenizer.json"))
    encode = load_tokenizer(student).encode
    responses = [len(encode(response)) for record in records for response in record.responses]
    lengths = table["lengths"]
    assert lengths["response"]["mean"] == round(sum(responses) / len(responses), 2)
    assert lengths["response"]["longest"] == max(responses)
    assert sum(lengths["response"]["histogram"]["counts"]) == len(responses)
    asked = []
    for record in records:
        one = record.question
        letters = [f"{letter}. {option}" for letter, option in zip("ABCDEFGH", one.options, strict=False)]
        shown = letters if one.task == "mcq" else ["Options: " + ", ".join(one.options)] if one.options else []
        asked.append(len(encode("\n".join([one.question, *shown]))))
    assert lengths["question"]["mean"] == round(sum(asked) / len(asked), 2)
    assert lengths["tokenizer"]["name"] == "a vocabulary of its own"


def test_funnel(table, run, records):
    funnel, told = table["funnel"], read_json(run / "traces" / "funnel.json")
    curated = manifests.read_manifest(run / "curated", "curate")
    assert funnel["total"]["questions"] == {
        "built": curated.counts["steps"][0]["before"],
        "curated": curated.counts["train"],
        "asked": told["total"]["questions"],
        "with_trace": told["total"]["questions_kept"],
        "in_shards": len(records),
    }
    for name, row in told["sources"].items():
        mine = funnel["sources"][name]["attempts"]
        assert {step: mine[step] for step in ("asked", "parsed", "kept")} == {
            step: row[step] for step in ("asked", "parsed", "kept")
        }
        assert mine["in_shards"] == table["by"]["source"][name]["instances"]
        assert mine["in_shards"] < mine["kept"] < mine["asked"]


def test_an_epoch_is_told_as_the_config_mixes_it(run, tmp_path):
    config = config_of(run)
    with config.unlocked():
        config.mixture.epochs = "scans=2,books=0"
    folder, table = write_data_card(run / "shards", tmp_path / "mixed", run=run, config=config)
    rows = {row["source"]: row for row in table["mixture"]["sources"]}
    scans = table["by"]["source"]["scans"]["instances"]
    assert rows["scans"]["examples_an_epoch"] == 2 * scans == 2 * rows["scans"]["examples"]
    assert rows.get("books", {"examples_an_epoch": 0})["examples_an_epoch"] == 0
    assert "epochs: books 0, scans 2" in (folder / "CARD.md").read_text()


def test_each_example_comes_once_where_nothing_is_mixed(table):
    for row in table["mixture"]["sources"]:
        assert row["examples_an_epoch"] == table["by"]["source"][row["source"]]["instances"]


def test_what_curation_found_is_told(table, run):
    removed = list(iterate_rows(run / "curated" / "removed.parquet", ["step"]))
    assert table["curation"]["state"] == "curated"
    assert table["curation"]["removed"] == len(removed) > 0
    matched = table["curation"]["matched"]
    taken_out = sum(row["removed"] for row in matched["benchmarks"])
    assert taken_out == sum(row["step"] == "decontaminate" for row in removed)
    assert table["missing"] == []


def test_the_folder_holds_the_files_and_the_page_its_sections(card):
    assert sorted(path.name for path in card.iterdir()) == FILES
    assert re.findall(r'<section id="(\w+)"', (card / "card.html").read_text()) == SECTIONS


def test_nothing_is_shown_of_what_is_not_open(card, table):
    assert table["access"] == "credentialed"
    assert table["samples"]["not_open_hidden"] == {"vault": 2}
    assert "vault" not in table["samples"]["shown"]
    for name in ("CARD.md", "card.html", "card.json"):
        text = (card / name).read_text()
        assert SECRET not in text
        assert "Sealed" not in text
        assert SECRET_THOUGHT not in text
        assert "vault" in text
    shown = {one["id"] for one in _ids(table)}
    images = (card / "card.html").read_text().count("<img src=")
    assert images == sum(len(one.images) for one in given() if one.id in shown)


def _ids(table):
    return [{"id": name} for names in table["samples"]["shown"].values() for name in names]


def test_what_licences_ask_is_told(card, table):
    assert any(note.startswith("Credentialed: vault.") for note in table["licence_notes"])
    assert any("signed only (vault)" in note for note in table["licence_notes"])
    assert all(f"<p>{note}</p>" in (card / "card.html").read_text() for note in table["licence_notes"])


def test_whether_it_is_marked_for_release_is_told(card):
    words = "Not marked for release: whether its licences allow one was not asked (config.traces.release)."
    assert f"\n\n{words}\n\n" in (card / "CARD.md").read_text()
    assert f"<p>{words}</p>" in (card / "card.html").read_text()
    marked = {"settings": {"traces": {"release": True}}}
    assert release_words(marked).endswith("all terms are known by name.")
    marked["settings"]["traces"]["permitted"] = ["hpo", "wordnet"]
    assert release_words(marked).endswith("or were read by whoever made it: hpo, wordnet.")


def test_a_corpus_of_closed_texts_alone(tmp_path):
    closed = [one for one in given() if one.access != "open" and one.split == "train" and not one.images]
    run = make_corpus(tmp_path / "closed", curated=False, questions=closed)
    folder, table = write_data_card(run / "shards", run=run, config=config_of(run))
    assert table["counts"]["vision_language"] == table["counts"]["unique_images"] == 0 < table["counts"]["text_only"]
    assert table["samples"]["shown"] == {}
    page = (folder / "card.html").read_text()
    assert "<article" not in page
    assert not [one for one in closed if one.question in page or one.id in page]


def test_samples_are_folded_and_few(card, table):
    page = (card / "card.html").read_text()
    assert all(1 <= len(names) <= 2 for names in table["samples"]["shown"].values())
    assert page.count("<summary>Thought") == len(_ids(table))
    assert page.count("<details open") == 0


def test_nothing_planted_is_read_as_html(card):
    page, text = (card / "card.html").read_text(), (card / "CARD.md").read_text()
    assert PLANTED not in page
    assert "&lt;script&gt;" in page
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.S | re.M)
    assert "<script>" not in outside


def test_equal_folders_give_equal_bytes_and_no_manifest_changes(run, card, tmp_path):
    before = {path: path.read_bytes() for path in run.rglob("manifest.json")}
    again, _ = write_data_card(run / "shards", tmp_path / "again", run=run, config=config_of(run))
    for name in FILES:
        assert (again / name).read_bytes() == (card / name).read_bytes(), name
    assert {path: path.read_bytes() for path in run.rglob("manifest.json")} == before


def test_it_lies_in_the_shards_by_default_and_changes_no_work(copied):
    folder, _ = write_data_card(copied / "shards")
    assert folder == copied / "shards" / "card"
    manifest = manifests.read_manifest(copied / "shards", "shard")
    assert manifests.finished(copied / "shards", "shard", manifest.config, manifest.inputs) == manifest


def test_what_is_not_there_is_named(run, tmp_path):
    _, table = write_data_card(run / "shards", tmp_path / "bare")
    assert {row["what"] for row in table["missing"]} == {"traces", "attempts", "curated", "questions", "mixture"}
    assert table["funnel"]["total"]["attempts"]["asked"] is None
    assert table["curation"] == {"state": "unknown"}
    for name in ("CARD.md", "card.html"):
        text = (tmp_path / "bare" / name).read_text()
        assert "Whether the questions were curated is not known" in text
        assert "no --traces was given" in text


def test_not_curated_is_said_plainly(tmp_path):
    run = make_corpus(tmp_path / "plain", curated=False)
    folder, table = write_data_card(run / "shards", run=run)
    assert table["curation"] == {"state": "not curated"}
    assert [row["what"] for row in table["missing"]] == ["mixture"]
    assert "Not curated" in (folder / "CARD.md").read_text()
    assert table["funnel"]["total"]["questions"]["curated"] is None
    assert table["funnel"]["total"]["questions"]["built"] == table["funnel"]["total"]["questions"]["asked"]


def test_a_curated_folder_without_attempts_is_taken_as_given(run, tmp_path):
    named = {"traces": run / "traces", "curated": run / "curated"}
    _, table = write_data_card(run / "shards", tmp_path / "named", named)
    assert table["curation"]["state"] == "curated"
    assert "proof of curated" in {row["what"] for row in table["missing"]}


def test_without_a_rendering_lengths_are_not_counted(copied):
    shutil.rmtree(copied / "shards" / "rendered")
    folder, table = write_data_card(copied / "shards", run=copied)
    assert table["lengths"] is None
    assert "rendering" in {row["what"] for row in table["missing"]}
    assert "not rendered for a student" in (folder / "CARD.md").read_text()


def test_a_folder_of_another_corpus_is_refused_or_named(copied, run):
    other = manifests.read_manifest(copied / "traces", "verify")
    manifests.write_manifest(copied / "traces", manifests.Manifest(**{**vars(other), "config": {"verifier": "other"}}))
    with pytest.raises(UserError, match=r"--traces=.* is not what `octomed shard` read for these shards"):
        write_data_card(run / "shards", named={"traces": copied / "traces"})
    _, table = write_data_card(copied / "shards", run=copied)
    why = {row["what"]: row["why"] for row in table["missing"]}
    assert "not what `octomed shard` read for these shards" in why["traces"]
    assert "cannot be told to belong" in why["attempts"]


def test_shards_that_hold_less_than_they_say_are_named(copied):
    told = read_json(copied / "shards" / "manifest.json")
    told["counts"]["examples"] += 1
    write_json(copied / "shards" / "manifest.json", told)
    with pytest.raises(StopAndLook, match="its manifest says"):
        write_data_card(copied / "shards")


def test_unfinished_shards_are_refused(copied):
    (copied / "shards" / "manifest.json").unlink()
    with pytest.raises(UserError, match="is not finished; make it first with `octomed shard`"):
        write_data_card(copied / "shards")


def test_a_damaged_funnel_is_named(copied):
    (copied / "traces" / "funnel.json").write_text('{"sources": {"books": {}}}')
    with pytest.raises(StopAndLook, match=r"funnel\.json is not as it was written"):
        write_data_card(copied / "shards", run=copied)


def test_a_funnel_of_fewer_traces_than_the_shards_hold_is_named(copied):
    told = read_json(copied / "traces" / "funnel.json")
    told["sources"]["books"]["kept"] = 1
    write_json(copied / "traces" / "funnel.json", told)
    with pytest.raises(StopAndLook, match=r"tells of 1 traces of books, the shards hold \d+"):
        write_data_card(copied / "shards", run=copied)


def test_keys_are_sorted_and_each_once(card, table):
    keys = read_keys(card / "keys.npz")
    assert len(keys.ids) == table["counts"]["questions"]
    assert len(keys.images) == table["counts"]["unique_images"]
    assert (keys.ids[1:] > keys.ids[:-1]).all()


class TestCommand:
    def test_json_is_card_json(self, run, tmp_path, capsys):
        arguments = [f"--shards={run}/shards", f"--traces={run}/traces", f"--output={tmp_path}/card", "--json"]
        assert main(["data", "card", *arguments]) == 0
        assert json.loads(capsys.readouterr().out) == read_json(tmp_path / "card" / "card.json")

    def test_the_last_line_says_where(self, run, root, tmp_path, capsys):
        arguments = [f"--config={root}/configs/demo.py:tiny", f"--config.run={run}", f"--output={tmp_path}/card"]
        assert main(["data", "card", *arguments]) == 0
        last = capsys.readouterr().out.splitlines()[-1]
        assert last.startswith(f"card: {tmp_path}/card/card.html (")
        assert read_json(tmp_path / "card" / "card.json")["missing"] == []

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ([], "name the corpus with --config=FILE or --shards=DIR"),
            (["--shards=nowhere"], "nowhere does not exist; make it first with `octomed shard`"),
            (["--shards=nowhere", "--config.run=x"], "there is no --config=FILE"),
            (["--shard=nowhere"], "did you mean '--shards'"),
        ],
    )
    def test_mistakes(self, arguments, told, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert main(["data", "card", *arguments]) == 2
        assert told in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []
