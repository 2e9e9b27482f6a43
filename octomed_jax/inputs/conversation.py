"""Conversations as files and servers write them, as token ids by a folder's own chat template.

A conversation is a list of ``{"role", "content"}``; content is a string, or a list of parts,
``{"type": "text", "text"}`` and ``{"type": "image", "image"}``, an image being a path beside the file or a data URL.
Special tokens come from the template only: one that a user typed stays text.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from PIL import Image

from octomed_jax.errors import UserError
from octomed_jax.images.decode import MAX_BYTES, VIDEO, decode_image
from octomed_jax.inputs.tokenizer import ChatTokenizer
from octomed_jax.places import inside
from octomed_jax.storage import read_json

Messages = Sequence[Mapping[str, Any]]

# Around the number of a special token that a user typed, while the template runs; Unicode never assigns these two.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"


def read_conversations(path: str | Path) -> list[Messages]:
    """Read a file with a list of conversations.

    Raises:
        UserError: no such file, or not a list of conversations.
        StopAndLook: the file is not JSON.
    """
    conversations = read_json(path)
    if not isinstance(conversations, list) or not all(isinstance(item, list) for item in conversations):
        raise UserError(f"{path} is not a list of conversations, each a list of messages with role and content")
    return conversations


def chat_template(folder: str | Path) -> str:
    """Return the chat template of a Hugging Face folder, from whichever of its files has it.

    Raises:
        UserError: none has.
    """
    folder = Path(folder)
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text()
    for name in ("chat_template.json", "tokenizer_config.json"):
        fields = read_json(folder / name) if (folder / name).is_file() else {}
        found = fields.get("chat_template") if isinstance(fields, dict) else None
        if isinstance(found, list):  # several named ones
            found = {entry["name"]: entry["template"] for entry in found}.get("default")
        if found:
            return found
    raise UserError(f"no chat template in {folder}; a Hugging Face folder has one in chat_template.jinja or .json")


def images_of(messages: Messages, folder: str | Path, name: str = "the conversation") -> list[Image.Image]:
    """Check a conversation and return its images as RGB, in order of appearance.

    Args:
        messages: the conversation; an image may also be a PIL image.
        folder: where image paths begin; none leads out of it.
        name: what to call the conversation in a message.

    Raises:
        UserError: a message or part that is none, an unreadable image, or a video.
    """
    if not messages:
        raise UserError(f"{name} has no message")
    images = []
    for number, message in enumerate(messages):
        where = f"message {number} of {name}"
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str) or "content" not in message:
            raise UserError(f"{where} is no message; it needs a role and a content")
        images += [_image(part["image"], Path(folder), where) for part in _parts(message["content"], where)]
    return images


def encode_messages(tokenizer: ChatTokenizer, template: str, messages: Messages, cells: Sequence[int]) -> list[int]:
    """Return the ids of a conversation, up to where the assistant begins to answer.

    Args:
        tokenizer: the folder's.
        template: of ``chat_template``.
        messages: checked by ``images_of``.
        cells: merged cells (tokens) of each image.

    Raises:
        UserError: the template refuses the messages, or leaves an image out.
    """
    typed = sorted(tokenizer.special, key=len, reverse=True)
    text = _render(template, [_protected(message, typed) for message in messages])
    ids: list[int] = []
    images = iter(cells)
    for number, piece in enumerate(re.split(f"({'|'.join(map(re.escape, typed))})", text)):
        if number % 2 == 0:
            plain = re.sub(f"{_OPEN}(\\d+){_CLOSE}", lambda match: typed[int(match[1])], piece)
            ids += tokenizer.encode(plain) if plain else []
        else:
            times = next(images, 0) if piece == "<|image_pad|>" else 1
            ids += [tokenizer.special[piece]] * times
    if ids.count(tokenizer.ids["<|image_pad|>"]) != sum(cells):
        raise UserError(f"the chat template does not place the {len(cells)} images of the conversation one by one")
    return ids


def answer_text(message: Mapping[str, Any]) -> str:
    """Return the text of an assistant's message.

    Raises:
        UserError: it is not the assistant's.
    """
    if message["role"] != "assistant":
        raise UserError(f"the last message is the {message['role']}'s; the assistant's is what is scored")
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _parts(content: Any, where: str) -> Iterator[Mapping[str, Any]]:
    """Yield the image parts of a content, checking all of them."""
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise UserError(f"the content of {where} is neither a string nor a list of parts")
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "video":
            raise UserError(VIDEO.format(f"a part of {where}"))
        if kind not in ("text", "image") or kind not in part or (kind == "text" and not isinstance(part[kind], str)):
            raise UserError(f'a part of {where} is neither {{"type": "text", "text"}} nor {{"type": "image", "image"}}')
        if kind == "image":
            yield part


def _image(source: Any, folder: Path, where: str) -> Image.Image:
    if isinstance(source, Image.Image):
        return source.convert("RGB")
    if not isinstance(source, str):
        raise UserError(f"the image of {where} is neither a path nor a data URL")
    if source.startswith(("http:", "https:")):
        raise UserError(f"the image of {where} is a web address; download it and give its path")
    if source.startswith("data:"):
        _, comma, data = source.partition(";base64,")
        if not comma or len(data) > 4 * MAX_BYTES // 3 + 4:
            raise UserError(f"the data URL of {where} is not base64, or larger than {MAX_BYTES} bytes")
        try:
            return decode_image(base64.b64decode(data, validate=True), name=f"the image of {where}")
        except binascii.Error as error:
            raise UserError(f"the data URL of {where} is not base64 ({error})") from error
    path = inside(folder, source)
    if not path.is_file():
        raise UserError(f"no such image: {path} ({where})")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} is larger than the limit of {MAX_BYTES} bytes; shrink it first")
    return decode_image(path.read_bytes(), name=str(path))


def _protected(message: Mapping[str, Any], typed: Sequence[str]) -> dict[str, Any]:
    """Return a message for the template: special tokens in its text replaced, its images only named."""

    def text(value: str) -> str:
        if _OPEN in value or _CLOSE in value:
            raise UserError(f"a message holds U+{ord(_OPEN):04X} or U+{ord(_CLOSE):04X}, which is no character")
        for number, token in enumerate(typed):
            value = value.replace(token, f"{_OPEN}{number}{_CLOSE}")
        return value

    content = message["content"]
    if not isinstance(content, str):
        content = [
            {"type": "text", "text": text(part["text"])} if part["type"] == "text" else {"type": "image"}
            for part in content
        ]
    else:
        content = text(content)
    return {"role": text(message["role"]), "content": content}


def _render(template: str, messages: Sequence[Mapping[str, Any]]) -> str:
    """Run a template as transformers does: sandboxed, with its two helpers."""

    def refuse(message: str) -> NoReturn:
        raise UserError(f"the chat template refuses the conversation: {message}")

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = refuse
    try:
        return environment.from_string(template).render(messages=messages, add_generation_prompt=True)
    except (TemplateError, TypeError) as error:  # TypeError: a text-only template joins strings, and got parts
        raise UserError(f"the chat template fails on the conversation: {error}") from error
