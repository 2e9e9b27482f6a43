"""One spelling of the characters that are not ASCII: what is left of them are letters, digits and ASCII signs.

Compatibility forms are their plain ones (full-width letters, ligatures, subscripts), case is folded and accents are
dropped. A digit of any script is its ASCII digit. A raised digit or a fraction after a digit begins a word of its own
(10² is no 102). Of other signs stay, as ASCII, those that the numbers of a text need: dashes that may be a minus,
decimal points (also the raised one of The Lancet), <, >, + and the arrows. Every other sign is a space.

Chinese characters and kana are words of one character each, as these texts have no spaces. Thai, Lao, Khmer and Burmese
have none either, but are not cut into words: a run of them is one word.
"""

import functools
import re
import unicodedata

RISING, FALLING = "\x05", "\x06"  # the arrows, for which ASCII has no character

_ODD = re.compile(r"[^\x00-\x7f]+")
_RAISED = re.compile("(?<=[0-9０-９])[²³¹⁰⁴-⁹¼-¾⅐-⅟↉]")
_CHINESE = re.compile("[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff]")
_SIGNS = (
    dict.fromkeys("‐‑‒–−", "-")
    | dict.fromkeys("·∙⋅٫", ".")
    | {"٬": ",", "±": "+", "≤": "<", "⩽": "<", "≥": ">", "⩾": ">", "↑": RISING, "⇑": RISING, "↓": FALLING, "⇓": FALLING}
)
_RAISED_LETTERS = str.maketrans("™℠", "  ")  # before they become letters of the word that they stand at
_SHORT = 12  # characters of a run that is worth keeping: the same few signs come again and again


class _Table(dict[int, str]):
    """What each character of a decomposed text becomes, found when it is first seen."""

    def __missing__(self, code: int) -> str:
        self[code] = plain = _plain_character(chr(code))
        return plain


def plain_letters(text: str) -> str:
    """Return ``text`` with only letters, digits and marks of words left of what is not ASCII."""
    return text if text.isascii() else _ODD.sub(_replace, text)


def _replace(match: "re.Match[str]") -> str:
    run, start = match.group(), match.start()
    after_digit = start > 0 and match.string[start - 1].isdigit()
    return (_plain_short if len(run) <= _SHORT else _plain)(run, after_digit)


def _plain(run: str, after_digit: bool) -> str:
    raised = _RAISED.sub(r" \g<0>", "0" + run if after_digit else run)[after_digit:]
    folded = unicodedata.normalize("NFKD", raised.translate(_RAISED_LETTERS)).casefold()
    letters = unicodedata.normalize("NFKD", folded).translate(_TABLE)
    return _KANA.sub(r" \g<0> ", unicodedata.normalize("NFC", letters))  # when they have their voicing again


_plain_short = functools.lru_cache(maxsize=1 << 15)(_plain)


def _plain_character(letter: str) -> str:
    kind = unicodedata.category(letter)
    if letter.isascii():
        return letter
    if letter in _SIGNS:
        return _SIGNS[letter]
    if kind == "Nd":
        return str(unicodedata.decimal(letter))
    if kind[0] in "LN":
        return f" {letter} " if _CHINESE.match(letter) else letter
    if kind[0] == "M":
        return "" if _is_accent(letter) else letter
    return "" if kind == "Cf" else " "  # Cf: invisible ones, such as soft hyphens


def _is_accent(mark: str) -> bool:
    """Say whether a mark may be left out: accents, vowel points of Hebrew and Arabic, variation selectors.

    What is left are the vowel signs of Indian scripts, Thai and others, and the voicing of kana: parts of the word.
    """
    place = unicodedata.combining(mark)
    if place == 0:
        return unicodedata.category(mark) == "Me" or "VARIATION SELECTOR" in unicodedata.name(mark, "")
    return place >= 200 or 10 <= place <= 36


_TABLE = _Table()
