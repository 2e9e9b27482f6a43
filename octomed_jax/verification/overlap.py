"""Token F1 of an open answer with its gold answer: what a recipe may accept reports by, from a threshold it names.

As SQuAD's evaluation counts it (Rajpurkar et al. 2016, section 6.1): words in lower case without articles and
punctuation, shared ones counted as often as both hold them.
"""

import re
from collections import Counter
from collections.abc import Sequence

from octomed_jax.verification.text import american, fold
from octomed_jax.verification.words import digits

_WORDS = re.compile(r"\w+")
_ARTICLES = frozenset({"a", "an", "the"})


def token_f1(answer: str, golds: Sequence[str]) -> float | None:
    """Return the best F1 of ``answer`` with one of ``golds``, from 0 to 1; None where no gold holds a word."""
    known = [tokens for gold in golds if (tokens := _tokens(gold))]
    given = _tokens(answer)
    return max((_f1(given, gold) for gold in known), default=None)


def _tokens(text: str) -> "Counter[str]":
    return Counter(word for word in _WORDS.findall(digits(american(fold(text)))) if word not in _ARTICLES)


def _f1(given: "Counter[str]", gold: "Counter[str]") -> float:
    shared = (given & gold).total()
    return 2 * shared / (given.total() + gold.total()) if shared else 0.0
