import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import XMP, chunk, exif, jpeg, png_of_size, saved
from PIL import Image, ImageFile, PngImagePlugin

from octomed_jax.errors import UserError
from octomed_jax.images.decode import decode_image, decode_tiff, encode_png, upright_size


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["L", "RGB"]), st.integers(0, 2**32 - 1))
def test_png_round_trip_keeps_pixels_and_bytes(width, height, mode, seed):
    shape = (height, width) if mode == "L" else (height, width, 3)
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
    data = encode_png(image)
    assert data == encode_png(image)
    assert np.array_equal(np.asarray(decode_image(data)), np.asarray(image.convert("RGB")))


def test_png_holds_no_metadata():
    image = Image.new("L", (4, 4))
    image.info.update({"comment": "made at noon", "dpi": (72, 72)})
    assert encode_png(image) == encode_png(Image.new("L", (4, 4)))


def test_16_bit_gray_is_scaled_not_clipped():
    values = np.array([[0, 256, 32768, 65535]], np.uint16)
    decoded = np.asarray(decode_image(saved(Image.fromarray(values))))
    assert decoded[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("image", "mode"),
    [
        (Image.new("L", (3, 2), 7), "L"),
        (Image.fromarray(np.full((2, 3), 4000, np.uint16)), "L"),
        (Image.new("1", (3, 2), 1), "RGB"),
        (Image.new("LA", (3, 2), (7, 9)), "RGB"),
        (Image.new("RGB", (3, 2), (7, 8, 9)), "RGB"),
    ],
)
def test_gray_is_kept_where_asked_for(image, mode):
    kept, whole = decode_image(saved(image), keep_gray=True), decode_image(saved(image))
    assert (kept.mode, whole.mode) == (mode, "RGB")
    assert np.array_equal(np.asarray(kept.convert("RGB")), np.asarray(whole))


def test_palette_is_applied():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert np.asarray(decode_image(saved(image)))[0].tolist() == [[10, 20, 30], [200, 100, 50]]


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    assert np.asarray(decode_image(saved(image)))[0].tolist() == [[255, 255, 255], [255, 0, 0]]


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6
    assert decode_image(saved(image, "JPEG", exif=exif)).size == (20, 40)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a PNG or JPEG"),
        (b"GIF89a" + b"\0" * 40, "not a PNG or JPEG"),
        (saved(Image.new("RGB", (64, 64), (3, 2, 1)), "GIF"), "not a PNG or JPEG"),
        (png_of_size(60_000, 60_000), "pixels"),
        (png_of_size(12_000, 12_000), "corrupt"),
        (png_of_size(20_000, 10_000), "than the limit"),
        (png_of_size(64, 64), "corrupt"),
    ],
)
def test_bad_files_give_one_line_with_the_name(data, words):
    with pytest.raises(UserError, match=words) as caught:
        decode_image(data, name="scan.png")
    assert "scan.png" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_files_are_refused(kind, share):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(Image.fromarray(pixels), kind)
    with pytest.raises(UserError, match="truncated or corrupt"):
        decode_image(data[: int(len(data) * share)])


def test_limit_of_pixels_is_the_callers():
    data = encode_png(Image.new("L", (100, 100)))
    assert decode_image(data, max_pixels=10_000).size == (100, 100)
    with pytest.raises(UserError, match="100 x 100"):
        decode_image(data, max_pixels=9_999)


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"]))
def test_any_bytes_give_an_image_or_a_user_error(tail, head):
    with contextlib.suppress(UserError):
        assert decode_image(head + tail).mode == "RGB"


@pytest.mark.parametrize(
    "start",
    [
        b"\x00\x00\x00\x18ftypmp42",
        b"\x1aE\xdf\xa3\x01",
        b"RIFF\x00\x01\x00\x00AVI LIST",
        b"\x00\x00\x01\xba!",
        b"\x00\x00\x01\xb3",
    ],
)
def test_a_video_is_refused_in_one_line(start):
    with pytest.raises(UserError, match=r"^clip is a video, which this student does not take; extract the frames"):
        decode_image(start + bytes(100), name="clip")


def test_an_animated_png_is_a_video():
    file = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 99)]
    frames[0].save(file, format="PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match="is a video"):
        decode_image(file.getvalue())


def test_the_first_page_of_a_tiff_is_read():
    first, second = Image.new("RGB", (6, 4), (200, 10, 30)), Image.new("RGB", (3, 2))
    file = io.BytesIO()
    first.save(file, format="TIFF", save_all=True, append_images=[second], compression="tiff_lzw")
    image = decode_tiff(file.getvalue())
    assert (image.size, image.mode, image.getpixel((5, 3))) == ((6, 4), "RGB", (200, 10, 30))
    with pytest.raises(UserError, match="slide has 6 x 4 pixels, over the limit of 23"):
        decode_tiff(file.getvalue(), max_pixels=23, name="slide")
    with pytest.raises(UserError, match="slide is not a TIFF file"):
        decode_tiff(b"\x89PNG\r\n", name="slide")
    with pytest.raises(UserError, match="slide is"):
        decode_tiff(file.getvalue()[:20], name="slide")


def oriented(orientation: int, where: str) -> bytes:
    """An image of 32 x 20 pixels that says somewhere which way is up."""
    if where == "jpeg":
        return jpeg(orientation=orientation)
    image, tags = Image.new("L", (32, 20), 9), exif(orientation)
    texts = PngImagePlugin.PngInfo()
    turn = b'<x tiff:Orientation="%d"/>' % orientation
    if where == "profile":
        texts.add_text("Raw profile type exif", f"\nexif\n{len(tags.tobytes())}\n{tags.tobytes().hex()}", zip=True)
    if where == "xmp":
        texts.add_itxt("XML:com.adobe.xmp", (XMP + turn).decode())
    if where == "words":
        texts.add_text("Comment", f"Orientation {orientation}")
    bare = saved(image, pnginfo=texts)
    if where == "before":
        return saved(image, exif=tags)
    if where in ("behind", "twice"):
        first = saved(image, exif=exif(1)) if where == "twice" else bare
        return first[:-12] + chunk(b"eXIf", tags.tobytes()[6:]) + first[-12:]
    return bare


@settings(max_examples=60)
@given(st.integers(0, 9), st.sampled_from(["jpeg", "before", "behind", "twice", "profile", "xmp", "words", "nowhere"]))
def test_the_size_is_what_decoding_gives(orientation, where):
    data = oriented(orientation, where)
    assert upright_size(data) == decode_image(data).size
    if where not in ("words", "nowhere"):
        assert upright_size(data) == ((20, 32) if 5 <= orientation <= 8 else (32, 20))


@pytest.mark.parametrize("where", ["nowhere", "words"])
def test_the_size_of_a_png_is_known_without_its_pixels(where, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    assert upright_size(oriented(6, where)) == (32, 20)
