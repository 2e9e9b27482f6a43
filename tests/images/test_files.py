"""Image files of every kind become PNG or JPEG files with the same pixels, and no name of a patient stays in them."""

import contextlib
import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import PATIENT, dicom, jpeg, nifti, pixels, png, png_of_size, saved
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from octomed_jax.errors import UserError
from octomed_jax.images import dicom as dicom_module
from octomed_jax.images.decode import decode_image, encode_png
from octomed_jax.images.files import plain_file

RGB = Image.fromarray(pixels())
GRAY = Image.fromarray(pixels(1, (9, 13)))
PALETTE = RGB.quantize(16)


def see(data):
    return np.asarray(decode_image(data))


@pytest.mark.parametrize(
    "data",
    [
        saved(RGB),
        saved(RGB, icc_profile=b"profile" * 20),
        saved(GRAY),
        saved(PALETTE),
        saved(Image.fromarray(pixels(2, (8, 8, 4)))),
        saved(PALETTE, transparency=3),
        saved(Image.fromarray(pixels(3, (8, 8)).astype(np.uint16) * 200)),
        saved(RGB, "JPEG"),
        saved(RGB, "JPEG", progressive=True, quality=95, icc_profile=b"profile" * 20),
        saved(RGB.convert("CMYK"), "JPEG"),
        saved(GRAY, "JPEG", restart_marker_blocks=1),
    ],
)
def test_a_sound_file_without_metadata_stays_byte_for_byte(data):
    assert plain_file(data) is data


@pytest.mark.parametrize(
    "data",
    [
        jpeg(),
        jpeg(progressive=True),
        jpeg(quality=30, subsampling=2, restart_marker_rows=1),
        jpeg(icc_profile=b"profile" * 20000),
        png(),
        png(image=GRAY),
        png(image=PALETTE),
        png(image=Image.fromarray(pixels(2, (8, 8, 4)))),
        png(image=Image.fromarray(pixels(3, (8, 8)).astype(np.uint16) * 200)),
    ],
)
def test_metadata_goes_and_pixels_stay(data):
    plain = plain_file(data)
    assert data[:4] == plain[:4]
    assert PATIENT.encode() in data
    assert PATIENT[:12].encode() not in plain
    assert len(plain) < len(data)
    assert np.array_equal(see(plain), see(data))
    assert plain_file(plain) is plain
    with Image.open(io.BytesIO(plain)) as opened:
        opened.load()
        assert set(opened.info) <= {
            "jfif", "jfif_version", "jfif_unit", "jfif_density", "icc_profile", "progressive", "progression",
            "transparency",
        }  # fmt: skip
        assert ("icc_profile" in opened.info) == (b"ICC_PROFILE" in data)


@pytest.mark.parametrize("make", [jpeg, png])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_what_lies_on_its_side_is_turned_upright(make, orientation):
    data = make(orientation=orientation)
    plain = plain_file(data)
    assert plain.startswith(b"\x89PNG")
    assert np.array_equal(see(plain), see(data))
    assert see(plain).shape[:2] == ((32, 20) if orientation > 4 else (20, 32))
    assert PATIENT.encode() not in plain


def test_of_a_jpeg_with_several_pictures_the_first_stays():
    several = saved(RGB, "MPO", save_all=True, append_images=[Image.fromarray(pixels(5))])
    assert plain_file(several) == saved(RGB, "JPEG")
    with pytest.raises(UserError, match="is a video"):
        decode_image(several)


@pytest.mark.parametrize(
    ("kind", "image", "options"),
    [
        ("TIFF", RGB, {}),
        ("TIFF", RGB, {"compression": "tiff_lzw"}),
        ("TIFF", GRAY, {"description": PATIENT}),
        ("TIFF", RGB.convert("1"), {"compression": "group4"}),
        ("BMP", RGB, {}),
        ("BMP", PALETTE, {}),
        ("GIF", PALETTE, {"comment": PATIENT.encode()}),
        ("GIF", PALETTE, {"transparency": 2}),
        ("WEBP", RGB, {"lossless": True, "xmp": PATIENT}),
        ("WEBP", Image.fromarray(pixels(2, (8, 8, 4))), {"lossless": True}),
    ],
)
def test_other_kinds_become_png(kind, image, options):
    plain = plain_file(saved(image, kind, **options))
    assert plain.startswith(b"\x89PNG")
    original = saved(image, **({"transparency": 2} if "transparency" in options else {}))
    assert np.array_equal(see(plain), see(original))
    assert PATIENT.encode() not in plain


def test_an_upright_tiff_is_what_its_orientation_says():
    plain = plain_file(saved(RGB, "TIFF", tiffinfo={274: 6}))
    assert np.array_equal(see(plain), np.rot90(pixels(), -1))


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_a_tiff_of_measured_values_is_not_black(kind):
    values = np.linspace(1000, 1200, 64 * 64).reshape(64, 64).astype(kind)
    gray = see(plain_file(saved(Image.fromarray(values), "TIFF")))[..., 0]
    assert (gray.min(), gray.max()) == (0, 255)
    assert abs(gray.mean() - 127.5) < 1


def test_a_dicom_gives_its_middle_frame_windowed_and_nothing_else():
    frames = np.stack([np.full((4, 6), value) for value in (0, 100, 200, 300)])
    plain = plain_file(dicom(frames, WindowCenter=100, WindowWidth=200))
    assert see(plain)[..., 0].tolist() == [[255] * 6] * 4
    assert plain == encode_png(Image.new("L", (6, 4), 255))
    assert see(plain_file(dicom(frames[1], WindowCenter=100, WindowWidth=200)))[0, 0, 0] == 128
    assert see(plain_file(dicom(frames[:3], WindowCenter=200, WindowWidth=400)))[0, 0, 0] == 64


@pytest.mark.parametrize("packed", [False, True])
def test_a_nifti_gives_its_middle_axial_slice(packed):
    array = np.zeros((5, 4, 6), np.int16)
    array[..., 3] = np.arange(20).reshape(5, 4)
    flips = (np.eye(4), np.diag([-1.0, 1, 1, 1]), np.diag([1.0, -1, -1, 1]))
    upright = see(plain_file(nifti(array, packed=packed)))[..., 0]
    assert upright.shape == (4, 5)
    # Right is the first axis and front the second: front is up, and right on the left.
    assert upright[0, 0] == upright.max() == 255
    assert upright[3, 4] == upright.min() == 0
    assert upright[3, 0] > upright[0, 4]
    for affine in flips:
        turned = array[tuple(slice(None, None, int(step)) for step in np.diag(affine)[:3])]
        assert np.array_equal(see(plain_file(nifti(turned, affine)))[..., 0], upright)
    # The same volume with its axes in another order.
    order = np.eye(4)[[2, 0, 1, 3]]
    assert np.array_equal(see(plain_file(nifti(array.transpose(1, 2, 0), order)))[..., 0], upright)


def test_a_nifti_without_numbers_is_refused():
    empty = np.full((3, 3, 3), np.nan, np.float32)
    colour = np.zeros((3, 3, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for array, words in (
        (empty, "it holds no number"),
        (colour, "no plain numbers"),
        (np.ones((3, 3, 3, 2), "u1"), "three-dim"),
    ):
        with pytest.raises(UserError, match=words) as error:
            plain_file(nifti(array), "brain.nii")
        assert "brain.nii" in str(error.value)


def test_values_that_are_no_numbers_are_black():
    array = np.linspace(0, 1, 75, dtype=np.float32).reshape(5, 5, 3)
    array[0, 0, 1], array[4, 4, 1] = np.nan, np.inf
    gray = see(plain_file(nifti(array)))[..., 0]
    assert gray[4, 4] == 0
    assert gray[0, 0] == 255


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not a PNG or JPEG or TIFF"),
        (b"<svg/>" * 99, "is not a PNG or JPEG or TIFF"),
        (png_of_size(40_000, 40_000), "limit"),
        (saved(RGB, "TIFF", save_all=True, append_images=[RGB]), "has several pages"),
        (saved(RGB, "GIF", save_all=True, append_images=[Image.fromarray(pixels(4))]), "is a video"),
        (saved(RGB, "WEBP", save_all=True, append_images=[Image.fromarray(pixels(4))]), "is a video"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(99), "is a video"),
        (dicom(np.zeros((2, 2)), Rows=60_000, Columns=60_000), "claims 3600000000 pixels"),
        (dicom(np.zeros((2, 2)), NumberOfFrames=10**9), "claims 4000000000 pixels"),
        (nifti(np.ones((9, 9, 9), "u1"))[:600], "not a whole"),
        (b"\x1f\x8b\x08" + bytes(30), "scan"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(data, words):
    with pytest.raises(UserError, match=words) as error:
        plain_file(data, "scan 7")
    assert "scan 7" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_dicom_that_is_packed_as_a_whole_has_a_limit(monkeypatch):
    packed = dicom(np.ones((300, 300)), TransferSyntaxUID=DeflatedExplicitVRLittleEndian, WindowCenter=1, WindowWidth=2)
    assert see(plain_file(packed)).shape == (300, 300, 3)
    assert len(packed) < 2000
    monkeypatch.setattr(dicom_module, "MAX_DICOM_BYTES", 100_000)
    monkeypatch.setattr(dicom_module.pydicom, "dcmread", None)  # must not be reached
    with pytest.raises(UserError, match="scan unpacks to over 100000 bytes"):
        plain_file(packed, "scan")


WHOLE = {
    "jpeg": jpeg(),
    "progressive": jpeg(progressive=True),
    "png": png(),
    "tiff": saved(RGB, "TIFF", compression="tiff_lzw"),
    "bmp": saved(RGB, "BMP"),
    "webp": saved(RGB, "WEBP"),
    "dicom": dicom(pixels(7, (16, 16))),
    "nifti": nifti(pixels(7, (6, 6, 6)), packed=True),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_half_a_file_is_refused(kind):
    data = WHOLE[kind]
    with pytest.raises(UserError, match="scan"):
        plain_file(data[: len(data) // 2], "scan")


@settings(max_examples=150)
@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 2**32 - 1))
def test_a_damaged_file_is_plain_or_refused_in_one_line(kind, seed):
    data, chance, message = bytearray(WHOLE[kind]), random.Random(seed), ""
    for _ in range(chance.choice((1, 1, 3))):
        data[chance.randrange(min(len(data), 500))] = chance.randrange(256)
    try:
        plain = plain_file(bytes(data), "scan")
    except UserError as error:
        message = str(error)
    else:
        assert decode_image(plain).size
        assert plain_file(plain) == plain
    assert "\n" not in message
    assert not message or "scan" in message


def test_the_reader_of_tiff_files_says_nothing_of_its_own(capfd):
    data = bytearray(saved(RGB, "TIFF", compression="tiff_deflate"))
    for at in range(8, len(data), 7):
        data[at] ^= 0xFF
        with contextlib.suppress(UserError):
            plain_file(bytes(data))
    assert capfd.readouterr().err == ""
