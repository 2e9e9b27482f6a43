"""Images in archives by their path and, where a set is unpacked flat, by the last part of it."""

import dataclasses
import itertools
import zipfile

import pytest
from adapter_helpers import build, built, picture, refused, write_lines
from image_helpers import write_zip

from octomed_jax.errors import UserError
from octomed_jax.questions import registry
from octomed_jax.questions.adapter import Adapter, Split
from octomed_jax.questions.reading import zips
from octomed_jax.questions.reading.zips import Archives, read_member

FLAT = Adapter(
    name="flat",
    title="a set whose archives are unpacked flat",
    kind="images",
    home="https://example.org/flat",
    licence="CC0-1.0",
    citation="nobody",
    splits={"train": Split(("train.jsonl",))},
    cells=lambda row, _: iter([dict(row)]),
    image_folders=("images", ""),
    archives=("*.zip",),
    base_names=True,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.ADAPTERS, "flat", FLAT)
    write_lines(tmp_path / "in" / "train.jsonl", [{"question": "What?", "answer": "x", "image": "set/a.png"}])
    return tmp_path / "in"


def test_a_member_is_found_by_its_base_name(folder, tmp_path, capsys, monkeypatch):
    write_zip(folder / "one.zip", {"a.png/": b"", "b/aa.png": picture(2), "a.png.txt": b"", "A.png": picture(3)})
    write_zip(folder / "two.zip", {"home/somebody/a.png": picture(1)})
    ((question,), _, _) = built("flat", folder, tmp_path / "out")
    assert question.images == (picture(1),)
    write_zip(folder / "two.zip", {"home/somebody/a.png": picture(4)})  # is other work
    assert build("flat", folder, tmp_path / "out") == 2
    assert "was made with other settings (images:" in capsys.readouterr().err
    monkeypatch.setitem(registry.ADAPTERS, "flat", dataclasses.replace(FLAT, base_names=False))
    assert "image: no file 'set/a.png' beside the rows" in refused(capsys, "flat", folder, tmp_path / "other")


@pytest.mark.parametrize("place", ["set/a.png", "images/set/a.png"])
def test_the_published_path_comes_first(folder, tmp_path, place):
    write_zip(folder / "one.zip", {"a.png": picture(1), "x/a.png": picture(2)})
    write_zip(folder / "two.zip", {place: picture(3)})
    ((question,), _, _) = built("flat", folder, tmp_path / "out")
    assert question.images == (picture(3),)


@pytest.mark.parametrize("apart", [False, True])
def test_two_files_of_a_base_name_are_refused_unless_they_are_equal(folder, tmp_path, capsys, apart):
    def write(*images):
        files = {f"{number}/a.png": image for number, image in enumerate(images)}
        for number, (name, image) in enumerate(files.items()):
            write_zip(folder / f"{number}.zip", {name: image} if apart else files)

    write(picture(1), picture(1))
    ((question,), _, _) = built("flat", folder, tmp_path / "out")
    assert question.images == (picture(1),)
    write(picture(1), picture(2))
    where = f"{folder / '0.zip'} and in {folder / '1.zip'}" if apart else folder / "0.zip"
    words = f"line 1: image: 'set/a.png' is ambiguous: two files of its base name differ, in {where}; remove one"
    assert words in refused(capsys, "flat", folder, tmp_path / "other")


def test_the_limits_of_archives_hold(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(zips, "MAX_BYTES", 10**6)
    with zipfile.ZipFile(folder / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/a.png", bytes(20 * 10**6))
        archive.writestr("x/b.png", picture(1))
    assert "image: unpacks to 20000000 bytes, over the limit" in refused(capsys, "flat", folder, tmp_path / "out")
    write_lines(folder / "train.jsonl", [{"question": "What?", "answer": "x", "image": "../../b.png"}])
    assert "'../../b.png' leads out of the folder of the rows" in refused(capsys, "flat", folder, tmp_path / "out")
    write_lines(folder / "train.jsonl", [{"question": "What?", "answer": "x", "image": "x/"}])
    assert "no file 'x/' beside the rows" in refused(capsys, "flat", folder, tmp_path / "out")


@pytest.mark.parametrize("digits", [64, 3, 0])  # of hashes: with few, names share them
def test_every_member_of_many_is_found(tmp_path, monkeypatch, digits):
    whole = zips._hash
    monkeypatch.setattr(zips, "_hash", lambda name: whole(name) >> (64 - digits) << (64 - digits))
    names = [[f"{archive}/{number}.png" for number in range(40)] for archive in "abc"]
    for which, group in zip("abc", names, strict=True):
        files = {name: name.encode() for name in group} if which != "b" else {}  # one of them is empty
        write_zip(tmp_path / f"{which}.zip", files | {f"{which}/only-{which}.png": which.encode()})
    archives = Archives([tmp_path / f"{which}.zip" for which in "abc"], by_base_name=True)
    for which in "abc":
        found = archives.find([f"x/only-{which}.png"], "it")
        assert found
        assert read_member(found) == which.encode()
    for name in itertools.chain(names[0], names[2]):
        with pytest.raises(UserError, match=r"^it is ambiguous"):
            archives.find([f"x/{name[2:]}"], "it")
        assert archives.find([name], "it")
    assert archives.find(["x/none.png"], "it") is None
    archives.close()


def test_no_archives():
    archives = Archives([], by_base_name=True)
    assert archives.find(["a.png"], "it") is None
    archives.close()
