import gzip

import numpy as np
import pytest
from image_files import nifti

from octomed_jax.errors import UserError
from octomed_jax.images.volumes import read_volume

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("pack", [bytes, lambda data: gzip.compress(data, mtime=0)])
def test_volume_is_turned_to_ras(pack):
    affine = np.diag([-2.0, 3.0, 4.0, 1.0])  # first axis grows to the left
    volume = read_volume(pack(nifti(ARRAY, affine)))
    assert np.array_equal(volume.array, ARRAY[::-1])
    assert (np.diag(volume.affine)[:3] > 0).all()
    # The same point of space holds the same value.
    point = affine @ [1, 2, 3, 1]
    index = np.rint(volume.voxels(point[:3])).astype(int)
    assert volume.array[tuple(index)] == ARRAY[1, 2, 3]


def test_bad_volumes_are_refused():
    data = nifti(ARRAY, np.eye(4))
    packed = gzip.compress(data)
    four = nifti(ARRAY[..., None].repeat(2, axis=-1), np.eye(4))
    for bad in (b"", b"x" * 400, data[:-5], packed[:-10], packed[:20] + b"xx" + packed[22:], four):
        with pytest.raises(UserError, match=r"brain\.nii"):
            read_volume(bad, "brain.nii")


def test_a_small_file_that_unpacks_to_much_is_refused():
    bomb = gzip.compress(b"\0" * 2_000_000)
    with pytest.raises(UserError, match="over 1000000"):
        read_volume(bomb, max_bytes=1_000_000)
