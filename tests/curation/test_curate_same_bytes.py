"""The same bytes come of any number of workers and pieces, and of a stage that was killed and goes on."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from curation_helpers import ALL_STEPS, curated, folder_bytes, make_config, mixed, write_folder
from curation_whole import EVERY_CONFIG, EVERY_REASON, every_attempt, every_question

from octomed_jax.curation import corpus, deduplicate, scratch
from octomed_jax.curation import curate as stage
from octomed_jax.curation.pictures import image_pieces
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.storage import locked

CONFIG = make_config(ALL_STEPS)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("made") / "questions", every_question(), row_group=7)


@pytest.fixture(scope="module")
def attempts(tmp_path_factory):
    return every_attempt(tmp_path_factory.mktemp("tried") / "attempts")


@pytest.fixture(scope="module")
def clean(questions, attempts, tmp_path_factory):
    output = tmp_path_factory.mktemp("clean") / "out"
    _, gone, manifest = curated(output, questions, EVERY_CONFIG, attempts=attempts)
    assert {row["reason"] for row in gone.values()} == EVERY_REASON
    assert manifest.counts["steps"][-1]["images"]["resized"] > 0
    assert manifest.counts["steps"][0]["filled"]["modality"]
    found = folder_bytes(output)
    assert set(found) == {
        "card.md", "examples.parquet", "heldout.parquet", "image_sources.parquet", "manifest.json", "metadata.parquet",
        "questions.parquet", "removed.parquet",
    }  # fmt: skip
    return found


def small_pieces(patch, rows=10):
    """Let the work be in many pieces; they are made in this process."""
    patch.setattr(corpus, "PIECE_ROWS", rows)
    patch.setattr(image_pieces, "AT_ONCE", max(rows // 2, 1))


@pytest.mark.parametrize(("workers", "rows"), [(1, 1), (1, 15), (3, 10)])
def test_workers_and_pieces_do_not_change_a_byte(tmp_path, monkeypatch, questions, attempts, clean, workers, rows):
    small_pieces(monkeypatch, rows)
    curated(tmp_path / "out", questions, EVERY_CONFIG, attempts=attempts, workers=workers)
    assert folder_bytes(tmp_path / "out") == clean


def test_row_groups_of_the_input_do_not_change_a_byte(tmp_path, attempts, clean):
    for rows in (1, 500):
        folder = write_folder(tmp_path / f"questions {rows}", every_question(), row_group=rows)
        curated(tmp_path / f"out {rows}", folder, EVERY_CONFIG, attempts=attempts)
        found = folder_bytes(tmp_path / f"out {rows}")
        # The manifest and the card name the folder by the hash of its files.
        assert {name for name in clean if found[name] != clean[name]} == {"manifest.json", "card.md"}


CHILD = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from curation_whole import EVERY_CONFIG
import octomed_jax.curation.{module}
from octomed_jax.curation import corpus, curate
from octomed_jax.curation.pictures import image_pieces
corpus.PIECE_ROWS, image_pieces.AT_ONCE = 10, 5
inner, calls = octomed_jax.curation.{module}.{name}, []

def deadly(*arguments):
    calls.append(0)
    result = inner(*arguments)
    if len(calls) == {times}:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

octomed_jax.curation.{module}.{name} = deadly
curate.curate(EVERY_CONFIG, [sys.argv[1]], sys.argv[2], attempts=sys.argv[3], workers=1)
"""


@pytest.mark.parametrize(
    ("module", "name", "times"),
    [
        ("metadata", "fill_piece", 2),
        ("decontaminate", "_write_index", 1),
        ("decontaminate", "find_overlaps", 1),
        ("deduplicate", "write_keys", 3),
        ("pictures.image_pieces", "hash_piece", 4),
        ("pictures.image_pieces", "look_up", 2),
        ("steps", "difficulty", 1),
        ("transform", "transform_piece", 3),
        ("curate", "write_removed", 1),
        ("curate", "_write", 1),
        ("curate", "Contents.add", 1),  # in the middle of a file
        ("curate", "write_card", 1),
        ("curate", "manifests.hash_files", 1),
    ],
)
def test_what_is_killed_goes_on_and_gives_the_same_bytes(
    tmp_path, monkeypatch, questions, attempts, clean, module, name, times
):
    code = CHILD.format(tests=str(Path(__file__).parent), module=module, name=name, times=times)
    words = [sys.executable, "-c", code, str(questions), str(tmp_path / "out"), str(attempts)]
    child = subprocess.run(words, capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.partial").is_dir()
    small_pieces(monkeypatch)
    curated(tmp_path / "out", questions, EVERY_CONFIG, attempts=attempts)
    assert folder_bytes(tmp_path / "out") == clean
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_pieces_that_are_done_are_not_done_again(tmp_path, monkeypatch, questions, attempts, clean):
    small_pieces(monkeypatch)
    inner, done = deduplicate.write_keys, []

    def write(piece):
        if len(done) == 2:
            raise TryAgain("the machine goes away")
        done.append(piece.piece.first)
        inner(piece)

    monkeypatch.setattr(deduplicate, "write_keys", write)
    with pytest.raises(TryAgain):
        curated(tmp_path / "out", questions, EVERY_CONFIG, attempts=attempts)
    assert not (tmp_path / "out").exists()
    again = []
    monkeypatch.setattr(deduplicate, "write_keys", lambda piece: (again.append(piece.piece.first), inner(piece)))
    curated(tmp_path / "out", questions, EVERY_CONFIG, attempts=attempts)
    assert set(done) & set(again) == set()
    assert sorted(done + again) == list(range(0, 85, 14))
    assert folder_bytes(tmp_path / "out") == clean


def test_finished_work_returns_at_once(tmp_path, monkeypatch, questions):
    _, _, first = curated(tmp_path / "out", questions, CONFIG)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}

    def refuse(*_):
        raise AssertionError("nothing is to be opened")

    monkeypatch.setattr(stage, "open_corpus", refuse)
    monkeypatch.setattr(scratch, "run_pieces", refuse)
    _, _, again = curated(tmp_path / "out", questions, CONFIG)
    assert again.identity == first.identity
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_other_settings_or_inputs_are_refused(tmp_path, questions):
    curated(tmp_path / "out", questions, CONFIG)
    before = folder_bytes(tmp_path / "out")
    with pytest.raises(UserError, match=r"made with other settings \(seed: 0 -> 1\)"):
        curated(tmp_path / "out", questions, make_config(ALL_STEPS, seed=1))
    with pytest.raises(UserError, match=r"made with other settings \(steps: "):
        curated(tmp_path / "out", questions, make_config(ALL_STEPS[::-1]))
    other = write_folder(tmp_path / "other", mixed(12))
    with pytest.raises(UserError, match="the questions 1 it was made from"):
        curated(tmp_path / "out", other, CONFIG)
    with pytest.raises(UserError, match="made with other settings"):
        curated(tmp_path / "out", questions, CONFIG, against=[other])
    # Settings of a step that is not done are none of the result's.
    curated(tmp_path / "out", questions, make_config(ALL_STEPS, difficulty={"samples": 8}))
    assert folder_bytes(tmp_path / "out") == before


def test_two_at_once_do_not_write_the_same_folder(tmp_path, questions):
    (tmp_path / ".out.partial").mkdir()
    with locked(tmp_path / ".out.partial"), pytest.raises(TryAgain, match="another process"):
        curated(tmp_path / "out", questions, CONFIG)
