"""Lengths of questions and responses in tokens of the student's tokenizer, counted in batches."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax import manifests, storage
from octomed_jax.errors import StopAndLook
from octomed_jax.hf.base import BASE, STUDENT
from octomed_jax.inputs.tokenizer import load_tokenizer

TOKENIZER = "tokenizer.json"
BATCH_CHARACTERS = 4_000_000  # of texts that are encoded together
MOST_BINS = 40
MOST_SHARE = 0.995  # of the texts stand in bins of their own; the last bin holds the longer ones too


class Tokens:
    """Counts tokens of texts with one tokenizer; nothing of the chat around them."""

    def __init__(self, rendered: Path):
        """Load the tokenizer of a rendering. Errors as ``load_tokenizer``."""
        folder = _tokenizer_folder(rendered)
        self._tokenizer = load_tokenizer(folder).tokenizer
        digest = storage.sha256_file(folder / TOKENIZER)
        self.identity = {
            "name": ", ".join(_models(rendered, digest)) or "a vocabulary of its own",
            "entries": self._tokenizer.get_vocab_size(with_added_tokens=True),
            "sha256": digest,
        }

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text."""
        return [len(one.ids) for one in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def _tokenizer_folder(rendered: Path) -> Path:
    """Return the folder of a rendering in which its tokenizer lies.

    Raises:
        StopAndLook: it has none.
    """
    for name in manifests.read_manifest(rendered, "render").files:
        if Path(name).name == TOKENIZER:
            return (rendered / name).parent
    raise StopAndLook(f"{rendered} names no {TOKENIZER}; remove it and run `octomed shard` again")


def _models(rendered: Path, digest: str) -> list[str]:
    """Return the models whose students see the shards with that tokenizer; none for vocabularies of our own."""
    folders = [_tokenizer_folder(rendered), *rendered.parent.parent.glob(f"students/*/{STUDENT}")]
    own = [one for one in folders if (one / BASE).is_file() and storage.sha256_file(one / TOKENIZER) == digest]
    return sorted({str(storage.read_json(one / BASE)["model"]) for one in own})


def summary(lengths: Mapping[int, int]) -> dict[str, Any]:
    """Return mean, median, ninth decile, longest and histogram of a count by length."""
    total = sum(lengths.values())
    ordered = sorted(lengths.items())
    longest = ordered[-1][0] if ordered else 0
    return {
        "count": total,
        "tokens": sum(length * count for length, count in ordered),
        "mean": round(sum(length * count for length, count in ordered) / total, 2) if total else 0.0,
        "median": quantile(ordered, 0.5),
        "p90": quantile(ordered, 0.9),
        "longest": longest,
        "histogram": histogram(ordered),
    }


def quantile(ordered: Sequence[tuple[int, int]], share: float) -> int:
    """Return the least length that at least a share of the texts do not exceed; 0 where there is none."""
    wanted = share * sum(count for _, count in ordered)
    reached = 0
    for length, count in ordered:
        reached += count
        if reached >= wanted:
            return length
    return 0


def histogram(ordered: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return a histogram of at most MOST_BINS bins of a round width; the last one holds all that is longer."""
    reach = quantile(ordered, MOST_SHARE)
    width = next(size * 10**power for power in range(10) for size in (1, 2, 5) if size * 10**power * MOST_BINS > reach)
    bins: Counter[int] = Counter()
    for length, count in ordered:
        bins[min(length, reach) // width] += count
    return {"width": width, "counts": [bins[number] for number in range(reach // width + 1)]}
