"""Shards that are not as they were written: each is named, in one line, and never read as something else."""

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from ml_collections import ConfigDict

from octomed_jax import manifests
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.traces import shards as module
from octomed_jax.traces.shards import ShardReader
from octomed_jax.traces.stage import shard, shard_records
from tests.traces.corpus import write_traces


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    config = ConfigDict({"traces": {"per_question": 2}, "shard": {"bytes": 100_000}})
    shard(config, write_traces(folder / "traces"), folder / "shards", workers=1)
    return folder / "shards"


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "shards")


def shard_of(folder, number=1):
    return sorted(folder.glob("octomed-train*"))[number]


def told(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert "put that file back, or move" in text
    return text


def test_a_missing_shard_is_named_before_anything_is_read(folder):
    shard_of(folder).unlink()
    with pytest.raises(StopAndLook) as error:
        ShardReader(folder)
    assert f"{shard_of(folder, 0).parent}/octomed-train.array_record-00001-of-00005 is missing" in told(error)


def test_a_half_written_shard_is_named_before_anything_is_read(folder):
    data = shard_of(folder).read_bytes()
    shard_of(folder).write_bytes(data[: len(data) // 2])
    with pytest.raises(StopAndLook) as error:
        ShardReader(folder)
    assert f"{shard_of(folder)} is damaged: it has {len(data) // 2:,} bytes, not {len(data):,}" in told(error)


def test_a_shard_whose_end_was_never_written_is_named(folder):
    """As a disk leaves a file whose room was set aside: ArrayRecord itself finds no records in it, and says nothing."""
    data = shard_of(folder).read_bytes()
    shard_of(folder).write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    reader = ShardReader(folder)
    with pytest.raises(StopAndLook) as error:
        list(reader)
    assert f"{shard_of(folder)} is damaged: of 5 records 0 are found" in told(error)
    assert reader[0].question.id == "made:000"  # the others are read


def test_a_flipped_byte_of_an_image_is_found_where_it_is_read(folder):
    record = ShardReader(folder)[8]
    data = bytearray(shard_of(folder).read_bytes())
    place = data.index(record.question.images[0][5000:5100])
    data[place] ^= 1
    shard_of(folder).write_bytes(data)
    reader = ShardReader(folder)
    with pytest.raises(StopAndLook) as error:
        reader[8]
    assert f"record 2 of {shard_of(folder)} is damaged (Corrupted Riegeli" in told(error)
    assert reader[7].question.id == "made:007"


def test_a_flipped_bit_anywhere_is_found_or_changes_nothing(folder):
    """The file is padded, and bits of that mean nothing."""
    records = list(ShardReader(folder))
    data = shard_of(folder).read_bytes()
    used = data.rindex(b"PNG") + 28_000
    found = 0
    for place in [*range(0, used, 1499), *range(used, len(data), 4999), *range(65536 - 8, 65536 + 56, 3)]:
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        shard_of(folder).write_bytes(flipped)
        try:
            assert list(ShardReader(folder)) == records
        except StopAndLook as error:
            found += str(shard_of(folder)) in str(error)
    assert found > used // 1499 * 0.9


def test_a_flipped_bit_of_compressed_texts_is_found(tmp_path, whole):
    texts = [record for record in ShardReader(whole) if not record.question.images]
    shard_records(texts, tmp_path / "texts")
    [path] = (tmp_path / "texts").glob("octomed-train*")
    data = path.read_bytes()
    found = 0
    for place in range(0, 3000, 11):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert list(ShardReader(tmp_path / "texts")) == texts
        except StopAndLook:
            found += 1
    assert found > 100


def test_bytes_of_another_format_are_no_record(tmp_path):
    (tmp_path / "s").mkdir()
    module.write_shard(tmp_path / "s" / "one", [b"no Example"], True)
    size = (tmp_path / "s" / "one").stat().st_size
    extra = {"shards": {"one": {"records": 1, "bytes": size}}}
    manifests.write_manifest(tmp_path / "s", manifests.Manifest(stage="shard", config={}, extra=extra))
    with pytest.raises(StopAndLook, match=r"record 0 of .*/one is damaged"):
        ShardReader(tmp_path / "s")[0]


def test_folders_without_finished_shards_are_refused(tmp_path, folder):
    with pytest.raises(UserError, match="does not exist; make it first with `octomed shard`"):
        ShardReader(tmp_path / "none")
    (folder / "manifest.json").unlink()
    with pytest.raises(UserError, match="is not finished; make it first with `octomed shard`"):
        ShardReader(folder)
    with pytest.raises(UserError, match="gs://b/shards: shards are read from a disk; mount the bucket or copy them"):
        ShardReader("gs://b/shards")


def test_few_files_are_open_at_once_also_in_threads(whole, monkeypatch):
    opened = []
    monkeypatch.setattr(module, "MOST_OPEN", 2)
    open_reader = module.ArrayRecordReader
    monkeypatch.setattr(module, "ArrayRecordReader", lambda *words: (opened.append(words[0]), open_reader(*words))[1])
    reader = ShardReader(whole)
    assert not opened
    expected = list(reader)
    assert len(opened) == 5
    assert len(reader._open) == 2
    places = [number * 7 % len(reader) for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(reader.__getitem__, places)) == [expected[place] for place in places]
    again = pickle.loads(pickle.dumps(reader))  # noqa: S301
    assert list(again) == expected
    for number in (-1, len(reader)):
        with pytest.raises(IndexError):
            reader[number]
