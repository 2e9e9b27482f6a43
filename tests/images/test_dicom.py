import numpy as np
import pytest
from image_files import dicom

from octomed_jax.errors import UserError
from octomed_jax.images.dicom import read_dicom

PIXELS = np.array([[0, 500], [1000, 2000]])


def test_window_and_rescale():
    data = dicom(PIXELS, RescaleSlope=1, RescaleIntercept=-1000, WindowCenter=0, WindowWidth=1000)
    assert read_dicom(data).frames[0].tolist() == [[0, 0], [128, 255]]


def test_first_of_many_windows_is_taken():
    assert read_dicom(dicom(PIXELS, WindowCenter=[500, 0], WindowWidth=[1000, 1])).frames[0].tolist() == [
        [0, 128],
        [255, 255],
    ]


def test_monochrome1_is_inverted_and_no_window_stretches():
    plain = read_dicom(dicom(PIXELS)).frames
    inverted = read_dicom(dicom(PIXELS, PhotometricInterpretation="MONOCHROME1")).frames
    assert plain[0, 0, 0] == 0
    assert plain[0, 1, 1] == 255
    assert np.array_equal(inverted, 255 - plain)


def test_no_patient_field_leaves():
    read = read_dicom(dicom(PIXELS))
    assert (read.modality, read.body_part) == ("CT", "HEAD")
    assert "Doe" not in repr(read)
    assert read.image(0).info == {}


def test_frames_are_thinned_evenly():
    read = read_dicom(dicom(np.zeros((9, 2, 2))), max_frames=3)
    assert read.frames.shape == (3, 2, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a dicom file" * 20,
        dicom(PIXELS)[:-4],
        dicom(PIXELS, Rows=60_000, Columns=60_000),
        dicom(PIXELS, Rows=0),
        dicom(PIXELS, NumberOfFrames=-3),
    ],
)
def test_bad_files_name_themselves(data):
    with pytest.raises(UserError, match=r"x\.dcm") as caught:
        read_dicom(data, "x.dcm")
    assert "\n" not in str(caught.value)
