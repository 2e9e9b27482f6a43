"""What a curation holds and does at most: open files, memory, what is read or made once; and what it tells."""

import contextlib
import os
import resource
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from curation_helpers import ALL_STEPS, curated, make, make_config, mixed, text, write_folder
from curation_images import patient, png, shown
from curation_whole import EVERY_CONFIG, every_attempt, every_question

from octomed_jax import progress
from octomed_jax.curation import corpus, transform
from octomed_jax.curation.pictures import image_index, image_pieces
from octomed_jax.curation.scratch import joined_arrays, load_array, save_parts
from octomed_jax.curation.texts import ngrams
from octomed_jax.curation.texts.ngrams import build_index
from octomed_jax.curation.texts.question_texts import question_texts


@contextlib.contextmanager
def few_files(count):
    """Let this process open so many files more than it has."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_files_that_are_open_do_not_become_more_with_the_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "PIECE_ROWS", 1)
    monkeypatch.setattr(image_pieces, "AT_ONCE", 1)
    questions = write_folder(tmp_path / "questions", every_question(), row_group=1)
    attempts = every_attempt(tmp_path / "attempts")
    with few_files(25):
        _, gone, manifest = curated(tmp_path / "out", questions, EVERY_CONFIG, attempts=attempts)
    assert manifest.counts["steps"][0]["before"] == 85
    assert len(gone) > 40


def test_arrays_are_joined_and_written_in_parts(tmp_path):
    parts = [np.arange(6, dtype=np.int8).reshape(2, 3) + number for number in range(4)]
    paths = [tmp_path / f"{number}.npy" for number in range(4)]
    for path, part in zip(paths, parts, strict=True):
        save_parts(path, part.shape, part.dtype, [part[:1], part[1:, ::-1][:, ::-1]])
        assert np.array_equal(load_array(path), part)
    assert np.array_equal(joined_arrays(paths, parts[0][:0]), np.concatenate(parts))
    assert np.array_equal(joined_arrays(paths, np.zeros(0, np.int8), 1), np.concatenate([part[1] for part in parts]))
    assert joined_arrays([], parts[0][:0]).shape == (0, 3)


def test_views_of_an_index_are_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(image_pieces, "AT_ONCE", 3)

    def refuse(_):
        raise AssertionError("they are kept")

    monkeypatch.setattr(image_index, "stacked_views", refuse)
    pictures = [png(patient(seed % 6, side=96 + seed // 6)) for seed in range(12)]
    questions = [shown(make(f"{number:02d}", text("one", 20)), data) for number, data in enumerate(pictures)]
    config = make_config(("deduplicate",), deduplicate={"images": "near"})
    _, gone, _ = curated(tmp_path / "out", write_folder(tmp_path / "questions", questions), config)
    assert sorted(gone) == [f"made:{number:02d}" for number in range(6, 12)]


def test_changed_images_are_read_once_and_only_what_changed_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "PIECE_ROWS", 2)
    read, made = Counter(), []
    inner, with_images = transform._groups, transform._with_images

    def groups(target):
        read[target.name] += 1
        return inner(target)

    def put(table, first, changed):
        given = with_images(table, first, changed)
        made.append((first, given is not table))
        return given

    monkeypatch.setattr(transform, "_groups", groups)
    monkeypatch.setattr(transform, "_with_images", put)
    large, small = png(patient(1, side=96)), png(patient(2, side=40))
    folders = []
    for folder in range(3):
        files = [small, small, large, small, small, large, small]
        questions = [shown(make(f"{folder}-{at}", text(f"{folder} {at}")), data) for at, data in enumerate(files)]
        folders.append(write_folder(tmp_path / f"questions {folder}", questions, row_group=2))
    left, _, _ = curated(tmp_path / "out", folders, make_config(("transform",), transform={"max_pixels": 56 * 56}))
    assert read == {f"{number:05d}.parquet": 1 for number in range(12)}
    assert sorted(made) == [(7 * folder + at, at in (2, 4)) for folder in range(3) for at in (0, 2, 4, 6)]
    for name, one in left.items():
        changed = name[-1] in "25"
        assert one.images[0] != large if changed else one.images[0] == small, name
        assert one.image_hashes[0] == shown(one, one.images[0]).image_hashes[0]


def test_an_index_is_built_with_little_more_than_it_takes(monkeypatch):
    monkeypatch.setattr(ngrams, "_AT_ONCE", 1 << 14)
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(20_000)])
    questions = [" ".join(words[rng.integers(0, len(words), 75)]) for _ in range(3000)]
    batches = (question_texts(questions[start : start + 100]) for start in range(0, 3000, 100))
    tracemalloc.start()
    try:
        index = build_index(batches)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index.keys) == 3000 * 60
    assert peak / len(index.keys) < 70 < 2 * held / len(index.keys)


@pytest.mark.parametrize("share", [1, 3, 1 << 18])
def test_runs_are_merged_in_shares_as_at_once(monkeypatch, share):
    monkeypatch.setattr(ngrams, "_AT_ONCE", share)
    rng = np.random.default_rng(share)
    keys = [np.unique(rng.integers(0, 1 << 64, 40, np.uint64) >> np.uint64(5 * (at % 2))) for at in range(6)]
    keys[3] = keys[1][::2]
    values = [np.arange(len(one), dtype=np.uint32) + 100 * at for at, one in enumerate(keys)]
    wanted = ngrams._first_of_each(list(keys), list(values))
    found = ngrams._merged(keys, values)
    assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert keys == values == []


def test_views_of_texts_are_made_once():
    texts = question_texts(["one two", "three"], [["four"], []])
    assert texts.whole is texts.whole
    assert texts.questions is texts.questions


@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_loads_no_library_that_few_pieces_need(tmp_path, workers):
    """A process for each core holds what it has loaded: these are a third of what it takes at first, or more."""
    few, log = ("pandas", "pydicom", "nibabel", "scipy"), tmp_path / "loaded"
    log.touch()
    for name in few:  # in the place of the library: says who loads it, in whatever process, installed or not
        trap = tmp_path / "traps" / f"{name}.py"
        trap.parent.mkdir(exist_ok=True)
        trap.write_text(f"open({str(log)!r}, 'a').write(__name__ + ' ')\nraise ImportError(__name__)\n")
    write_folder(tmp_path / "questions", mixed(), row_group=10)
    code = (
        "import sys, octomed_jax.cli.main as main, octomed_jax.curation.corpus as corpus\n"
        "corpus.PIECE_ROWS = 10\n"
        "if __name__ == '__main__':\n"
        "    main.main(['curate', *sys.argv[1:]])\n"
        f"    assert not set(sys.modules) & set({few!r})\n"
    )
    (tmp_path / "command.py").write_text(code)
    how = [
        "--questions=questions",
        "--output=out",
        f"--workers={workers}",
        "--config.curate.steps=" + ",".join(ALL_STEPS),
    ]
    paths = os.pathsep.join([str(tmp_path / "traps"), *sys.path])
    done = subprocess.run(
        [sys.executable, "command.py", *how],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert log.read_text() == ""
    assert (tmp_path / "out" / "manifest.json").exists()


def test_every_phase_shows_how_far_it_is(tmp_path, monkeypatch):
    """Each line gets to its end, so that what it says is left is right."""
    lines = []
    inner = progress.Bar.__init__

    def begin(line, *arguments):
        inner(line, *arguments)
        lines.append(line)

    monkeypatch.setattr(progress.Bar, "__init__", begin)
    questions = write_folder(tmp_path / "questions", every_question(), row_group=7)
    curated(tmp_path / "out", questions, EVERY_CONFIG, attempts=every_attempt(tmp_path / "attempts"))
    assert {line.title for line in lines} == {
        "checking ids", "looking for modality and region", "reading held-out questions",
        "comparing words with held-out questions", "reading hashes of images", "hashing images",
        "hashing held-out images", "comparing images with held-out ones", "comparing images", "finding duplicates",
        "looking for near-duplicates", "comparing near-duplicates", "counting classes", "counting attempts",
        "reading modalities", "transforming images", "writing what was taken out", "writing questions.parquet",
        "writing heldout.parquet", "writing metadata",
    }  # fmt: skip
    assert [(line.title, line.done, line.total) for line in lines if line.done != line.total] == []
