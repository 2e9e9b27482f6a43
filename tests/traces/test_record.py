"""Records as bytes: what went in comes out, and equal records give equal bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.schema import Question, Record
from octomed_jax.traces.example_proto import Example
from octomed_jax.traces.record import pack_record, unpack_record

TEXTS = st.text(max_size=20)
LISTS = st.lists(TEXTS, max_size=4).map(tuple)
LIMITS = st.none() | st.floats(allow_nan=False)


@st.composite
def records(draw):
    options = draw(LISTS)
    images = tuple(draw(st.lists(st.binary(max_size=40), max_size=3)))
    fields = {name: draw(TEXTS) for name in ("id", "source", "question", "answer", "explanation", "licence")}
    question = Question(
        **fields,
        benchmark="b",
        split="train",
        task="mcq",
        options=options,
        aliases=draw(LISTS),
        lower_limit=draw(LIMITS),
        upper_limit=draw(LIMITS),
        images=images,
        image_hashes=tuple(f"{number}" for number in range(len(images))),
        access=draw(st.sampled_from(("open", "credentialed"))),
    )
    responses = draw(st.lists(TEXTS, min_size=1, max_size=4).map(tuple))
    orders = [() if draw(st.booleans()) else tuple(draw(st.permutations(range(len(options))))) for _ in responses]
    samples = tuple(draw(st.lists(st.integers(-1, 2**40), min_size=len(responses), max_size=len(responses))))
    return Record(question, responses, tuple(orders) if any(orders) else (), samples)


@given(records())
def test_a_record_comes_back(record):
    data = pack_record(record)
    again = unpack_record(data)
    assert again == record
    assert pack_record(again) == data
    theirs = Example.FromString(data).SerializeToString(deterministic=True)  # in an order of features of its own
    assert sorted(theirs) == sorted(data)
    assert Example.FromString(theirs) == Example.FromString(data)


def test_bytes_are_those_of_an_example_with_sorted_features():
    """Written down by the numbers of the fields in tensorflow/core/example: any reader of Examples agrees."""
    question = Question("a:1", "a", "b", "train", "numeric", "?", "2", lower_limit=0.1, images=(b"\x89PNG",))
    data = pack_record(Record(question, ("yes",), (), (300,)))
    assert data[0] == 1 << 3 | 2  # Example.features
    places = [data.index(bytes([1 << 3 | 2, len(name)]) + name) for name in (b"access", b"id", b"samples", b"task")]
    assert places == sorted(places)

    def feature(name: bytes, kind: int, values: bytes) -> bytes:
        """Return an entry of the map of features."""
        body = bytes([kind << 3 | 2, len(values)]) + values
        entry = bytes([1 << 3 | 2, len(name)]) + name + bytes([2 << 3 | 2, len(body)]) + body
        return bytes([1 << 3 | 2, len(entry)]) + entry

    assert feature(b"image", 1, b"\x0a\x04\x89PNG") in data
    assert feature(b"lower_limit", 1, b"\x0a\x030.1") in data
    assert feature(b"upper_limit", 1, b"\x0a\x00") in data
    assert feature(b"options", 1, b"") in data
    assert feature(b"samples", 3, b"\x0a\x02\xac\x02") in data


def test_what_is_no_record_is_named():
    question = Question("a:1", "a", "b", "train", "numeric", "?", "2")
    data = pack_record(Record(question, ("yes",), (), (0,)))
    with pytest.raises(ValueError, match="no Example"):
        unpack_record(data[:-3])
    with pytest.raises(ValueError, match="no feature 'id'"):
        unpack_record(b"")
    example = Example.FromString(data)
    del example.features.feature["licence"]
    with pytest.raises(ValueError, match="no feature 'licence'"):
        unpack_record(example.SerializeToString())
    with pytest.raises(ValueError, match="no Example"):
        unpack_record(b"\x84\xa8question")  # as records were before: msgpack
