"""Hostile and damaged input through the real command: one clear line, the right exit code, and nothing half done."""

import functools
import gzip
import json
import os
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from adapter_helpers import build, picture, write_lines, write_parquet

from octomed_jax.images import volumes
from octomed_jax.questions import registry
from octomed_jax.questions.adapter import Adapter, Split
from octomed_jax.questions.reading import zips
from octomed_jax.traces import json_stream, row_files
from tests.images.image_files import dicom, jpeg, nifti, png_of_size

PACKED = Adapter(
    name="packed",
    title="a set with images in archives",
    kind="images",
    home="https://example.org/packed",
    licence="CC0-1.0",
    citation="nobody",
    splits={"train": Split(("train*.jsonl", "data/train-*.parquet"))},
    cells=lambda row, _: iter([dict(row)]),
    image_folders=("images",),
    archives=("*.zip",),
)
ROW = {"question": "What is it?", "answer": "x"}


@pytest.fixture(autouse=True)
def packed(monkeypatch):
    monkeypatch.setitem(registry.ADAPTERS, "packed", PACKED)


@pytest.fixture
def ended(tmp_path, capfd):
    """Build from tmp_path/in, which must end with a code and one line, and leave nothing; return the line."""

    def run(code, source="octomed", name="own.jsonl"):
        before = sorted(tmp_path.iterdir())
        given = sorted((tmp_path / "in").rglob("*"))
        assert build(source, tmp_path / "in" / name, tmp_path / "out") == code
        printed = capfd.readouterr()
        (line,) = printed.err.splitlines()
        assert printed.out == ""
        assert sorted(tmp_path.iterdir()) == before
        assert sorted((tmp_path / "in").rglob("*")) == given
        assert len(line) < 600
        return line.removeprefix("octomed: ")

    (tmp_path / "in").mkdir()
    return run


def rows(count=200):
    images = [{"bytes": picture(number), "path": None} for number in range(count)]
    return [ROW | {"question": f"What is {number}?", "image": image} for number, image in enumerate(images)]


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" * 99, b"no Parquet at all" * 99])
def test_a_parquet_file_that_is_none(tmp_path, ended, data):
    (tmp_path / "in" / "own.parquet").write_bytes(data)
    assert ended(2, name="own.parquet").startswith(f"{tmp_path}/in/own.parquet is no Parquet file (")


def test_a_parquet_file_that_was_cut_off(tmp_path, ended):
    path = write_parquet(tmp_path / "in" / "own.parquet", rows())
    path.write_bytes(path.read_bytes()[:-200])
    assert "own.parquet is no Parquet file (" in ended(2, name="own.parquet")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_flipped_byte_in_a_page(tmp_path, ended, share):
    path = tmp_path / "in" / "own.parquet"
    pq.write_table(pa.Table.from_pylist(rows()), path, write_page_checksum=True, compression="none", row_group_size=50)
    data = bytearray(path.read_bytes())
    start = int(len(data) * share)
    data[data.index(b"IDAT", start) + 20] ^= 1
    path.write_bytes(data)
    line = ended(43, name="own.parquet")
    assert line.startswith(f"{path} is damaged (")
    assert line.endswith("; get it again")


def test_a_flipped_byte_in_a_compressed_page(tmp_path, ended):
    path = write_parquet(tmp_path / "in" / "own.parquet", [ROW | {"question": f"{n} " * 500} for n in range(100)])
    data = bytearray(path.read_bytes())
    data[60:64] = bytes(byte ^ 0xFF for byte in data[60:64])
    path.write_bytes(data)
    assert "is damaged (" in ended(43, name="own.parquet")


def test_a_damaged_footer_never_ends_the_process(tmp_path):
    """In a process of its own: what a library does on such bytes could end that of the tests."""
    path = write_parquet(tmp_path / "own.parquet", [ROW | {"options": ["a", "b"], "number": 1.5}] * 20)
    code = f"""
import pathlib, random
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.traces.row_files import RowFile
path, chance = pathlib.Path({str(path)!r}), random.Random(1)
whole = path.read_bytes()
footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
refused = 0
for _ in range(600):
    data = bytearray(whole)
    for _ in range(chance.choice((1, 2, 4))):
        data[chance.randrange(footer, len(data) - 8)] = chance.randrange(256)
    path.write_bytes(data)
    try:
        file = RowFile(path)
        list(file.entries(file.names))
    except (UserError, StopAndLook):
        refused += 1
print(refused)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 100


def test_a_table_that_is_a_link_out_of_the_folder(tmp_path, ended):
    outside = write_lines(tmp_path / "secret.jsonl", [ROW])
    (tmp_path / "in" / "train.jsonl").symlink_to(outside)
    assert ended(2, "packed", "") == f"'train.jsonl' leads out of {tmp_path}/in; put the file itself there"


def test_a_folder_of_tables_that_is_a_link_out_of_the_folder(tmp_path, ended):
    write_parquet(tmp_path / "secret" / "train-00000.parquet", [ROW])
    (tmp_path / "in" / "data").symlink_to(tmp_path / "secret")
    assert "'data/train-00000.parquet' leads out of" in ended(2, "packed", "")


def test_an_image_that_is_a_link_out_of_the_folder(tmp_path, ended):
    (tmp_path / "secret.png").write_bytes(picture())
    (tmp_path / "in" / "a.png").symlink_to(tmp_path / "secret.png")
    write_lines(tmp_path / "in" / "own.jsonl", [ROW | {"image": "a.png"}])
    line = ended(2)
    assert "line 1: image: 'a.png' leads out of the folder of the rows" in line
    assert "secret" not in line


def test_an_archive_that_is_a_link_out_of_the_folder(tmp_path, ended):
    pack(tmp_path / "secret.zip", {"images/a.png": picture()})
    (tmp_path / "in" / "images.zip").symlink_to(tmp_path / "secret.zip")
    write_lines(tmp_path / "in" / "train.jsonl", [ROW | {"image": "a.png"}])
    assert "leads out of" in ended(2, "packed", "")


def pack(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def ask_for(tmp_path, name="a.png"):
    write_lines(tmp_path / "in" / "train.jsonl", [ROW | {"image": name}])


def test_a_zip_bomb(tmp_path, ended, monkeypatch):
    monkeypatch.setattr(zips, "MAX_BYTES", 10**6)
    path = pack(tmp_path / "in" / "images.zip", {"images/a.png": bytes(20 * 10**6)})
    assert path.stat().st_size < 50_000
    ask_for(tmp_path)
    assert "line 1: image: unpacks to 20000000 bytes, over the limit of 1000000" in ended(2, "packed", "")


def test_a_zip_that_lies_about_a_size(tmp_path, ended):
    path = pack(tmp_path / "in" / "images.zip", {"images/a.png": bytes(10**6)})
    data = bytearray(path.read_bytes())
    for at in (22, data.rindex(b"PK\x01\x02") + 24):
        data[at : at + 4] = struct.pack("<I", 100)
    path.write_bytes(data)
    ask_for(tmp_path)
    assert f"line 1: image: cannot be unpacked from {path} (" in ended(2, "packed", "")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED])
def test_a_zip_with_damaged_data(tmp_path, ended, method):
    image = picture(size=(40, 40))
    path = pack(tmp_path / "in" / "images.zip", {"images/a.png": image}, method)
    data = bytearray(path.read_bytes())
    data[60:100] = bytes(40)
    path.write_bytes(data)
    ask_for(tmp_path)
    assert "line 1: image: " in ended(2, "packed", "")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + bytes(99)])
def test_an_archive_that_is_none(tmp_path, ended, data):
    (tmp_path / "in" / "images.zip").write_bytes(data)
    ask_for(tmp_path)
    assert "images.zip is no readable zip file (" in ended(2, "packed", "")


def test_names_in_an_archive_lead_nowhere(tmp_path, ended):
    pack(tmp_path / "in" / "images.zip", {"../../a.png": picture()})
    ask_for(tmp_path, "../../a.png")
    assert "line 1: image: '../../a.png' leads out of the folder of the rows" in ended(2, "packed", "")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.png", png_of_size(40_000, 40_000), "pixels"),
        ("a.jpg", jpeg()[:900], "is truncated or corrupt ("),
        ("a.dcm", dicom(np.zeros((2, 2)), Rows=65_535, Columns=65_535), "claims 4294836225 pixels"),
        ("a.dcm", dicom(np.zeros((2, 2)), NumberOfFrames=2**31 - 1), "claims 8589934588 pixels"),
        ("a.nii", nifti(np.ones((4, 4, 4), "u1"))[:400], "not a whole three-dimensional volume"),
        ("a.mp4", b"\x00\x00\x00\x18ftypmp42" + bytes(200), "is a video"),
        ("a.png", b"", "is not a PNG or JPEG"),
    ],
)
def test_an_image_that_is_too_large_or_broken(tmp_path, ended, name, data, words):
    (tmp_path / "in" / name).write_bytes(data)
    write_lines(tmp_path / "in" / "own.jsonl", [ROW | {"image": name}])
    line = ended(2)
    assert line.startswith(f"{tmp_path}/in/own.jsonl line 1: image")
    assert words in line
    assert "nothing is written" in line


def test_a_gzip_bomb_as_a_volume(tmp_path, ended, monkeypatch):
    limited = functools.partial(volumes.read_axial_slice, max_bytes=10**6)
    monkeypatch.setattr(volumes, "read_axial_slice", limited)
    (tmp_path / "in" / "a.nii.gz").write_bytes(gzip.compress(bytes(20 * 10**6)))
    write_lines(tmp_path / "in" / "own.jsonl", [ROW | {"image": "a.nii.gz"}])
    assert "line 1: image unpacks to over 1000000 bytes" in ended(2)


def test_a_pipe_as_a_table_and_as_an_image(tmp_path, ended):
    os.mkfifo(tmp_path / "in" / "own.jsonl")
    assert "no such file or folder: " in ended(2)
    (tmp_path / "in" / "own.jsonl").unlink()
    os.mkfifo(tmp_path / "in" / "a.png")
    write_lines(tmp_path / "in" / "own.jsonl", [ROW | {"image": "a.png"}])
    assert "no file 'a.png' beside the rows" in ended(2)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"question": "' + b"a" * 300_000 + b'", "answer": "x"}', "line 1: is longer than 256 MiB"),
        (b"[" * 100_000, "line 1: is no JSON ("),
        (b'{"question": ' + b'{"a":' * 50_000, "line 1: is no JSON ("),
        (json.dumps(ROW).encode()[:-5] + b"\xff\xfe", "line 1: is no JSON ("),
        (b'{"question": "Q?", "answer": ' + b"9" * 5000 + b"}", "line 1: is no JSON ("),
        (b"\x00" * 1000, "line 1: is no JSON ("),
        (b"42", "line 1: is no row but int"),
        (b'{"question": ["a"], "answer": {"b": NaN}}', "line 1: question"),
    ],
)
def test_a_line_that_no_row_is(tmp_path, ended, monkeypatch, line, words):
    monkeypatch.setattr(row_files, "LINE_BYTES", 290_000)
    (tmp_path / "in" / "own.jsonl").write_bytes(line + b"\n" + json.dumps(ROW).encode() + b"\n")
    assert words in ended(2)


def test_a_list_that_is_too_large_or_too_deep(tmp_path, ended, monkeypatch):
    monkeypatch.setattr(json_stream, "ROW_BYTES", 1000)
    monkeypatch.setattr(json_stream, "PIECE", 100)
    (tmp_path / "in" / "own.json").write_text(json.dumps([ROW, ROW | {"question": "x" * 200_000}]))
    words = "own.json is JSON with a row of over 1000 bytes; write it as .jsonl"
    assert words in ended(2, name="own.json")
    monkeypatch.setattr(json_stream, "ROW_BYTES", 10**7)
    (tmp_path / "in" / "own.json").write_text("[" * 1_000_000)
    assert "own.json holds lists within lists without end; mend it" in ended(2, name="own.json")


def test_a_table_whose_cells_never_end(tmp_path, ended):
    (tmp_path / "in" / "own.csv").write_text('question,answer\n"' + "a," * 200_000)
    assert "own.csv line 2: cannot be read (" in ended(2, name="own.csv")
