"""Files past the page cache hold and give the same bytes, wherever reading begins and however writing is cut."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octomed_jax.checkpoints import direct
from octomed_jax.checkpoints.direct import BLOCK, DirectReader, DirectWriter, takes_direct

WINDOW = 4 * BLOCK
SIZES = st.one_of(st.integers(0, 3 * WINDOW), st.sampled_from([0, 1, BLOCK, WINDOW - 1, WINDOW, WINDOW + 1]))


@pytest.fixture(params=[True, False], ids=["direct", "as always"])
def path(request, tmp_path, monkeypatch):
    """A place for a file; also where the file system knows no such way."""
    monkeypatch.setattr(direct, "WINDOW", WINDOW)
    if not request.param:
        monkeypatch.setattr(direct, "takes_direct", lambda _: False)
    return tmp_path / "file"


def test_there_is_a_way_past_the_cache_here(tmp_path):
    """Otherwise the tests below would all go the other way."""
    (tmp_path / "file").write_bytes(b"1")
    assert takes_direct(tmp_path / "file")
    assert not takes_direct(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])  # each writes the file anew
@given(parts=st.lists(SIZES, max_size=5), seed=st.integers(0, 9))
def test_what_is_written_is_there(path, parts, seed):
    data = [np.random.default_rng(seed).bytes(size) for size in parts]
    with DirectWriter(path) as file:
        for part in data:
            file.write(memoryview(part))
    assert path.read_bytes() == b"".join(data)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])  # each writes the file anew
@given(size=SIZES, start=st.integers(0, 3 * WINDOW), piece=SIZES, parts=st.lists(SIZES, min_size=1, max_size=4))
def test_what_is_there_is_read(path, size, start, piece, parts):
    data = np.random.default_rng(size).bytes(size)
    path.write_bytes(data)
    with DirectReader(path, start, piece) as file:
        place = start
        for part in parts:
            target = bytearray(part)
            count = file.readinto(memoryview(target))
            assert bytes(target[:count]) == data[place : min(place + part, start + piece)]
            place += count


def test_what_is_cut_short_keeps_no_block_of_it_as_whole(path):
    def cut() -> None:
        with DirectWriter(path) as file:
            file.write(memoryview(bytes(BLOCK)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut()
    assert path.read_bytes() == b""
