"""Arrays of .npz files, a few rows at a time: as numpy.load has them, and nothing that is not plain numbers."""

import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.questions.reading.npz import MOST_ROW_BYTES, ArrayHeader, Npz

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), packed=st.booleans(), block=st.sampled_from([1, 7, 64, 4096]))
def test_rows_are_those_of_numpy(tmp_path, data, packed, block):
    rows = data.draw(st.integers(0, 9))
    shape = (rows, *data.draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)))
    array = np.ascontiguousarray(data.draw(hnp.arrays(data.draw(DTYPES), shape)))
    path = tmp_path / "a.npz"
    (np.savez_compressed if packed else np.savez)(path, array=array, other=np.arange(3))
    loaded = np.load(path)["array"]
    with Npz(path) as npz:
        assert npz.names == ("array", "other")
        assert npz.header("array") == ArrayHeader(rows, shape[1:], loaded.dtype)
        found = list(npz.rows("array", block))
    assert len(found) == rows
    for row, want in zip(found, loaded, strict=True):
        assert row.dtype == want.dtype
        assert np.asarray(row).tobytes() == want.tobytes()


def test_two_arrays_are_read_side_by_side(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=np.arange(6).reshape(3, 2), labels=np.arange(3))
    with Npz(tmp_path / "a.npz") as npz:
        pairs = zip(npz.rows("images", 1), npz.rows("labels", 8), strict=True)
        assert [(image.tolist(), int(label)) for image, label in pairs] == [([0, 1], 0), ([2, 3], 1), ([4, 5], 2)]


def write(path, data, name="array.npy", method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, data)
    return path


def npy(header, data=b"", version=(1, 0)):
    text = f"{header:<117}\n".encode("latin-1")
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text + data


def saved(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


PLAIN = "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (saved(np.array([{"a": 1}, None], object)), "'|O', which is no plain number"),
        (saved(np.zeros(2, [("a", "<i4")])), "which is no plain number"),
        (saved(np.array(["text"])), "which is no plain number"),
        (saved(np.array([1j])), "which is no plain number"),
        (saved(np.zeros(2, "<M8[s]")), "which is no plain number"),
        (saved(np.asfortranarray(np.zeros((3, 2)))), "is in Fortran order"),
        (saved(np.array(5)), "no rows with values"),
        (saved(np.zeros((5, 0))), "no rows with values"),
        (npy(PLAIN % "(3, 4)", bytes(11)), r"claims the shape (3, 4), 140 bytes, but has 139"),
        (npy(PLAIN % "(3, 4)", bytes(13)), "but has 141"),
        (npy(PLAIN % "(1000000000000, 4)", bytes(12)), "claims the shape (1000000000000, 4)"),
        (npy(PLAIN % "(1000000000000000000, 0)"), "no rows with values"),
        (npy(PLAIN % f"(1, {MOST_ROW_BYTES + 1})"), "over the limit"),
        (npy(PLAIN % "(-1, 4)"), "which NumPy does not write"),
        (npy(PLAIN % "(True, 4)"), "which NumPy does not write"),
        (npy("__import__('os').getcwd()"), "which NumPy does not write"),
        (npy("(" * 100), "which NumPy does not write"),
        (npy(PLAIN % "(1,)", b"\0", version=(2, 0)), "is no array of .npy version 1.0"),
        (b"PK" + bytes(200), "is no array of .npy version 1.0"),
    ],
)
def test_an_array_that_is_not_to_be_read_is_refused(tmp_path, data, words):
    path = write(tmp_path / "a.npz", data)
    with Npz(path) as npz:
        for read in (npz.header, lambda name: next(npz.rows(name))):
            with pytest.raises(UserError) as error:
                read("array")
            assert words in str(error.value)
            assert f"array of {path}" in str(error.value)


def test_nothing_is_unpickled(tmp_path):
    """An object array whose pickle would make a file does not make it."""

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trap"), "w"))

    path = write(tmp_path / "a.npz", saved(np.array([Trap()], object)))
    with Npz(path) as npz, pytest.raises(UserError, match="no plain number"):
        list(npz.rows("array"))
    assert not (tmp_path / "trap").exists()


def test_a_damaged_file_is_named(tmp_path):
    whole = write(tmp_path / "a.npz", saved(np.arange(5000)), method=zipfile.ZIP_STORED).read_bytes()
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is no readable"):
        Npz(cut)
    spoilt = tmp_path / "spoilt.npz"
    spoilt.write_bytes(whole[:20_000] + bytes([whole[20_000] ^ 1]) + whole[20_001:])
    with Npz(spoilt) as npz, pytest.raises(StopAndLook, match="is damaged"):
        list(npz.rows("array"))
    with Npz(tmp_path / "a.npz") as npz, pytest.raises(UserError, match="has no array 'labels'; it has array"):
        npz.header("labels")


def test_a_claimed_size_beyond_the_file_is_found(tmp_path):
    """The directory of the zip and the header agree on rows that are not there."""
    short = npy(PLAIN % "(4000, 1)", bytes(1000))
    path = write(tmp_path / "a.npz", short, method=zipfile.ZIP_STORED)
    data = path.read_bytes().replace(struct.pack("<I", len(short)), struct.pack("<I", len(short) + 3000))
    path.write_bytes(data)
    with Npz(path) as npz, pytest.raises((StopAndLook, UserError), match=r"damaged|cut short"):
        list(npz.rows("array"))


def test_a_shortened_head_is_found(tmp_path):
    path = write(tmp_path / "a.npz", b"\x93NUM")
    with Npz(path) as npz, pytest.raises(StopAndLook, match="is cut short"):
        npz.header("array")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4), packed=st.booleans()
)
def test_damage_is_found_or_does_not_matter(tmp_path, changes, packed):
    """No change of some bytes gives other rows, or an error that is not ours."""
    array = np.arange(600, dtype=np.uint8).reshape(20, 30)
    (np.savez_compressed if packed else np.savez)(tmp_path / "a.npz", array=array)
    data = bytearray((tmp_path / "a.npz").read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    (tmp_path / "a.npz").write_bytes(data)
    try:
        with Npz(tmp_path / "a.npz") as npz:
            assert np.array_equal(list(npz.rows("array")), array)
    except (StopAndLook, UserError):
        pass
