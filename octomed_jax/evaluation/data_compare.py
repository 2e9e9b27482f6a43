"""Compares two corpora by their cards, or one with what the paper says of its own."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from octomed_jax import manifests, storage
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.evaluation import paper_corpus
from octomed_jax.evaluation.data_card import CARD_VERSION, FOLDER, JSON_FILE, describe
from octomed_jax.evaluation.data_card_chain import read_chain
from octomed_jax.evaluation.data_card_figures import region_shares
from octomed_jax.evaluation.data_card_keys import KEYS_FILE, Keys, read_keys, shared
from octomed_jax.evaluation.data_card_rows import COUNT_WORDS

PAPER = "paper"
FIELDS = ("source", "modality", "body_region", "task")
LENGTHS = ("question", "response")
KEY_WORDS = {"questions": "questions (words and images)", "ids": "question ids", "images": "images (bytes)"}

Table = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two corpora.

    Attributes:
        name: as the user gave it.
        card: the content of card.json; for the paper as much of it as is known.
        keys: hashes of what there is; None where they are not known.
    """

    name: str
    card: Table
    keys: Keys | None

    @property
    def is_paper(self) -> bool:
        """Whether it is the paper's."""
        return self.name == PAPER


def read_side(name: str) -> Side:
    """Return a corpus by the name of a card.json, of a folder with one, or of a folder of shards; or the paper's.

    Shards without a card that is their own are counted anew, and nothing is written.

    Raises:
        UserError: there is no such thing, or the card is of another version.
        StopAndLook: a file is damaged.
    """
    if name == PAPER:
        return Side(name, {"paper": paper_corpus.table()}, None)
    place = epath.Path(name)
    if not place.exists():
        raise UserError(f"no such corpus: {name}; name a card.json, a folder with one, a folder of shards, or {PAPER}")
    if place.is_dir() and manifests.is_finished(place):
        return _read_shards(name, place)
    path = place / JSON_FILE if place.is_dir() else place
    if not path.exists():
        raise UserError(f"{name} holds neither a card.json nor finished shards; make one with `octomed data card`")
    card = storage.read_json(path)
    if not isinstance(card, dict) or "card_version" not in card:
        raise UserError(f"{path} is no card of a corpus; `octomed data card` writes one")
    if card["card_version"] != CARD_VERSION:
        raise UserError(
            f"{path} is a card of version {card['card_version']}, this program reads {CARD_VERSION}; "
            "write it again with `octomed data card`"
        )
    return Side(name, card, _read_keys(path.parent / KEYS_FILE, card))


def _read_shards(name: str, folder: epath.Path) -> Side:
    chain = read_chain(folder, {})
    path = folder / FOLDER / JSON_FILE
    if path.exists():
        card = storage.read_json(path)
        known = (card.get("card_version"), card.get("shards")) if isinstance(card, dict) else ()
        if known == (CARD_VERSION, chain.manifests["shards"].identity):
            return Side(name, card, _read_keys(path.parent / KEYS_FILE, card))
    card, keys, _ = describe(chain)
    return Side(name, card, keys)


def _read_keys(path: epath.Path, card: Table) -> Keys | None:
    if not path.exists():
        return None
    if storage.sha256_file(path) != card["keys_sha256"]:
        raise StopAndLook(f"{path} does not belong to the card beside it; write both again with `octomed data card`")
    return read_keys(path)


def compare(left: Side, right: Side) -> dict[str, Any]:
    """Return what two corpora have of everything that both say; the left one is not the paper's.

    Raises:
        UserError: the left one is.
    """
    if left.is_paper:
        raise UserError(f"{PAPER} has no card of its own to begin with; give it as the second: compare A {PAPER}")
    return {
        "a": _identity(left),
        "b": _identity(right),
        "counts": {name: [_count(side, name) for side in (left, right)] for name in COUNT_WORDS},
        "lengths": _lengths(left, right),
        "shares": {"body_region": _regions(left)} if right.is_paper else _shares(left.card, right.card),
        "overlap": _overlap(left, right),
    }


def _identity(side: Side) -> dict[str, Any]:
    if side.is_paper:
        return {"name": side.name, "reference": side.card["paper"]["reference"]}
    return {"name": side.name, "shards": side.card["shards"], "access": side.card["access"]}


def _count(side: Side, name: str) -> float:
    return (side.card["paper"] if side.is_paper else side.card)["counts"][name]


def _lengths(left: Side, right: Side) -> dict[str, Any]:
    """Return lengths of both, or why they are left out."""
    of_left = left.card["lengths"]
    if of_left is None:
        return {"left_out": f"{left.name} was not rendered for a student, so its lengths are not known"}
    if right.is_paper:
        means = right.card["paper"]["mean_tokens"]
        rows = {name: [{"mean": of_left[name]["mean"]}, {"mean": means[name]}] for name in LENGTHS}
        return {
            **rows,
            "note": f"Tokens of A are of {of_left['tokenizer']['name']}; the paper does not say whose its are.",
        }
    of_right = right.card["lengths"]
    if of_right is None:
        return {"left_out": f"{right.name} was not rendered for a student, so its lengths are not known"}
    if of_left["tokenizer"]["sha256"] != of_right["tokenizer"]["sha256"]:
        names = " and ".join(
            f"{one['tokenizer']['name']} ({one['tokenizer']['sha256'][:12]})" for one in (of_left, of_right)
        )
        return {"left_out": f"their tokens are of two tokenizers, {names}, and cannot be compared"}
    return {
        **{name: [of_left[name], of_right[name]] for name in LENGTHS},
        "note": f"Tokens are of {of_left['tokenizer']['name']} ({of_left['tokenizer']['sha256'][:12]}).",
    }


def _regions(left: Side) -> list[dict[str, Any]]:
    rows = region_shares({**left.card, "paper": paper_corpus.table()})
    return [{"name": name, "share": [here, there]} for name, here, there in rows]


def _shares(left: Table, right: Table) -> dict[str, list[dict[str, Any]]]:
    """Return by field what each value has of the training rows, those with the largest share of either first."""
    shares = {}
    for field in FIELDS:
        groups = [card["by"][field] for card in (left, right)]
        totals = [card["counts"]["instances"] for card in (left, right)]
        rows = []
        for name in {*groups[0], *groups[1]}:
            counts = [of[name]["instances"] if name in of else 0 for of in groups]
            share = [count / total if total else 0.0 for count, total in zip(counts, totals, strict=True)]
            rows.append({"name": name, "instances": counts, "share": share})
        shares[field] = sorted(rows, key=lambda row: (-max(row["share"]), row["name"]))
    return shares


def _overlap(left: Side, right: Side) -> dict[str, Any]:
    """Return how much is in both and in one alone, or why it is not known."""
    if right.is_paper:
        return {"left_out": "the paper's questions and images are not at hand"}
    for side in (left, right):
        if side.keys is None:
            return {"left_out": f"there is no {KEYS_FILE} beside the card of {side.name}"}
    rows = {}
    for name in KEY_WORDS:
        keys = [getattr(side.keys, name) for side in (left, right)]
        both = shared(*keys)
        rows[name] = {"both": both, "only_a": len(keys[0]) - both, "only_b": len(keys[1]) - both}
    return rows


def only_in(rows: Sequence[Table]) -> tuple[list[str], list[str]]:
    """Return the values of a field that are in the first corpus alone, and in the second alone."""
    first = [row["name"] for row in rows if row["share"][0] and not row["share"][1]]
    return first, [row["name"] for row in rows if row["share"][1] and not row["share"][0]]


def on_one_axis(lengths: Sequence[Table]) -> tuple[int, list[list[int]]]:
    """Return two histograms with bins of one width: that, and the counts of both with as many bins."""
    width = math.lcm(*(one["histogram"]["width"] for one in lengths))
    rebinned = []
    for one in lengths:
        each = width // one["histogram"]["width"]
        counts = one["histogram"]["counts"]
        rebinned.append([sum(counts[first : first + each]) for first in range(0, len(counts), each)])
    most = max(map(len, rebinned))
    return width, [[*counts, *[0] * (most - len(counts))] for counts in rebinned]
