"""``octomed data compare``: what two corpora share, and what is left out where it cannot be compared."""

import json
import shutil

import pytest
from corpus_run import given, make_corpus
from curated_folder import question
from report_run import PLANTED, picture

from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.evaluation.data_card import write_data_card
from octomed_jax.evaluation.data_card_keys import read_keys, shared
from octomed_jax.evaluation.data_compare import compare, on_one_axis, read_side
from octomed_jax.evaluation.data_compare_page import write_page
from octomed_jax.storage import read_json, write_json

MORE = (
    question("extra:own:0001", "What is only here?"),
    question("extra:own:0002", "Which organ is only here?", images=(picture(77),)),
)


def once_more():
    """Return the questions of the other corpus under names of its own, one as it is, and two more."""
    same = [one for one in given() if one.split == "train" and one.source == "scans"]
    again = question("copy:plain:0001", "what treats, GALLSTONES?", options=("liver", "heart", "lung"))
    return [*same, again, *MORE]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run with a card in its shards."""
    run = make_corpus(tmp_path_factory.mktemp("first") / "run", curated=False)
    write_data_card(run / "shards", run=run)
    return run


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """A run with shards and no card."""
    return make_corpus(tmp_path_factory.mktemp("second") / "run", curated=False, questions=once_more())


@pytest.fixture(scope="module")
def table(first, second):
    return compare(read_side(f"{first}/shards"), read_side(f"{second}/shards"))


def test_overlap_is_by_words_and_images(table, first):
    scans = sum(one.split == "train" and one.source == "scans" for one in given())
    overlap = table["overlap"]
    assert overlap["ids"]["both"] == scans
    assert overlap["ids"]["only_b"] == 3
    assert overlap["questions"]["both"] == scans + 1  # of the same words, under another id
    assert overlap["questions"]["only_b"] == len(MORE)
    assert overlap["images"]["only_b"] == 1
    card = read_json(first / "shards" / "card" / "card.json")
    assert overlap["images"]["both"] + overlap["images"]["only_a"] == card["counts"]["unique_images"]


def test_shares_are_of_the_training_rows(table):
    for rows in table["shares"].values():
        assert sum(row["share"][0] for row in rows) == pytest.approx(1)
        assert sum(row["share"][1] for row in rows) == pytest.approx(1)
    names = {row["name"]: row for row in table["shares"]["source"]}
    assert names["extra"]["share"][0] == 0 < names["extra"]["share"][1]


def test_lengths_of_two_tokenizers_are_left_out(table):
    assert "two tokenizers" in table["lengths"]["left_out"]
    assert "Lengths are left out" in write_page(table).replace("</strong>", "").replace("<strong>", "")


def test_a_corpus_is_as_itself(first):
    side = read_side(f"{first}/shards")
    table = compare(side, read_side(f"{first}/shards/card/card.json"))
    assert all(a == b for a, b in table["counts"].values())
    assert all(row["only_a"] == row["only_b"] == 0 < row["both"] for row in table["overlap"].values())
    a, b = table["lengths"]["response"]
    assert a == b == side.card["lengths"]["response"]


def test_shards_without_a_card_are_counted_and_nothing_is_written(second, tmp_path):
    side = read_side(f"{second}/shards")
    assert not (second / "shards" / "card").exists()
    folder, card = write_data_card(second / "shards", tmp_path / "card")
    assert {name: side.card[name] for name in ("counts", "by", "lengths")} == {
        name: card[name] for name in ("counts", "by", "lengths")
    }
    assert shared(read_keys(folder / "keys.npz").questions, side.keys.questions) == len(side.keys.questions)


def test_a_card_of_other_shards_is_not_taken(first, second, tmp_path):
    run = shutil.copytree(second, tmp_path / "run")
    shutil.copytree(first / "shards" / "card", run / "shards" / "card")
    assert read_side(f"{run}/shards").card["counts"] == read_side(f"{second}/shards").card["counts"]


def test_the_paper_as_the_second(first):
    table = compare(read_side(f"{first}/shards"), read_side("paper"))
    assert table["counts"]["instances"][1] == 8_095_571
    assert table["lengths"]["response"][1] == {"mean": 840.0}
    assert list(table["shares"]) == ["body_region"]
    assert table["shares"]["body_region"][0]["share"][1] == 0.4477
    assert "not at hand" in table["overlap"]["left_out"]
    assert "arXiv 2511.23269" in write_page(table)


def test_the_paper_cannot_be_the_first(first):
    with pytest.raises(UserError, match="give it as the second"):
        compare(read_side("paper"), read_side(f"{first}/shards"))


def test_without_keys_overlap_is_not_known(first, tmp_path):
    shutil.copy(first / "shards" / "card" / "card.json", tmp_path)
    table = compare(read_side(f"{first}/shards"), read_side(str(tmp_path)))
    assert "keys.npz" in table["overlap"]["left_out"]


def test_keys_of_another_card_are_refused(first, tmp_path):
    card = shutil.copytree(first / "shards" / "card", tmp_path / "card")
    keys = bytearray((card / "keys.npz").read_bytes())
    keys[200] ^= 1
    (card / "keys.npz").write_bytes(keys)
    with pytest.raises(StopAndLook, match="does not belong to the card beside it"):
        read_side(str(card))


def test_a_card_of_another_version_is_refused(first, tmp_path):
    card = read_json(first / "shards" / "card" / "card.json")
    write_json(tmp_path / "card.json", {**card, "card_version": 99})
    with pytest.raises(UserError, match="version 99"):
        read_side(str(tmp_path / "card.json"))


def test_histograms_come_onto_one_axis():
    def one(width, counts):
        return {"histogram": {"width": width, "counts": counts}}

    assert on_one_axis([one(2, [1, 2, 3, 4, 5, 6]), one(5, [10, 20])]) == (10, [[15, 6], [30, 0]])


class TestCommand:
    def test_tables_and_page(self, first, second, tmp_path, capsys):
        page = tmp_path / "both.html"
        assert main(["data", "compare", f"{first}/shards", f"{second}/shards", f"--output={page}"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1].endswith(f"page: {page}")
        assert any(line.startswith("| question ids |") for line in lines)
        assert PLANTED not in page.read_text()

    def test_json(self, first, table, second, capsys):
        assert main(["data", "compare", f"{first}/shards", f"{second}/shards", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == table

    @pytest.mark.parametrize(
        ("sides", "told"),
        [
            (["nowhere", "paper"], "no such corpus: nowhere"),
            ([".", "paper"], "holds neither a card.json nor finished shards"),
            (["nowhere"], "the following arguments are required: B"),
        ],
    )
    def test_mistakes(self, sides, told, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert main(["data", "compare", *sides]) == 2
        assert told in capsys.readouterr().err
