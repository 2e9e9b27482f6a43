"""The normal form: what is the same and what is not, for any text and in any pieces."""

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax.curation.texts import normal_text
from octomed_jax.curation.texts.hashing import range_hashes, run_hashes
from octomed_jax.curation.texts.normal_text import NormalTexts, concatenate, normalise
from octomed_jax.curation.texts.plain_letters import plain_letters

ODD = st.sampled_from(list("0123456789.,,..--+<> aB\t\nçÇéﬁ’–−²½·０５Ａ“”\u00a0\u00ad\u200b\u0301↑≤中がµ°İßﬀ"))
TEXTS = st.lists(st.text(st.one_of(ODD, ODD, st.characters(exclude_categories=["Cs"])), max_size=60), max_size=8)


def fields(texts: NormalTexts) -> list[list[int]]:
    return [getattr(texts, name).tolist() for name in ("data", "words", "hashes", "first", "last", "signs")]


def forms(texts: list[str]) -> list[str]:
    normal = normalise(texts)
    return [normal.text(number) for number in range(len(normal))]


def reference(text: str) -> str:
    """Return the normal form character by character, as the module's first lines have it."""
    text = f"  {plain_letters(text).lower()}     "
    found = ""
    for at in range(1, len(text) - 4):
        letter, before, after = text[at], text[at - 1], text[at + 1]
        if _in_word(letter):
            found += letter
        elif letter == "." and _digit(after) and (_digit(before) or (not _in_word(before) and before != ".")):
            found += "."
        elif letter == "," and _digit(before) and _digit(after):
            three = all(map(_digit, text[at + 1 : at + 4])) and not _digit(text[at + 4])
            lone_zero = before == "0" and not _digit(text[at - 2])
            found += "" if three and not lone_zero else "."
        elif letter == "-" and not _in_word(before) and before not in ".,-+<>\x05\x06":
            found += "-" if _digit(after) or (after == "." and _digit(text[at + 2])) else " "
        else:
            found += " "
    return " ".join(word for word in found.split(" ") if word)


def _digit(letter: str) -> bool:
    return letter.isascii() and letter.isdigit()


def _in_word(letter: str) -> bool:
    return letter.isalnum() if letter.isascii() else True


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  Hello,\tWORLD!\n", "hello world"),
        ("X-ray (chest)", "x ray chest"),
        ("café CAFÉ cafe\u0301", "cafe cafe cafe"),
        ("ﬁbrosis ﬀ ＷＩＤＥ １２", "fibrosis ff wide 12"),
        ("hyper\u00adtension\u200b a\u00a0b", "hypertension a b"),
        ("patient’s “heart”—rate", "patient s heart rate"),
        ("0.5 0,5 0·5 .5 mg, 5 mg; 0 5", "0.5 0.5 0.5 .5 mg 5 mg 0 5"),
        ("12,500/mm3 1,234,567 0,125 1,25 1,2,3", "12500 mm3 1234567 0.125 1.25 1.2.3"),
        ("-2.5 (−3) 3-5 3–5 a -b -.5 --4", "-2.5 -3 3 5 3 5 a b -.5 4"),
        ("end.Then 5. Next ...5", "end then 5 next 5"),
        ("10² 10^2 m² CO₂ ½ 2½", "10 2 10 2 m2 co2 1 2 2 1 2"),
        ("µg μg Aspirin™ ®", "μg μg aspirin"),
        ("下列哪项是 MRI？", "下 列 哪 项 是 mri"),
        ("がん か\u3099ん", "が ん が ん"),
        ("हिंदी ٣٤", "हिंदी 34"),
        ("ß SS ẞ", "ss ss ss"),
        ("↑ ↓ + < >", ""),
        ("", ""),
    ],
)
def test_forms(text, form):
    assert forms([text]) == [form]
    assert reference(text) == form


@given(TEXTS)
@settings(max_examples=300)
def test_as_character_by_character(texts):
    assert forms(texts) == [reference(text) for text in texts]
    normal = normalise(texts)
    for number, text in enumerate(texts):
        assert normal.lengths[number] == len(reference(text).split(" ")) - (reference(text) == "")


@given(TEXTS, st.integers(1, 40))
def test_pieces_and_batches_do_not_matter(texts, piece):
    whole = fields(normalise(texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normal_text, "PIECE_BYTES", piece)
        assert fields(normalise(texts)) == whole
    batches = [normalise(texts[start : start + 2]) for start in range(0, len(texts), 2)]
    assert fields(concatenate(batches)) == whole


@given(st.text(max_size=80))
def test_only_letters_are_left_beyond_ascii(text):
    assert {unicodedata.category(letter)[0] for letter in plain_letters(text) if not letter.isascii()} <= set("LNM")


def test_columns_of_any_kind():
    texts = ["One two", None, "Três"]
    expected = fields(normalise(["One two", "", "Três"]))
    assert fields(normalise(pa.array(texts))) == expected
    assert fields(normalise(pa.array(["cut off", *texts, "too"]).slice(1, 3))) == expected
    assert fields(normalise(pa.chunked_array([texts[:1], texts[1:]]))) == expected
    assert fields(normalise(pa.array(texts).dictionary_encode())) == expected


def test_signs_hang_on_the_word_before_and_their_order():
    def signs(*texts: str) -> list[int]:
        return normalise(list(texts)).signs.tolist()

    same = signs("HBsAg + and anti-HBs", "hbsag+ and anti HBs", "HBsAg (+), and anti-HBs")
    assert len(set(same)) == 1
    assert same[0] != 0
    other = ["HBsAg and anti-HBs +", "HBsAg and anti-HBs", "↑ ↓ ↑", "↓ ↑ ↑", "p < 5", "p > 5", "> 5"]
    assert len({same[0], *signs(*other)}) == 1 + len(other)
    assert signs("p ≤ 5", "HBsAg, anti-HBs") == signs("p<5", "HBsAg and anti-HBs")


def test_hashes_of_words_are_of_all_their_bytes():
    words = ["a", "aa", "bbb", "abcdefgh", "abcdefghi", "abcdefghabcdefgh", *("x" * count for count in range(7, 27))]
    words += [word[:-1] + "y" for word in words]
    hashes = normalise([" ".join(words), *words]).hashes.tolist()
    assert len(set(hashes)) == len(words)
    assert hashes[: len(words)] == hashes[len(words) :]


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 9))
def test_runs_and_ranges_are_of_their_words_alone(letters, count):
    hashes = normalise([" ".join("abcd"[letter] for letter in letters)]).hashes
    runs = run_hashes(hashes, count)
    expected = [tuple(letters[at : at + count]) for at in range(len(letters) - count + 1)]
    assert len(runs) == len(expected)
    assert len(set(runs.tolist())) == len(set(expected))
    assert len(set(zip(runs.tolist(), expected, strict=True))) == len(set(expected))
    first = np.arange(len(expected))
    ranges = range_hashes(hashes, first, first + count)
    assert len(set(zip(ranges.tolist(), expected, strict=True))) == len(set(ranges.tolist())) == len(set(expected))
