"""Shards written into a bucket: each is sent when it is whole, and the manifest last."""

import pytest
from etils import epath
from ml_collections import ConfigDict

from octomed_jax.cli.main import main
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.traces import shard_pieces, stage
from octomed_jax.traces.stage import shard
from tests.bucket import emulated
from tests.traces.corpus import write_traces

pytestmark = pytest.mark.integration


def settings(size: int) -> ConfigDict:
    return ConfigDict({"traces": {"per_question": 2}, "shard": {"bytes": size}})


def names(folder: epath.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed(_):
    raise KeyboardInterrupt


def test_a_bucket_holds_the_same_bytes_though_the_run_was_ended(tmp_path, monkeypatch, capsys):
    traces = write_traces(tmp_path / "traces")
    shard(settings(100_000), traces, tmp_path / "local", workers=1)
    local = {path.name: path.read_bytes() for path in (tmp_path / "local").iterdir()}
    with emulated(tmp_path, monkeypatch) as url:
        folder = epath.Path(f"{url}/run/shards")
        wrote = []

        def write(path, records, has_images):
            wrote.append(path.name)
            if len(wrote) == 3:
                raise TryAgain("a process was lost")
            write_shard(path, records, has_images)

        write_shard = shard_pieces.write_shard
        monkeypatch.setattr(shard_pieces, "write_shard", write)
        with pytest.raises(TryAgain):
            shard(settings(100_000), traces, str(folder), workers=1)
        assert names(folder) == [stage.WORK, *wrote[:2]]
        with pytest.raises(UserError, match="was begun with other settings"):
            shard(settings(90_000), traces, str(folder), workers=1)
        shard(settings(100_000), traces, str(folder), workers=1)
        assert len(wrote) == 3 + 3  # the rest only
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == local
        shard(settings(100_000), traces, str(folder), workers=1)
        assert len(wrote) == 6
        with monkeypatch.context() as patch:
            patch.setattr(stage, "_clear", killed)
            with pytest.raises(KeyboardInterrupt):  # behind the manifest
                shard(settings(100_000), traces, f"{url}/left", workers=1)
        left = epath.Path(f"{url}/left")
        assert names(left) == [stage.WORK, *sorted(local)]
        shard(settings(100_000), traces, str(left), workers=1)
        assert names(left) == sorted(local)
        (epath.Path(f"{url}/other") / "x").write_text("somebody's")
        with pytest.raises(UserError, match="already exists and is not empty"):
            shard(settings(100_000), traces, f"{url}/other", workers=1)
        words = ["--config=configs/demo.py:tiny", f"--traces={traces}", f"--output={url}/by-command"]
        assert main(["shard", *words, "--workers=1"]) == 0
        assert "mount it and run the same command on the mount" in capsys.readouterr().out
