"""Parameters pass through a bounded memory when they are written, and are read without what lies beside them."""

import json
import weakref
from pathlib import Path

import numpy as np
import pytest
import tensorstore

from octomed_jax.checkpoints import parameters
from octomed_jax.checkpoints.parameters import SavedParameters, Streamed, write_parameters
from octomed_jax.checkpoints.store import CheckpointStore
from octomed_jax.errors import StopAndLook

FLOAT = np.dtype(np.float32)
LAYER = 128 * 128 * 4  # bytes


class Watched:
    """A stack and a larger matrix that are made when they are read; counts what of them is held."""

    def __init__(self):
        self.now = self.most = 0

    def streamed(self) -> dict[str, Streamed]:
        return {
            "text.layers.a": Streamed((12, 128, 128), FLOAT, True, 0, lambda layer, *rows: self.made(*rows, layer)),
            "head": Streamed((128, 1024), FLOAT, False, 1, lambda _, *columns: self.made(*columns, None)),
            "empty": Streamed((), FLOAT, False, 0, lambda *_: np.float32(7)[None].reshape(())),
        }

    def made(self, start: int, stop: int, layer: int | None) -> np.ndarray:
        """Return rows of a layer, which hold its number, or columns of the matrix, which hold theirs."""
        columns = np.arange(start, stop, dtype=FLOAT)
        shape = (128, stop - start) if layer is None else (stop - start, 128)
        part = np.full(shape, columns if layer is None else layer, FLOAT)
        self.now += part.nbytes
        self.most = max(self.most, self.now)
        weakref.finalize(part, self.given_back, part.nbytes)
        return part

    def given_back(self, size: int) -> None:
        self.now -= size


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize(("room", "piece"), [(1, 1), (3 * LAYER, 1), (3 * LAYER, 2 * LAYER), (100 * LAYER, 99 * LAYER)])
def test_no_more_is_held_than_there_is_room_for(tmp_path, monkeypatch, room, piece, once):
    monkeypatch.setattr(parameters, "IN_FLIGHT_BYTES", room)
    monkeypatch.setattr(parameters, "PIECE_BYTES", piece)
    monkeypatch.setattr(parameters, "CHUNK_BYTES", LAYER // 2)
    watched = Watched()
    write_parameters(tmp_path / "out", watched.streamed())
    assert watched.most <= max(room, LAYER)
    saved = SavedParameters(tmp_path / "out", once=once)
    assert (saved.read("head") == np.arange(1024)).all()
    assert saved.read("empty") == 7
    for layer in range(12):
        assert (saved.read("text.layers.a", layer) == layer).all()


@pytest.mark.parametrize("room", [1, 100 * LAYER])
def test_a_part_that_cannot_be_read_ends_the_write(tmp_path, monkeypatch, room):
    monkeypatch.setattr(parameters, "IN_FLIGHT_BYTES", room)

    def read(layer: int | None, start: int, stop: int) -> np.ndarray:
        if layer == 7:
            raise StopAndLook("the file is damaged")
        return np.zeros((stop - start, 128), FLOAT)

    with pytest.raises(StopAndLook, match="the file is damaged"):
        write_parameters(tmp_path / "out", {"text.layers.a": Streamed((12, 128, 128), FLOAT, True, 0, read)})
    assert not (tmp_path / "out").exists()


def test_a_layer_of_a_training_checkpoint_is_read_without_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(parameters, "CHUNK_BYTES", 4 * LAYER)
    stack = np.arange(28, dtype=np.float32)[:, None, None] * np.ones((128, 128), np.float32)
    tree = {"text": {"layers": {"a": stack}, "embedding": np.ones((4096, 64), np.float32)}}
    store = CheckpointStore(tmp_path / "run", keep=1)
    store.save(3, {"parameters": tree, "moments": [tree]}, "plan")
    store.close()
    folder = tmp_path / "run" / "3" / "state"
    saved = SavedParameters(folder, below="parameters")
    saved.read("text.layers.a", 0)  # opens it
    before = bytes_read()
    assert (saved.read("text.layers.a", 13) == 13).all()
    assert bytes_read() - before < 2 * LAYER
    for part in ("parameters.", "moments.0."):
        assert chunk_of(folder, f"{part}text.layers.a") == [1, 128, 128]
        assert chunk_of(folder, f"{part}text.embedding") == [1024, 64]


def chunk_of(folder: Path, name: str) -> list[int]:
    kvstore = {"driver": "ocdbt", "base": f"file://{folder}/"}
    return json.loads(tensorstore.KvStore.open(kvstore).result()[f"{name}/.zarray"])["chunks"]


def bytes_read() -> int:
    """Return what this process has read from files so far."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])
