"""Images that were changed are known by what they were: across folders, several changes and any number of processes."""

import io
import itertools

import numpy as np
import pyarrow as pa
import pytest
from curation_helpers import curated, folder_bytes, held, make, make_config, text, write_folder
from curation_images import patient

from octomed_jax import storage
from octomed_jax.curation.pictures.image_sources import SOURCES_FILE, SOURCES_SCHEMA, image_sources, joined
from octomed_jax.errors import StopAndLook
from octomed_jax.traces import lake


def png(image):
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


LARGE, OTHER = png(patient(1, side=560)), png(patient(2, side=560))


def shown(question, *files):
    hashes = tuple(map(storage.sha256_bytes, files))
    return type(question)(**{**vars(question), "images": files, "image_hashes": hashes})


def transformed(output, questions, max_pixels=262_144, **how):
    return curated(output, questions, make_config(("transform",), transform={"max_pixels": max_pixels}), **how)


def rows(folder):
    return [tuple(row.values()) for row in lake.iterate_rows(folder / SOURCES_FILE)]


@pytest.fixture
def first(tmp_path):
    """A folder whose images were made smaller, and the questions as they were."""
    some = [shown(make("1", text(1)), LARGE), shown(make("2", text(2)), OTHER), make("3", text(3))]
    left, _, manifest = transformed(tmp_path / "first", write_folder(tmp_path / "q", some))
    assert SOURCES_FILE in manifest.files
    assert rows(tmp_path / "first") == sorted(
        (left[one.id].image_hashes[0], one.image_hashes[0]) for one in some if one.images
    )
    return tmp_path / "first"


def test_a_changed_image_is_known_for_the_held_out_one_that_it_was_made_of(tmp_path, first):
    against = write_folder(tmp_path / "exam", [shown(held("exam", text("exam")), LARGE)])
    _, gone, manifest = curated(tmp_path / "out", first, make_config(["decontaminate"]), against=[against])
    assert {name: (row["reason"], row["match"], row["detail"]) for name, row in gone.items()} == {
        "made:1": ("image_bytes", "made:exam", "before the image was changed")
    }
    assert manifest.counts["steps"][0]["reasons"] == {"image_bytes": 1}


def test_a_held_out_image_that_is_the_changed_one_is_found_as_it_is(tmp_path, first):
    changed = next(one for one in lake.iterate_questions(first / "questions.parquet") if one.id == "made:1")
    against = write_folder(tmp_path / "exam", [shown(held("exam", text("exam")), *changed.images)])
    _, gone, _ = curated(tmp_path / "out", first, make_config(["decontaminate"]), against=[against])
    assert {name: (row["reason"], row["detail"]) for name, row in gone.items()} == {"made:1": ("image_bytes", "")}


def test_changed_twice_it_is_still_known(tmp_path, first):
    left, _, _ = transformed(tmp_path / "second", first, max_pixels=10_000)
    assert len(rows(tmp_path / "second")) == 4
    assert left["made:1"].images[0] not in (LARGE, b"")
    against = write_folder(tmp_path / "exam", [shown(held("exam", text("exam")), LARGE)])
    # A stage between them that changes no image hands on what is known.
    curated(tmp_path / "third", tmp_path / "second", make_config(["deduplicate"]))
    assert rows(tmp_path / "third") == rows(tmp_path / "second")
    _, gone, _ = curated(tmp_path / "out", tmp_path / "third", make_config(["decontaminate"]), against=[against])
    assert set(gone) == {"made:1"}


def test_a_question_and_its_copy_of_a_smaller_image_are_duplicates(tmp_path, first):
    again = write_folder(tmp_path / "again", [shown(make("4", text(1)), LARGE), shown(make("5", text(1)), OTHER)])
    _, gone, _ = curated(tmp_path / "out", [first, again], make_config(["deduplicate"]))
    assert {name: (row["reason"], row["match"]) for name, row in gone.items()} == {"made:4": ("same", "made:1")}


def test_the_same_bytes_from_any_number_of_processes(tmp_path, monkeypatch):
    pictures = [png(patient(seed, side=530)) for seed in range(4)]
    some = [shown(make(f"{index}", text(index)), pictures[index % 4]) for index in range(12)]
    folder = write_folder(tmp_path / "q", some, row_group=3)
    transformed(tmp_path / "one", folder)
    monkeypatch.setattr("octomed_jax.curation.corpus.PIECE_ROWS", 3)
    transformed(tmp_path / "two", folder, workers=2)
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "two")
    assert len(rows(tmp_path / "one")) == 4


def test_a_folder_without_changes_has_no_such_file(tmp_path):
    transformed(tmp_path / "out", write_folder(tmp_path / "q", [make("1", text(1), images=[1])]))
    assert not (tmp_path / "out" / SOURCES_FILE).exists()


def test_a_damaged_file_is_named(tmp_path, first):
    (first / SOURCES_FILE).write_bytes(b"PAR1")
    with pytest.raises(StopAndLook, match=SOURCES_FILE):
        curated(tmp_path / "out", first)


def test_a_source_keeps_what_its_own_test_split_had_before_it_was_changed(tmp_path, first):
    """And not what that of another source had."""
    config = make_config(["decontaminate"], decontaminate={"keep_shared_images": ("made",)})
    exams = [shown(held("exam", text("exam"), source=source), LARGE) for source in ("made", "other")]
    against = [write_folder(tmp_path / name, [one]) for name, one in zip(("own", "other"), exams, strict=True)]
    left, gone, manifest = curated(tmp_path / "out", first, config, against=against[:1])
    assert (len(left), gone, manifest.counts["steps"][0]["shared_images_kept"]) == (3, {}, 1)
    _, gone, manifest = curated(tmp_path / "out 2", first, config, against=against[1:])
    assert {name: row["detail"] for name, row in gone.items()} == {"made:1": "before the image was changed"}
    assert manifest.counts["steps"][0]["shared_images_kept"] == 0


def test_what_goes_for_its_image_leaves_no_source(tmp_path):
    some = [shown(make("1", text(1)), LARGE, b"none"), shown(make("2", text(2)), OTHER)]
    folder = write_folder(tmp_path / "q", some)
    left, gone, _ = transformed(tmp_path / "out", folder, most_left_out=0.5)
    assert (set(left), gone["made:1"]["reason"]) == ({"made:2"}, "unreadable_image")
    assert rows(tmp_path / "out") == [(left["made:2"].image_hashes[0], some[1].image_hashes[0])]


def test_what_stands_for_one_image_is_joined_through_others():
    digits = [storage.sha256_bytes(bytes([number])) for number in range(7)]
    pairs = [(1, 0), (2, 1), (2, 3), (5, 4)]
    table = pa.table([[digits[pair[side]] for pair in pairs] for side in (0, 1)], schema=SOURCES_SCHEMA)
    assert joined([table, table]).num_rows == 4
    keys = np.array([[int(one[:16], 16), int(one[16:32], 16)] for one in digits], dtype=np.uint64)
    found = [tuple(key) for key in image_sources(joined([table])).of(keys).tolist()]
    groups = [{0, 1, 2, 3}, {4, 5}, {6}]
    for one, other in itertools.combinations(range(7), 2):
        together = any({one, other} <= group for group in groups)
        assert (found[one] == found[other]) == together
    assert found[6] == tuple(keys[6].tolist())
