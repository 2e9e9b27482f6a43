"""Reading a yes, a no or a maybe: the word must lead, a mere mention of "no" is no answer."""

import re
from collections.abc import Sequence

from octomed_jax.verification.choices import Options
from octomed_jax.verification.phrases import HEDGE
from octomed_jax.verification.text import Reading, fold, plain_name

_AFTER_YES = r"(?=\s{0,3}(?:[,.;:!(\n-]|$)|\s{1,3}(?:because|since|as|due|given|there|it|this|he|she|they)\b)"
_YES_WORDS = frozenset({"yes", "no", "maybe", "true", "false"})


def is_yes_no(options: Sequence[str]) -> bool:
    """Say whether options are but yes, no and maybe, whose words must not be looked for within sentences."""
    return bool(options) and all(plain_name(option) in _YES_WORDS for option in options)


_TRANSLATED = {
    "yes": (
        "sí",
        "si",
        "oui",
        "ja",
        "sim",
        "sì",
        "да",
        "是",
        "是的",
        "はい",
        "예",
        "네",
        "evet",
        "tak",
        "ano",
        "ya",
        "có",
        "نعم",
        "हाँ",
    ),
    "no": (
        "non",
        "nein",
        "não",
        "нет",
        "否",
        "不是",
        "いいえ",
        "아니요",
        "hayır",
        "nie",
        "nej",
        "nee",
        "tidak",
        "không",
        "لا",
        "नहीं",
    ),
}


class YesNo(Options):
    """Yes or no (or whatever few words the options are): the word must lead, a mere mention of "no" is no answer."""

    def __init__(self, options: Sequence[str], lettered: bool = False, question: str = ""):
        super().__init__(options or ("yes", "no"), lettered)
        self._asks = _NORMALITY.search(fold(question))
        for index, name in enumerate(self.plain):
            self._names |= dict.fromkeys(_TRANSLATED.get(name, ()), index)
        self._words = sorted(self._names.items(), key=lambda pair: -len(pair[0]))

    def _read_mentions(self, text: str, free: bool) -> Reading:  # noqa: ARG002
        folded = fold(text)
        for name, index in self._words:
            match = re.match(re.escape(name) + _AFTER_YES, folded)
            if not match:
                continue
            rest = folded[match.end() :]
            if _OFFERS.match(rest) or (name != self.plain[index] and rest.strip() and not _STOPS.match(rest)):
                return Reading(None, "undecided")  # "Yes, I can help"; "si there is ..." is no Spanish yes
            for other, number in self._words:
                if number != index and re.search(rf"(?<!\w){re.escape(other)}\s{{0,3}}(?:[,.;:!]|$)", rest):
                    return Reading(None, "undecided")
            if re.match(r"\W{0,5}(?:and|or|but|maybe|perhaps|possibly|probably not)\b", rest) or (
                HEDGE.search(rest[:60]) and "or" in rest[:12].split()
            ):
                return Reading(None, "undecided")
            if self._contradicts(self.plain[index], rest):
                return Reading(None, "undecided")
            return self._one({index})
        rivals = sum(1 for name in self.plain if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", folded))
        return Reading(None, "undecided" if rivals > 1 else "not_an_option")

    def _contradicts(self, word: str, rest: str) -> bool:
        """Say whether what follows a yes or a no says the opposite ("No, there is a fracture")."""
        if word == "yes" and _DENIES_YES.match(rest):
            return True
        there = _THERE.match(rest)
        if there and word in ("yes", "no") and bool(there[1]) == (word == "yes"):
            return True
        said, asked = _NORMALITY.search(rest), self._asks
        return word == "yes" and said is not None and asked is not None and said[0] != asked[0]


_THERE = re.compile(
    r"\W{1,4}there (?:is|are|was|were) "
    r"(?!(?:insufficient|little|nothing|none|neither|no doubt|no question)\b)(no\b|not\b)?"
)
_OFFERS = re.compile(r"\W{1,4}(?:i|we) (?:can|will|am|are|would|could)\b")
_STOPS = re.compile(r"\s{0,3}[,.;:!(。，]")
_DENIES_YES = re.compile(
    r"\W{1,4}(?!no doubt\b|no question\b)(?:no|not|without)\b|\W{1,4}\w{1,20}\s(?:is|are) (?:absent|not)\b"
)
_NORMALITY = re.compile(r"\b(?:ab)?normal\b")
