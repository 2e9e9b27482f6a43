"""The shard stage: how rows are shared out, and that any number of processes, killed or not, write the same."""

import dataclasses
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from octomed_jax import manifests, storage
from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook, TryAgain, UserError
from octomed_jax.schema import Record
from octomed_jax.traces import grouped, lake, shard_pieces, stage
from octomed_jax.traces.record import pack_record
from octomed_jax.traces.shards import ShardReader
from octomed_jax.traces.stage import shard
from tests.traces.corpus import iterate_records, png, questions, row_of, write_records, write_rows, write_traces

ROOT = Path(__file__).parents[2]


def settings(size: int, per_question: int = 2) -> ConfigDict:
    return ConfigDict({"traces": {"per_question": per_question}, "shard": {"bytes": size}})


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """24 questions, 16 of them with an image, in four parts and several row groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouped, "PART_BYTES", 170_000)
        patch.setattr(lake, "GROUP_BYTES", 60_000)
        folder = write_traces(tmp_path_factory.mktemp("traces"))
    assert len(list((folder / "lake").iterdir())) == 4
    return folder


@pytest.fixture(scope="module")
def whole(traces, tmp_path_factory):
    """The shards, written at a stretch."""
    folder = tmp_path_factory.mktemp("whole") / "shards"
    shard(settings(100_000), traces, folder, workers=1)
    return folder


def test_shards_are_of_one_size_and_a_question_is_in_one_of_them(traces, whole):
    manifest = manifests.read_manifest(whole, "shard")
    assert manifest.counts == {"records": 24, "examples": 48, "images": 16, "left_out": {}, "not_chosen": 0}
    counted = {"questions": 24, "responses": 48, "licences": {"CC0-1.0": 24}, "access": "open"}
    assert manifest.extra["sources"] == {"made": counted}
    shards = manifest.extra["shards"]
    assert list(shards) == [f"octomed-train.array_record-{number:05d}-of-00005" for number in range(5)]
    assert manifest.files == manifests.hash_files(whole)
    records, first, sizes = list(iterate_records(traces)), 0, []
    for one in shards.values():
        sizes.append(sum(len(pack_record(record)) for record in records[first : first + one["records"]]))
        first += one["records"]
    assert first == 24
    assert max(sizes) < 130_000  # that asked for, and not much of a record more
    assert min(sizes) > 60_000
    assert list(ShardReader(whole)) == records


def test_equal_images_are_counted_though_parquet_writes_them_once(tmp_path):
    image = png(0, 300, 300)
    digest = storage.sha256_bytes(image)
    made = [
        Record(dataclasses.replace(one, images=(image,), image_hashes=(digest,)), ("\\boxed{x}",), (), (0,))
        for one in questions(30)
    ]
    manifest = shard(settings(10 * len(image)), write_records(tmp_path / "traces", made), tmp_path / "out", workers=1)
    assert [one["records"] for one in manifest.extra["shards"].values()] in ([10, 10, 10], [8, 7, 8, 7], [8, 8, 7, 7])


def test_shards_of_texts_alone_are_compressed(tmp_path):
    made = [
        Record(dataclasses.replace(one, images=(), image_hashes=()), ("why " * 40_000,), (), (0,))
        for one in questions(4)
    ]
    shard(settings(10**9), write_records(tmp_path / "traces", made), tmp_path / "out", workers=1)
    [path] = (tmp_path / "out").glob("octomed-train*")
    assert path.stat().st_size < 200_000
    assert list(ShardReader(tmp_path / "out")) == made


def test_two_processes_write_the_same(traces, whole, tmp_path):
    shard(settings(100_000), traces, tmp_path / "out", workers=2)
    assert folder_bytes(tmp_path / "out") == folder_bytes(whole)


@pytest.mark.integration
def test_four_processes_and_ray_write_the_same(traces, whole, tmp_path):
    pytest.importorskip("ray", reason="the ray extra is not installed; make test-integration installs it")
    shard(settings(100_000), traces, tmp_path / "four", workers=4)
    shard(settings(100_000), traces, tmp_path / "ray", "ray", 2)
    assert folder_bytes(tmp_path / "four") == folder_bytes(tmp_path / "ray") == folder_bytes(whole)


KILLED = """
import os, signal, sys
from octomed_jax.traces import shard_pieces
from octomed_jax.traces.stage import shard
from tests.traces.test_shard_stage import settings
pack, packed = shard_pieces.pack_record, []
def kill_at(record):
    packed.append(record)
    if len(packed) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return pack(record)
shard_pieces.pack_record = kill_at
shard(settings(100_000), sys.argv[1], sys.argv[2], workers=1)
"""


def test_a_killed_run_goes_on_with_the_rest(traces, whole, tmp_path, monkeypatch):
    """Killed in the middle of the third shard, of which nothing is kept."""
    counts = [one["records"] for one in manifests.read_manifest(whole, "shard").extra["shards"].values()]
    command = [sys.executable, "-c", KILLED, str(traces), str(tmp_path / "out"), str(sum(counts[:2]) + 3)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert len(list((tmp_path / ".out.partial").glob(".octomed*.partial"))) == 1
    done, measured = [], []
    write, measure = shard_pieces.write_shard, stage.measure_part
    monkeypatch.setattr(shard_pieces, "write_shard", lambda *words: (done.append(1), write(*words)))
    monkeypatch.setattr(stage, "measure_part", lambda piece: (measured.append(1), measure(piece)))
    shard(settings(100_000), traces, tmp_path / "out", workers=1)
    assert (len(done), len(measured)) == (3, 0)
    assert folder_bytes(tmp_path / "out") == folder_bytes(whole)


@pytest.mark.parametrize("cleared", [True, False])
def test_a_run_killed_before_its_folder_took_its_place_is_done(traces, whole, tmp_path, monkeypatch, cleared):
    class Killed(BaseException):
        pass

    def kill(folder):
        if cleared:
            clear(folder)
        raise Killed

    clear = stage._clear
    monkeypatch.setattr(stage, "_clear", kill)
    with pytest.raises(Killed):
        shard(settings(100_000), traces, tmp_path / "out", workers=1)
    monkeypatch.setattr(stage, "_clear", clear)
    monkeypatch.setattr(stage._Run, "write", None)  # nothing is
    shard(settings(100_000), traces, tmp_path / "out", workers=1)
    assert folder_bytes(tmp_path / "out") == folder_bytes(whole)


def test_finished_shards_in_whose_place_the_work_was_left_are_cleared(traces, whole, tmp_path):
    """As in a bucket, where they are written in their place and a run may be killed behind the manifest."""
    left = shutil.copytree(whole, tmp_path / "out")
    (left / stage.WORK).mkdir()
    (left / stage.WORK / "measured-00000.npz").write_bytes(b"x")
    shard(settings(100_000), traces, left, workers=1)
    assert folder_bytes(left) == folder_bytes(whole)


def test_licences_and_access_are_those_of_what_is_in_the_shards(tmp_path):
    one, two, three = questions(3)
    closed = dataclasses.replace(three, source="wards", licence="signed only", access="credentialed")
    rows = [row_of(Record(item, ("\\boxed{1}",), (), (0,))) for item in (one, two, closed)]
    shard(settings(10**6), write_rows(tmp_path / "all", rows), tmp_path / "with", workers=1)
    rows[2]["verdicts"][0]["verdict"] = "wrong"
    shard(settings(10**6), write_rows(tmp_path / "some", rows), tmp_path / "without", workers=1)
    for name, licences, access in (
        ("with", ("CC0-1.0", "signed only"), "credentialed"),
        ("without", ("CC0-1.0",), "open"),
    ):
        manifest = manifests.read_manifest(tmp_path / name, "shard")
        assert (manifest.licences, manifest.access) == (licences, access)
        info = storage.read_json(tmp_path / name / "dataset_info.json")
        assert info["redistributionInfo"]["license"] == "; ".join(licences)


def test_other_settings_are_refused_and_the_same_are_done(traces, whole):
    before = folder_bytes(whole)
    shard(settings(100_000), traces, whole)
    with pytest.raises(UserError, match="bytes: 100000 -> 100001"):
        shard(settings(100_001), traces, whole)
    with pytest.raises(UserError, match=r"shard.bytes=0: a shard has some bytes"):
        shard(settings(0), traces, whole)
    with pytest.raises(UserError, match=r"traces.per_question=-1"):
        shard(settings(1, -1), traces, whole)
    assert folder_bytes(whole) == before


def test_the_command_says_what_it_cannot_use(tmp_path, capsys):
    words = ["shard", "--config=configs/demo.py:tiny", f"--traces={tmp_path / 'none'}", f"--output={tmp_path / 'out'}"]
    for more, told in (
        (["--workers=-1"], "--workers=-1 is less than 0"),
        (["--engine=beam"], "invalid choice: 'beam'"),
        ([], "none does not exist; make it first with `octomed verify`"),
    ):
        assert main([*words, *more]) == 2
        assert told in capsys.readouterr().err


def test_no_accepted_trace_is_said(tmp_path):
    rows = [row_of(Record(one, ("no",), (), (0,))) for one in questions(3)]
    for row in rows:
        row["verdicts"][0]["verdict"] = "wrong"
    for name, held in (("wrong", rows), ("empty", [])):
        write_rows(tmp_path / name, held)
        with pytest.raises(UserError, match=r"holds no accepted trace; look at its funnel.json for why"):
            shard(settings(1000), tmp_path / name, tmp_path / "out", workers=1)
        assert not (tmp_path / "out").exists()


def test_a_missing_or_damaged_part_is_named(traces, tmp_path):
    for name, damage in (
        ("00001", lambda path: path.unlink()),
        ("00003", lambda path: path.unlink()),  # the last one, after which nothing is missed
        ("00002", lambda path: path.write_bytes(path.read_bytes()[:-9] + bytes(9))),
    ):
        copied = shutil.copytree(traces, tmp_path / f"traces-{name}")
        damage(copied / "lake" / f"part-{name}.parquet")
        with pytest.raises(StopAndLook, match=rf"part-{name}.parquet is (missing|not as it was written)"):
            shard(settings(100_000), copied, tmp_path / "out", workers=1)
        assert not (tmp_path / "out").exists()


def test_a_flipped_byte_of_an_image_of_the_lake_is_named(traces, tmp_path, monkeypatch):
    """In a lake too large to be hashed at every run."""
    monkeypatch.setattr(manifests, "HASHED_BYTES", 0)
    copied = shutil.copytree(traces, tmp_path / "traces")
    path = copied / "lake" / "part-00001.parquet"
    image = next(row["image"][0]["bytes"] for row in lake.iterate_rows(path) if row["image"])
    data = bytearray(path.read_bytes())
    data[data.index(image[5000:5100])] ^= 1
    path.write_bytes(data)
    with pytest.raises(StopAndLook, match=rf"image 0 of question made:\d+ in {path} is not as it was written"):
        shard(settings(100_000), copied, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_a_manifest_that_names_no_part_is_not_taken_for_no_trace(traces, tmp_path):
    copied = shutil.copytree(traces, tmp_path / "traces")
    manifests.write_manifest(copied, manifests.Manifest(stage="verify", config={}))
    with pytest.raises(StopAndLook, match="names no part of a lake"):
        shard(settings(100_000), copied, tmp_path / "out", workers=1)


def test_a_lake_out_of_order_is_refused(tmp_path, monkeypatch):
    made = [Record(one, ("\\boxed{x}",), (), (0,)) for one in questions(4)]
    with pytest.raises(StopAndLook, match="not sorted by id at 'made:002'"):
        shard(settings(1000), write_records(tmp_path / "one", made[::-1]), tmp_path / "out", workers=1)
    monkeypatch.setattr(grouped, "PART_BYTES", 1)
    with pytest.raises(StopAndLook, match="begins with 'made:002', not after 'made:002'"):
        shard(settings(1000), write_records(tmp_path / "two", [*made[:3], made[2]]), tmp_path / "out", workers=1)


def test_a_full_disk_says_try_again(tmp_path):
    """ArrayRecord's writer tells of it in words only: a limit on the size of files stands for the disk."""
    code = """
import resource, signal, sys
from pathlib import Path
from octomed_jax import storage
from octomed_jax.traces.shards import write_shard
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with storage.whole_path(Path(sys.argv[1])) as path:
    write_shard(path, [bytes(50_000)] * 20, True)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "full")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"{TryAgain.__name__}: {tmp_path}/full grows over the limit" in ran.stderr
    assert not list(tmp_path.iterdir())
