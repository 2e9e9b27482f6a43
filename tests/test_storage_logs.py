"""Files that grow, and folders that are copied and moved, on a disk and in a bucket."""

import pytest

from octomed_jax import storage
from tests.bucket import emulated


@pytest.fixture(params=["disk", "bucket"])
def place(request, tmp_path, monkeypatch):
    """A folder, as ``storage.path_of`` gives it."""
    if request.param == "disk":
        yield tmp_path / "there"
        return
    with emulated(tmp_path, monkeypatch) as url:
        yield storage.path_of(f"{url}/there")


def test_a_text_grows(place):
    log = storage.TextLog(place / "a.txt", "one\n")
    assert (place / "a.txt").read_text() == "one\n"
    log.write("two\n")
    log.send()
    assert (place / "a.txt").read_text() == "one\ntwo\n"
    log.write("three\n")
    log.close()
    assert (place / "a.txt").read_text() == "one\ntwo\nthree\n"


def test_a_text_in_a_bucket_is_sent_now_and_then(monkeypatch):
    sent = []
    monkeypatch.setattr(storage, "write_text", lambda _, text: sent.append(text))
    log = storage.TextLog("gs://b/a.txt", "one\n")
    log.write("two\n")
    assert sent == ["one\n"]
    monkeypatch.setattr(log, "SEND_SECONDS", -1.0)
    log.write("three\n")
    assert sent[1:] == ["one\ntwo\nthree\n"]
    log.close()
    assert len(sent) == 2  # nothing was left to send


def test_folders_are_copied_and_moved_in_the_place_of_others(place, tmp_path):
    source = tmp_path / "source"
    (source / "in").mkdir(parents=True)
    (source / "a").write_text("a")
    (source / "in" / "b").write_text("b")
    storage.write_text(place / "copy" / "old", "old")
    storage.copy_folder(source, place / "copy")
    assert sorted(path.name for path in (place / "copy").iterdir()) == ["a", "in"]
    storage.write_text(place / "moved" / "old", "old")
    storage.move_folder(place / "copy", place / "moved")
    assert not (place / "copy").exists()
    assert (place / "moved" / "in" / "b").read_text() == "b"
    assert not (place / "moved" / "old").exists()


def test_a_path_of_a_bucket_keeps_its_name(tmp_path):
    assert str(storage.path_of("gs://b/a") / "c") == "gs://b/a/c"
    assert storage.path_of(str(tmp_path)) == tmp_path
