"""A Record as the bytes of a ``tf.train.Example``: plain fields, nothing in it can run.

The question with its encoded images once, and its accepted responses. Features are named as the columns of the lake.
An Example holds whole numbers, texts and float32 only: limits are texts with all of their digits, and the order in
which options were shown is a text too, such as ``2 0 1``, since lists cannot be nested. docs/shards.md has the table.
"""

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError

from octomed_jax.schema import Question, Record
from octomed_jax.traces.example_proto import Example, bytes_feature, int64_feature, pack_example

RECORD_VERSION = 2  # of the features; 1 was msgpack
TEXTS = (
    *("id", "source", "benchmark", "split", "task", "question", "answer", "explanation", "cluster"),
    *("modality", "body_region", "licence", "access"),
)
LIMITS = ("lower_limit", "upper_limit")  # a text each; empty: none
LISTS = ("options", "aliases", "image", "image_hash", "responses", "option_orders")  # of texts; image: of bytes
NUMBERS = ("samples",)


def pack_record(record: Record) -> bytes:
    """Return a record as bytes; equal records give equal bytes."""
    question = record.question
    values: dict[str, tuple[bytes, ...]] = {name: (getattr(question, name).encode(),) for name in TEXTS}
    values |= {name: (_limit(getattr(question, name)),) for name in LIMITS}
    values["image"] = question.images
    values["option_orders"] = tuple(b" ".join(b"%d" % place for place in order) for order in record.option_orders)
    values |= {
        "options": _encoded(question.options),
        "aliases": _encoded(question.aliases),
        "image_hash": _encoded(question.image_hashes),
        "responses": _encoded(record.responses),
    }
    features = {name: bytes_feature(kept) for name, kept in values.items()}
    return pack_example(features | {"samples": int64_feature(record.samples)})


def unpack_record(data: bytes) -> Record:
    """Return the record of ``pack_record``.

    Raises:
        ValueError: these are not the bytes of one.
    """
    try:
        feature = Example.FromString(data).features.feature
    except DecodeError as error:
        raise ValueError("the bytes are no Example") from error
    held = {name: kind.bytes_list.value for name, kind in feature.items()}
    missing = [name for name in (*TEXTS, *LIMITS, *LISTS, *NUMBERS) if name not in held]
    if missing:
        raise ValueError(f"the Example has no feature {missing[0]!r}")
    fields: dict[str, Any] = {name: held[name][0].decode() for name in TEXTS}
    fields |= {name: float(held[name][0]) if held[name][0] else None for name in LIMITS}
    question = Question(
        **fields,
        options=_decoded(held["options"]),
        aliases=_decoded(held["aliases"]),
        images=tuple(held["image"]),
        image_hashes=_decoded(held["image_hash"]),
    )
    orders = tuple(tuple(map(int, order.split())) for order in held["option_orders"])
    return Record(question, _decoded(held["responses"]), orders, tuple(feature["samples"].int64_list.value))


def _limit(value: float | None) -> bytes:
    return b"" if value is None else repr(float(value)).encode()


def _encoded(texts: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in texts)


def _decoded(values: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(value.decode() for value in values)
