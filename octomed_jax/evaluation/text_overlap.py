"""Scores of free texts by what they share with a gold text: token F1, ROUGE-L, and F1 of the findings that both name.

None of them says that an answer is right: "no effusion" shares its only finding with "effusion". They are given because
others give them, and each with what it depends on: token F1 by the tokenizer, which the result names.
"""

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.evaluation.benchmarks import is_closed
from octomed_jax.storage import PathLike, sha256_file
from octomed_jax.verification.candidates import split_response
from octomed_jax.verification.check import TRUNCATED_FINISHES

TOKENIZER_FILE = "tokenizer.json"
GPT2_TOKENS, GPT2_END = 50_257, "<|endoftext|>"
ARTICLES = frozenset({"a", "an", "the"})
_WORDS = re.compile(r"\w+")
_ROUGE_WORDS = re.compile(r"[a-z0-9]+")


@dataclasses.dataclass(frozen=True)
class Tokens:
    """What a text is cut into for token F1.

    Attributes:
        name: what a result calls it.
        of: the tokens of a text.
    """

    name: str
    of: Callable[[str], Sequence[Any]]


def _simple(text: str) -> list[str]:
    return [word for word in _WORDS.findall(text.lower()) if word not in ARTICLES]


SIMPLE = Tokens("words (lower case, without articles and punctuation)", _simple)


def open_tokens(folder: PathLike) -> Tokens:
    """Return the tokens of a tokenizer's folder, of texts in lower case without space around them.

    GPT-2's, which the paper takes, are named so.

    Raises:
        UserError: the folder has no tokenizer.json that can be read.
    """
    import tokenizers

    path = Path(folder) / TOKENIZER_FILE
    if not path.is_file():
        raise UserError(f"{folder} has no {TOKENIZER_FILE}; name the folder of a tokenizer, such as GPT-2's")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{path} is no tokenizer ({str(error)[:100]}); get it again") from error
    size = tokenizer.get_vocab_size()
    gpt2 = size == GPT2_TOKENS and tokenizer.token_to_id(GPT2_END) == GPT2_TOKENS - 1
    name = f"{'GPT-2' if gpt2 else 'tokenizer'} ({size:,} tokens, SHA-256 {sha256_file(path)[:16]})"
    return Tokens(name, lambda text: tokenizer.encode(text.strip().lower(), add_special_tokens=False).ids)


def token_f1(answer: str, golds: Sequence[str], tokens: Tokens = SIMPLE) -> float:
    """Return the best F1 of an answer with one of some gold texts, from 0 to 1.

    A token that stands several times counts as often as both texts hold it. An answer without tokens scores 0.

    Raises:
        ValueError: no gold text holds a token.
    """
    known = [Counter(found) for gold in golds if (found := tokens.of(gold))]
    if not known:
        raise ValueError(f"no gold text of {list(golds)!r} holds a token of {tokens.name}")
    given = Counter(tokens.of(answer))
    return max(2 * (given & gold).total() / (given.total() + gold.total()) for gold in known)


def rouge_l(text: str, golds: Sequence[str]) -> float:
    """Return the best ROUGE-L of a text with one of some gold texts: F1 by the longest common subsequence (Lin 2004).

    Words are runs of a-z and 0-9 in lower case, without stemming, as the package rouge-score takes them; the whole text
    is one sequence. A text without words scores 0.

    Raises:
        ValueError: no gold text holds a word.
    """
    known = [words for gold in golds if (words := _ROUGE_WORDS.findall(gold.lower()))]
    if not known:
        raise ValueError("no gold text holds a word of a-z and 0-9, so that it has no ROUGE-L")
    given = _ROUGE_WORDS.findall(text.lower())
    return max(2 * common_length(given, gold) / (len(given) + len(gold)) for gold in known)


def has_rouge_words(text: str) -> bool:
    """Say whether a gold text has a word for ROUGE-L."""
    return bool(_ROUGE_WORDS.search(text.lower()))


def common_length(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of two lists of words.

    Bit-parallel (Hyyrö 2004): a bit of ``row`` for each word of ``left``, 0 where the length grows.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(left)) - 1
    row = every
    for word in right:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & every
    return len(left) - row.bit_count()


@functools.lru_cache(maxsize=4096)  # a run names few sets of labels
def labels_of(text: str) -> frozenset[str]:
    """Return the labels of a multi-label answer, ``Edema; Effusion``, in lower case with single spaces."""
    return frozenset(name for part in text.split(";") if (name := " ".join(part.lower().split())))


class LabelCounts:
    """How often labels were named, found and rightly found, over texts that come one after the other.

    Attributes:
        n: texts.
    """

    def __init__(self) -> None:
        self.n = self._exact = 0
        self._gold, self._given, self._right = Counter[str](), Counter[str](), Counter[str]()

    def add(self, gold: frozenset[str], given: frozenset[str]) -> None:
        """Count a text: its gold labels and those that were given, in one spelling."""
        self.n += 1
        self._exact += gold == given
        self._gold.update(gold)
        self._given.update(given)
        self._right.update(gold & given)

    def figures(self) -> dict[str, Any]:
        """Return what ``label_f1`` does."""
        labels = {
            name: {
                "gold": self._gold[name],
                "given": self._given[name],
                "right": self._right[name],
                "f1": _ratio(2 * self._right[name], self._gold[name] + self._given[name]),
            }
            for name in sorted(self._gold | self._given)
        }
        in_gold = [2 * self._right[name] / (self._gold[name] + self._given[name]) for name in sorted(self._gold)]
        right = self._right.total()
        return {
            "n": self.n,
            "micro": {
                "precision": _ratio(right, self._given.total()),
                "recall": _ratio(right, self._gold.total()),
                "f1": _ratio(2 * right, self._gold.total() + self._given.total()),
            },
            "macro_f1": _ratio(sum(in_gold), len(in_gold)),
            "exact": _ratio(self._exact, self.n),
            "labels": labels,
        }


def label_f1(pairs: Iterable[tuple[Iterable[str], Iterable[str]]]) -> dict[str, Any]:
    """Return how well labels were found over many texts.

    Args:
        pairs: of each text the gold labels and those that were given, in one spelling.

    Returns:
        ``n``: texts. ``micro``: precision, recall and f1 over all pairs of a text and a label; None where there is
        nothing to divide by. ``macro_f1``: the plain mean over the labels that any gold names. ``exact``: the share of
        texts with just the gold labels. ``labels``: of each label, sorted, its gold, given and right ones, and its f1.
    """
    counts = LabelCounts()
    for gold, given in pairs:
        counts.add(frozenset(gold), frozenset(given))
    return counts.figures()


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def report_scores(samples: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean ROUGE-L of reports: ``n`` samples, ``rouge_l``, and how many had no gold report.

    Reports that were cut off count by what is there. Requests that failed for good count nowhere.
    """
    scores: list[float] = []
    without = 0
    for sample in samples:
        if _failed(sample):
            continue
        if not has_rouge_words(sample["answer"]):
            without += 1
            continue
        scores.append(rouge_l(split_response(sample["response"]).answer, (sample["answer"],)))
    return {"n": len(scores), "rouge_l": _ratio(sum(scores), len(scores)), "without_gold": without}


def label_scores(samples: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``label_f1`` of multi-label samples, by what the verifier read in each; failed requests count nowhere."""
    told = [sample for sample in samples if not _failed(sample)]
    return label_f1((labels_of(sample["answer"]), labels_of(sample["extracted"])) for sample in told)


def _failed(sample: Mapping[str, Any]) -> bool:
    return bool(sample.get("error")) or sample["finish_reason"] == "error"


def answer_of(response: str, extracted: str, finish_reason: str) -> str:
    """Return what a sample answers: what the verifier read, else all that stands after the thought.

    "" of one that was cut off.
    """
    if finish_reason in TRUNCATED_FINISHES:
        return ""
    return extracted or split_response(response).answer


def answer_text(sample: Mapping[str, Any]) -> str:
    """Return ``answer_of`` of a judged row."""
    return answer_of(sample["response"], sample["extracted"], sample["finish_reason"])


def open_and_closed(samples: Iterable[Mapping[str, Any]], tokens: Tokens = SIMPLE) -> dict[str, Any]:
    """Return the two figures of a legacy set: accuracy of its closed questions, token F1 of its open ones.

    Every sample counts, those that were cut off or not understood as 0, but for requests that failed for good.

    Args:
        samples: judged rows of samples/<benchmark>.jsonl, of one set, maybe under several names.
        tokens: of which token F1 is counted.

    Returns:
        ``closed``: samples ``n`` and ``accuracy``; ``open``: ``n``, ``token_f1`` and ``tokenizer``. A figure of no
        samples is None.
    """
    closed: list[bool] = []
    scores: list[float] = []
    for sample in samples:
        if _failed(sample):
            continue
        if is_closed(sample["benchmark"], sample["task"]):
            closed.append(sample["verdict"] == "correct")
        else:
            scores.append(token_f1(answer_text(sample), (sample["answer"], *(sample.get("aliases") or ())), tokens))
    return {
        "closed": {"n": len(closed), "accuracy": _ratio(sum(closed), len(closed))},
        "open": {"n": len(scores), "token_f1": _ratio(sum(scores), len(scores)), "tokenizer": tokens.name},
    }
