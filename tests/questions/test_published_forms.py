"""Forms in which published sets write options, golds and marks of images."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.errors import UserError
from octomed_jax.questions.reading.forms import agreed, at_letter, lettered, list_of_texts, marked_images, short_answer
from octomed_jax.questions.reading.objects import is_keyed, keyed_rows
from octomed_jax.verification.rows import RowError

TEXTS = st.lists(st.text(max_size=20), max_size=10)


@given(TEXTS)
def test_a_list_is_read_as_python_writes_it(texts):
    assert list_of_texts(repr(texts), "options") == texts


@given(st.text(max_size=60))
def test_any_other_text_is_refused_or_a_list_of_texts(text):
    try:
        found = list_of_texts(text, "options")
    except RowError:
        return
    assert all(isinstance(one, str) for one in found)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').getcwd()",
        "[open('x')]",
        "['a', 1]",
        "('a', 'b')",
        "{'A': 'a'}",
        "['a'",
        "[" * 9000,
        "['a'] * 3",
        "a" * 100_001,
        "['a\x00']",
    ],
)
def test_code_and_other_values_are_refused(text):
    with pytest.raises(RowError, match="options"):
        list_of_texts(text, "options")


@given(
    st.lists(st.integers(1, 3), max_size=5), st.sampled_from(["<image {}>", "<image_{}>", "<Image {} >", "<image{}>"])
)
def test_marks_of_images_are_words(numbers, form):
    text = " and ".join(form.format(number) for number in numbers)
    assert marked_images(text, 3, "question") == " and ".join(f"(image {number})" for number in numbers)


@pytest.mark.parametrize("number", [0, 3])
def test_a_mark_without_an_image_is_refused(number):
    with pytest.raises(RowError, match=f"<image {number}> is named, but the row has 2 images"):
        marked_images(f"See <image {number}>", 2, "question")


def test_letters_stay_with_their_options():
    row = {"a": " A:Left", "b": None, "c": " ", "d": "D : Both: left and right", "e": "A:x"}
    columns = dict(zip("ABCDEF", "abcdef", strict=True))
    options = lettered(row, columns)
    assert options == {"A": "Left", "D": "Both: left and right", "E": "A:x"}
    assert at_letter(options, " d", "gold") == "Both: left and right"
    assert agreed(options, "A", "LEFT ", ("letter", "text")) == "Left"
    with pytest.raises(RowError, match="letter D is 'Both: left and right', but text is 'Left'"):
        agreed(options, "D", "Left", ("letter", "text"))
    for letter in ("B", "", None, "AD"):
        with pytest.raises(RowError, match=r"gold is .* have the letters A, D, E"):
            at_letter(options, letter, "gold")


@pytest.mark.parametrize(
    ("answer", "task", "gold"),
    [
        (" Yes", "yes_no", "yes"),
        ("no.", "yes_no", "no"),
        ("not seen", "short_answer", "not seen"),
        (3, "short_answer", "3"),
    ]
    + [(None, "short_answer", "")],
)
def test_short_answers(answer, task, gold):
    assert short_answer(" Why? ", answer) == {"question": "Why?", "task": task, "answer": gold}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(rows=st.dictionaries(st.text(), JSON, max_size=4), indent=st.sampled_from([None, 2]), plain=st.booleans())
def test_an_object_of_rows_is_read_as_json_reads_it(tmp_path_factory, rows, indent, plain):
    path = tmp_path_factory.mktemp("keyed") / "rows.json"
    path.write_bytes(
        ("" if plain else "\ufeff").encode() + json.dumps(rows, indent=indent, ensure_ascii=plain).encode()
    )
    assert is_keyed(path)
    assert list(keyed_rows(path)) == list(rows.items())


def test_what_is_no_object_of_rows(tmp_path):
    for name, text in (("a.json", "[1]"), ("a.jsonl", "{}")):
        (tmp_path / name).write_text(text)
        assert not is_keyed(tmp_path / name)
    (tmp_path / "a.json").write_text('{"a": {"b": 1}, "c": {')
    with pytest.raises(UserError, match=r"a\.json is no JSON"):
        list(keyed_rows(tmp_path / "a.json"))
