"""Characters that nobody sees: taken out and counted, whatever cell of a row they stand in; a NUL is no text."""

import json

import pytest
from adapter_helpers import TURNING, built, refused, write_lines
from hypothesis import given
from hypothesis import strategies as st

from octomed_jax.questions.reading.unseen import without_unseen
from octomed_jax.verification.rows import RowError

BLANKS = "\x0b\x0c\x1c\x1d\x1e\x1f"
TAKEN = "".join(map(chr, range(1, 32))).translate(dict.fromkeys(map(ord, BLANKS + "\t\n\r"))) + "\x7f"
UNSEEN = TAKEN + TURNING
KEPT = "\t\n\r\u200e\u200f"  # and marks of direction, which languages need

seen = st.text(st.characters(codec="utf-8", exclude_characters=[*UNSEEN, *BLANKS, "\0"]) | st.sampled_from(KEPT))
pieces = st.lists(st.tuples(seen, st.sampled_from(["", *UNSEEN, *BLANKS])))


@given(pieces)
def test_what_is_seen_stays_and_the_rest_goes_and_is_counted(parts):
    text, count = without_unseen("".join(before + after for before, after in parts), "here", "question")
    assert text == "".join(before + (" " if after and after in BLANKS else "") for before, after in parts)
    assert count == sum(len(after) for _, after in parts)
    assert without_unseen(text, "here", "question") == (text, 0)


@given(st.text(), st.text())
def test_a_nul_is_refused_wherever_it_stands(before, after):
    for value in (f"{before}\0{after}", [f"{before}\0{after}"], {"A": f"{before}\0{after}"}):
        with pytest.raises(RowError, match=r"^here: options holds a NUL, which no text has; mend it$"):
            without_unseen(value, "here", "options")


@given(st.none() | st.integers() | st.floats(allow_nan=False) | st.lists(st.integers()) | st.binary())
def test_other_values_stay(value):
    assert without_unseen(value, "here", "answer") == (value, 0)


HIDDEN = "\u202edesrever\u202c"  # shown as "reversed"


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({"question": f"Which {HIDDEN}?"}, 2),
        ({"options": ["th\x07is", f"{HIDDEN}"], "question": "Which desrever?"}, 3),
        ({"options": json.dumps(["this", HIDDEN]), "answer": "B", "question": "Which desrever?"}, 2),
        ({"options": {"A": "this", "B": HIDDEN}, "answer": "desrever", "question": "Which desrever?"}, 2),
        ({"answer": "\u2067this\u2069", "question": "Which desrever?"}, 2),
        ({"explanation": "be\x08cause", "question": "Which desrever?"}, 1),
        ({"aliases": ["th\u202aat"], "question": "Which desrever?"}, 1),
    ],
)
def test_the_real_command_takes_them_out(tmp_path, capsys, change, count):
    row = {"question": "Which?", "options": ["this", "desrever"], "answer": "this"} | change
    write_lines(tmp_path / "own.jsonl", [row])
    (question,), _, manifest = built("octomed", tmp_path / "own.jsonl", tmp_path / "out")
    texts = [question.question, *question.options, question.answer, question.explanation, *question.aliases]
    assert not set("".join(texts)) & set(UNSEEN)
    assert question.question == "Which desrever?"
    assert question.options == ("this", "desrever")
    assert question.answer in question.options
    assert manifest.counts["characters_taken_out"] == count
    assert f"{count} characters that nobody sees" in capsys.readouterr().err
    assert f"- Characters that nobody sees, taken out: {count}\n" in (tmp_path / "out" / "card.md").read_text()


def test_a_text_with_nothing_else_is_none(tmp_path, capsys):
    write_lines(tmp_path / "own.jsonl", [{"question": "\u202e\x07", "answer": "x"}])
    assert "line 1: has no question" in refused(capsys, "octomed", tmp_path / "own.jsonl", tmp_path / "out")


@pytest.mark.parametrize("options", [["this", "th\0at"], '["this", "th\\u0000at"]'])
def test_a_nul_makes_the_row_one_that_cannot_be_used(tmp_path, capsys, options):
    write_lines(tmp_path / "own.jsonl", [{"question": "Which?", "options": options, "answer": "this"}])
    line = refused(capsys, "octomed", tmp_path / "own.jsonl", tmp_path / "out")
    assert "line 1: options holds a NUL, which no text has; mend it" in line
