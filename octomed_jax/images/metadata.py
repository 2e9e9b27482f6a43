"""PNG and JPEG files without what they say beside their pixels: who, when, where, with what. No pixel is encoded anew.

Kept is what decoding needs; all else goes, also what nobody has heard of and what stands behind the end.
"""

import io
import re
import warnings

from PIL import ExifTags, Image

from octomed_jax.images.decode import BROKEN, FORMATS

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_CHUNKS = frozenset(
    (
        b"IHDR",
        b"PLTE",
        b"IDAT",
        b"IEND",
        b"tRNS",
        b"gAMA",
        b"cHRM",
        b"sRGB",
        b"iCCP",
        b"cICP",
        b"sBIT",
        b"bKGD",
        b"pHYs",
    )
)
# JPEG markers; some stand alone, all others begin a segment that names its size.
_EOI, _SOS, _APP0, _APP2, _APP14, _COM = 0xD9, 0xDA, 0xE0, 0xE2, 0xEE, 0xFE
_ALONE = frozenset((0x01, *range(0xD0, 0xDA)))
_JFIF_BYTES, _ADOBE_BYTES = 14, 12  # of such a segment's content: the first ends with the size of a thumbnail
_MARKER = re.compile(rb"\xff+[^\x00\xff]")
# Where coded pixels end: at a marker that is neither a stuffed zero, nor a restart, nor a fill byte.
_NEXT = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
# What stands in metadata that could say which way is up.
_MAY_TURN = (b"eXIf", b"Exif", b"exif", b"xmp", b"xap")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def without_metadata(data: bytes) -> bytes:
    """Return a PNG or JPEG file with nothing but its pixels and what decoding them needs (ICC, gamma, Adobe's mark).

    A file that holds nothing else is returned as it is. Of a JPEG with several pictures the first is kept.

    Raises:
        ValueError: the file breaks off, or is put together wrongly.
    """
    kept = _png_parts(data) if data.startswith(PNG) else _jpeg_parts(data)
    bare = b"".join(kept)
    return data if len(bare) == len(data) else bare


def turn_of(data: bytes, bare: bytes) -> Image.Transpose | None:
    """Return how a PNG or JPEG file is to be turned so that it stands upright, None where it does.

    Args:
        data: the file.
        bare: what ``without_metadata`` made of it, decoded without an error.
    """
    if bare is data or not any(word in data for word in _MAY_TURN):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about broken EXIF, which then turns nothing
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except BROKEN:
        return None


def _png_parts(data: bytes) -> list[bytes]:
    kept, at = [PNG], len(PNG)
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        kind, end = data[at + 4 : at + 8], at + 12 + size
        if end > len(data):
            raise ValueError("it breaks off")
        if kind in _CHUNKS:
            kept.append(data[at:end])
        at = end
        if kind == b"IEND":
            break
    return kept


def _jpeg_parts(data: bytes) -> list[bytes]:
    kept, at = [data[:2]], 2
    while found := _MARKER.search(data, at):
        marker, at, size = data[found.end() - 1], found.end(), 0
        if marker not in _ALONE:
            size = int.from_bytes(data[at : at + 2])
            if size < 2 or at + size > len(data):
                raise ValueError("a segment breaks off")
        content = _needed(marker, data[at + 2 : at + size])
        if content is not None:
            length = (len(content) + 2).to_bytes(2) if size else b""
            kept += (found.group(), length, content)
        at += size
        if marker == _SOS:
            pixels = _NEXT.search(data, at)
            end = pixels.start() if pixels else len(data)
            kept.append(data[at:end])
            at = end
        if marker == _EOI:
            break
    return kept


def _needed(marker: int, content: bytes) -> bytes | None:
    """Return what decoding needs of the content of a segment, None where it needs nothing of it."""
    if marker == _APP0 and content.startswith(b"JFIF\0"):
        return content if len(content) <= _JFIF_BYTES else content[: _JFIF_BYTES - 2] + b"\0\0"  # no thumbnail
    if marker == _APP2 and content.startswith(b"ICC_PROFILE\0"):
        return content
    if marker == _APP14 and content.startswith(b"Adobe"):
        return content[:_ADOBE_BYTES]
    return None if _APP0 <= marker <= _COM else content
