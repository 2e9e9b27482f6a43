"""Images within a limit of pixels, and nothing but pixels in the file."""

import io

import numpy as np
import pytest
from curation_images import real_image
from PIL import Image, ImageDraw, ImageFont

from octomed_jax.curation.pictures.image_transform import MAX_PIXELS, transform_image
from octomed_jax.errors import UserError
from octomed_jax.images.decode import decode_image, encode_png
from octomed_jax.images.patches import PatchSpec
from octomed_jax.images.resize import resize


def large(mode="RGB", size=(1000, 700)):
    image = real_image("node") if mode == "RGB" else real_image("head")
    return image.convert(mode).resize(size, Image.Resampling.BICUBIC)


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def student(data):
    """What the student's own processor makes of a file."""
    spec = PatchSpec()
    return np.asarray(resize(decode_image(data), spec.factor, spec.min_pixels, spec.max_pixels))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1000, 700), (512, 513), (3000, 200), (60, 5000)])
def test_a_large_png_becomes_what_the_student_would_see(mode, size):
    data = encode_png(large(mode, size))
    made = transform_image(data)
    assert made.resized
    with Image.open(io.BytesIO(made.data)) as image:
        assert image.format == "PNG"
        assert image.mode == mode
        assert image.width * image.height <= MAX_PIXELS
        assert image.width % 28 == image.height % 28 == 0
    assert np.array_equal(student(made.data), student(data))
    assert transform_image(made.data).data is made.data


def test_a_jpeg_stays_jpeg_and_close_to_what_the_student_would_see():
    data = saved(large(), format="JPEG", quality=80)
    made = transform_image(data).data
    assert made.startswith(b"\xff\xd8\xff")
    assert np.abs(student(made).astype(int) - student(data)).mean() < 1.0
    assert transform_image(data).data == made


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(512, 512), (100, 30), (1, 1)])
def test_what_needs_no_change_keeps_its_bytes(kind, size):
    data = saved(large("L", size), format=kind)
    for text in ("keep", "blank", "drop"):
        made = transform_image(data, text=text)
        assert made.data is data
        assert (made.text, made.resized) == ((), False)


def test_metadata_goes_and_orientation_is_applied():
    tags = Image.Exif()
    tags[0x010E], tags[0x0112] = "Doe-Jane-1951", 6
    small = saved(large(size=(60, 40)), format="JPEG", exif=tags)
    made = transform_image(small).data
    assert b"Doe-Jane" not in made
    assert decode_image(made).size == (40, 60)
    big = transform_image(saved(large(), format="JPEG", exif=tags, comment=b"Doe-Jane-1951")).data
    assert b"Doe-Jane" not in big
    assert decode_image(big).height > decode_image(big).width


def test_a_lower_limit_is_kept():
    for limit in (28 * 28, 10_000, 100_352):
        image = decode_image(transform_image(encode_png(large()), limit).data)
        assert image.width * image.height <= limit


def named(kind):
    image = real_image("head").convert("RGB").resize((900, 900))
    ImageDraw.Draw(image).text((10, 10), "DOE, JANE 1951", font=ImageFont.load_default(20), fill=(255, 255, 255))
    return saved(image, format=kind)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_text_is_kept_painted_over_or_dropped(kind):
    data = named(kind)
    kept, blank, dropped = (transform_image(data, text=text) for text in ("keep", "blank", "drop"))
    assert kept.text == ()
    assert len(blank.text) >= 1
    assert dropped.data is None
    assert dropped.text == blank.text
    assert blank.data != kept.data
    corner = np.asarray(decode_image(blank.data))[:20, :90]
    assert corner.max() < 60 < np.asarray(decode_image(kept.data))[:20, :90].max()


def test_mistakes_are_named():
    data = encode_png(large())
    with pytest.raises(UserError, match=r"'blnk' for burned-in text \(did you mean 'blank'\?\)"):
        transform_image(data, text="blnk")
    with pytest.raises(UserError, match="max_pixels is 100"):
        transform_image(data, 100)
    with pytest.raises(UserError, match=r"scan.png has 60000 x 20 pixels, more than 200 times"):
        transform_image(encode_png(Image.new("L", (60_000, 20))), name="scan.png")
    with pytest.raises(UserError, match=r"has 1 x 201 pixels, more than 200 times"):  # the student takes it no more
        transform_image(encode_png(Image.new("L", (1, 201))))
    with pytest.raises(UserError, match=r"odd.bin is not"):
        transform_image(b"odd", name="odd.bin")
