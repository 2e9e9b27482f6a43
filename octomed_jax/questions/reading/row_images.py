"""The images of a row in every form that rows hold them in: a file's name, base64, a data URL, bytes; one or a list."""

import base64
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from octomed_jax import storage
from octomed_jax.errors import UserError
from octomed_jax.images.decode import MAX_BYTES
from octomed_jax.images.files import plain_file
from octomed_jax.questions.reading.names import shown
from octomed_jax.verification.rows import RowError

MOST_IMAGES = 100  # of one question
# How base64 of a PNG, JPEG, GIF, WebP and TIFF file begins. Every other text is the name of a file.
BASE64_MARKS = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "SUkqA", "TU0AK")
ReadFile = Callable[[str, bool], bytes]  # the name of a file, and whether an error may say it
Known = Callable[[str], bytes | None]
_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Image(NamedTuple):
    """An image of a row: SHA-256 of its file as it was read, and as it is kept, with the kept file."""

    read: str
    digest: str
    data: bytes


def images_of(value: Any) -> list[Any]:
    """Return the images of a column as a list: it may hold none, one, a list, or JSON of a list (as CSV does)."""
    if value is None or value == "":
        return []
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return [value]
    return list(value) if isinstance(value, list | tuple) else [value]


def file_name(image: Any) -> str | None:
    """Return the name of the file that an image is read from, None where the row holds the image itself."""
    if isinstance(image, Mapping):
        image = image.get("path") if image.get("bytes") is None else None
    return image if isinstance(image, str) and not image.startswith(("data:", *BASE64_MARKS)) else None


def read_images(value: Any, read_file: ReadFile, where: str, known: Known, named: bool = True) -> list[Image]:
    """Return the images of a row as PNG or JPEG files without metadata, all of them decoded once.

    Args:
        value: the column ``image``.
        read_file: name of a file to its bytes; raises UserError where it must not, or cannot, be read.
        where: names the row in an error.
        known: hash of a file to what is kept of it, if it was read before.
        named: whether an error may say the name of a file.

    Raises:
        RowError: an image is missing, not of a kind that ``plain_file`` reads, damaged, or too large.
    """
    images = images_of(value)
    if len(images) > MOST_IMAGES:
        raise RowError(
            f"{where} has {len(images)} images, over the limit of {MOST_IMAGES}; split the question", "image"
        )
    found: list[Image] = []
    for number, image in enumerate(images, 1):
        name = f"{where}: image {number}" if len(images) > 1 else f"{where}: image"
        try:
            data = _read(image, read_file, name, named)
            read = storage.sha256_bytes(data)
            kept = known(read) or plain_file(data, name)
        except UserError as error:
            raise RowError(str(error), "image") from error
        found.append(Image(read, read if kept is data else storage.sha256_bytes(kept), kept))
    if sum(len(image.data) for image in found) > MAX_BYTES:
        raise RowError(f"{where}: its images have more than {MAX_BYTES} bytes together; shrink them", "image")
    return found


def _read(image: Any, read_file: ReadFile, name: str, named: bool) -> bytes:
    """Return the bytes of one image."""
    if isinstance(image, Mapping):
        data = image.get("bytes")
        if data is None and image.get("path") is None:
            raise UserError(f"{name} has neither bytes nor path; give one, or leave the image out")
        image = image["path"] if data is None else data
        if isinstance(image, str) and data is not None:
            return _decoded(image, name)
    if isinstance(image, bytes):
        return image
    if not isinstance(image, str):
        raise UserError(f"{name} is {type(image).__name__}; give a file's name, base64, or bytes")
    return _read_file(image, read_file, name, named) if file_name(image) is not None else _decoded(image, name)


def _decoded(text: str, name: str) -> bytes:
    """Return the bytes of base64 or of a data URL."""
    head, comma, data = text.partition(",") if text.startswith("data:") else ("", "", text)
    if head and not (comma and head.endswith(";base64")):
        raise UserError(f"{name} is a data URL without base64; write data:image/png;base64,...")
    if len(data) > MAX_BYTES // 3 * 4:
        raise UserError(f"{name} has more than {MAX_BYTES} bytes; shrink it first")
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except ValueError as error:
        raise UserError(f"{name} is broken base64 ({error}); encode it again") from error


def _read_file(file: str, read_file: ReadFile, name: str, named: bool) -> bytes:
    """Return the bytes of a file by its name, which must not lead out of the folder of the rows."""
    called = shown(file, named)
    if _URL.match(file):
        raise UserError(f"{name} is the address {called}; download it and give the file's name")
    try:
        return read_file(file, named)
    except UserError as error:
        if "leads out of" in str(error):
            raise UserError(f"{name}: {called} leads out of the folder of the rows; put the image there") from None
        raise UserError(f"{name}: {error}") from error
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, with a NUL, a loop of links, no permission
        raise UserError(f"{name}: the file {called} cannot be read ({type(error).__name__})") from error


def hash_files(values: Iterable[Any], image_print: Callable[[str], str]) -> str:
    """Return a hash of the files that rows name in their column ``image``; empty where they name none.

    Args:
        values: the column.
        image_print: name of a file to what changes where it does.
    """
    digest, printed = hashlib.sha256(), functools.lru_cache(maxsize=4096)(functools.partial(_print, image_print))
    named = False
    for value in values:
        for name in map(file_name, images_of(value)):
            if name is not None:
                named = True
                digest.update(f"{printed(name)} {name!r}\n".encode())
    return digest.hexdigest() if named else ""


def _print(image_print: Callable[[str], str], name: str) -> str:
    try:
        return image_print(name)
    except (UserError, OSError, ValueError, RuntimeError):
        return "none"
