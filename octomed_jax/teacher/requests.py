"""What a question looks like on its way to a teacher: messages, sampling, seed, and the hash of all of it."""

import base64
import dataclasses
import hashlib
import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

from octomed_jax.errors import UserError
from octomed_jax.images.decode import decode_image, encode_png
from octomed_jax.images.resize import resize, smart_resize
from octomed_jax.schema import Question
from octomed_jax.storage import fingerprint, sha256_bytes
from octomed_jax.teacher.prompts import Prompt

LIVENESS = "1+1="  # what an endpoint is asked to show that it gives tokens
RESIZE_FACTOR = 28  # Qwen2.5-VL: patch 14, merged 2 x 2


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How responses are drawn: ``n`` of them, with a ``seed`` of the request's own."""

    n: int
    seed: int
    temperature: float
    top_p: float
    max_tokens: int


def request_seed(seed: int, question_id: str, group: int) -> int:
    """Return the seed of one request: 31 bits out of the config's seed, the question and the group of samples."""
    digest = hashlib.sha256(f"{seed}|{question_id}|{group}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def request_hash(question: Question, model: str, prompt: Prompt, max_pixels: int, sampling: Sampling) -> str:
    """Return the name of a request: equal for equal model, text, images (and their size limit) and sampling."""
    known = len(question.image_hashes) == len(question.images)
    images = list(question.image_hashes) if known else [sha256_bytes(data) for data in question.images]
    return fingerprint(
        {
            "model": model,
            "text": prompt.text(question),
            "images": images,
            "max_pixels": max_pixels if images else None,
            "sampling": vars(sampling),
        }
    )


def user_messages(question: Question, prompt: Prompt, max_pixels: int) -> list[dict[str, Any]]:
    """Return the chat messages of a question: one user turn, its images first, as data URLs.

    Raises:
        UserError: an image that cannot be read.
    """
    urls = [data_url(prepare_image(data, max_pixels, question.id)) for data in question.images]
    return messages_with(prompt.text(question), urls)


def messages_with(text: str, image_urls: Sequence[str]) -> list[dict[str, Any]]:
    """Return one user turn: the images first, then the text."""
    if not image_urls:
        return [{"role": "user", "content": text}]
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in image_urls]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


def data_url(data: bytes) -> str:
    """Return a PNG or JPEG file as a data URL."""
    kind = "png" if data.startswith(b"\x89PNG\r\n\x1a\n") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def is_too_large(data: bytes, max_pixels: int, name: str = "image") -> bool:
    """Return whether an image has more than ``max_pixels`` pixels, by its header.

    Raises:
        UserError: it is no PNG or JPEG file, or is too large and so long that no size is left for it.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as header:
            width, height = header.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # PIL's own words for a file of no known kind hold an address, other in each run.
        why = "no PNG or JPEG file" if isinstance(error, Image.UnidentifiedImageError) else error
        raise UserError(f"the image of question {name} cannot be read ({why}); build the questions again") from error
    if width * height <= max_pixels:
        return False
    try:
        smart_resize(height, width, RESIZE_FACTOR, 1, max_pixels)
    except ValueError as error:
        raise _not_smaller(name, error) from error
    return True


def _not_smaller(name: str, error: ValueError) -> UserError:
    return UserError(f"the image of question {name} cannot be made smaller ({error}); leave it out")


def prepare_image(data: bytes, max_pixels: int, name: str = "image") -> bytes:
    """Return an image as it is sent: untouched, or a smaller PNG where it has more than ``max_pixels`` pixels.

    Raises:
        UserError: it is no PNG or JPEG file, or cannot be decoded.
    """
    if not is_too_large(data, max_pixels, name):
        return data
    try:
        return encode_png(resize(decode_image(data, name=f"image of question {name}"), RESIZE_FACTOR, 1, max_pixels))
    except ValueError as error:
        raise _not_smaller(name, error) from error
