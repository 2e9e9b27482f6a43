"""Finished work is known by its manifest, and what became of its files since is found as far as it is looked for."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "out"
    place.mkdir()
    pq.write_table(pa.table({"a": list(range(1000))}), place / "large.parquet")
    (place / "data").mkdir()
    (place / "data" / "small.txt").write_text("small")
    (place / "card.md").write_text("a card")
    manifests.write_manifest(place, manifests.Manifest("made", {}, files=manifests.hash_files(place)))
    return place


def done(folder):
    return manifests.finished(folder, "made", {}, {})


def test_a_folder_as_it_was_written_is_finished(folder):
    assert sorted(done(folder).files) == ["card.md", "data/small.txt", "large.parquet"]
    (folder / "card.md").write_text("a card that somebody wrote on")
    (folder / "report.html").write_text("drawn later")
    assert done(folder)


@pytest.mark.parametrize("name", ["large.parquet", "data/small.txt", "card.md"])
def test_a_file_that_is_gone_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(StopAndLook) as stop:
        done(folder)
    assert str(stop.value) == (
        f"{folder / name} is missing, which belongs to finished work; put that file back, or move {folder} away and "
        "run the same command again"
    )


def damaged(folder, name, data):
    (folder / name).write_bytes(data)
    with pytest.raises(StopAndLook) as stop:
        done(folder)
    return str(stop.value).startswith(f"{folder / name} is not as it was written; put that file back, or ")


def test_a_file_that_was_changed_is_named(folder):
    data = bytearray((folder / "large.parquet").read_bytes())
    data[100] ^= 1
    assert damaged(folder, "large.parquet", data)


def test_of_a_file_that_is_too_large_to_be_hashed_the_ends_are_looked_at(folder, monkeypatch):
    monkeypatch.setattr(manifests, "HASHED_BYTES", 100)  # the small one is hashed, the large one is not
    assert done(folder)
    whole = (folder / "large.parquet").read_bytes()
    assert damaged(folder, "large.parquet", whole[:-10])
    assert damaged(folder, "large.parquet", bytes(len(whole)))
    (folder / "large.parquet").write_bytes(whole)
    assert damaged(folder, "data/small.txt", b"other")


def test_the_command_says_which_file_of_finished_questions_is_damaged(tmp_path, capsys):
    (tmp_path / "own.jsonl").write_text(json.dumps({"question": "Q?", "answer": "x"}) + "\n")
    words = ["questions", "build", "--source=octomed", f"--input={tmp_path / 'own.jsonl'}"]
    words += [f"--output={tmp_path / 'out'}", f"--attempts={tmp_path / 'attempts'}", "--teacher=a"]
    assert main(words[:-2]) == main(words[:-2]) == 0
    (tmp_path / "out" / "questions.parquet").write_bytes(b"PAR1")
    assert main(words[:-2]) == main(words) == 43
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"octomed: {tmp_path / 'out' / 'questions.parquet'} is not as it was written; ")
    assert not (tmp_path / "attempts").exists()
