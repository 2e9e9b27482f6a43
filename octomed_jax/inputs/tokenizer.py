"""The tokenizer of a student folder, and how a small student gets a vocabulary of its own."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from octomed_jax.errors import UserError
from octomed_jax.storage import read_json

# Qwen2.5's special tokens, in the order of its vocabulary.
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# Qwen2's split pattern: contractions, words, single digits, punctuation, line ends, spaces.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclasses.dataclass(frozen=True)
class ChatTokenizer:
    """A tokenizer that never reads a special token out of a user's text.

    Attributes:
        tokenizer: the fast tokenizer, set to encode special tokens in text as text.
        ids: special token of Qwen2.5-VL to id.
        more_stops: ids that also end an answer, by the folder's generation config.
    """

    tokenizer: Tokenizer
    ids: dict[str, int]
    more_stops: tuple[int, ...] = ()

    @property
    def special(self) -> dict[str, int]:
        """Every special token of the folder, with its id."""
        added = self.tokenizer.get_added_tokens_decoder()
        return {token.content: number for number, token in added.items() if token.special} | self.ids

    @property
    def vocabulary(self) -> list[str]:
        """Every token as the tokenizer spells it, by id; empty where an id is not used."""
        spelled = {number: token for token, number in self.tokenizer.get_vocab(with_added_tokens=True).items()}
        return [spelled.get(number, "") for number in range(max(spelled) + 1)]

    def encode(self, text: str) -> list[int]:
        """Return the ids of plain text; ``<|im_end|>`` typed by a user stays text."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int] | Int32[np.ndarray, "L"]) -> str:
        """Return the text of ids, special tokens left out."""
        return self.tokenizer.decode([int(i) for i in ids], skip_special_tokens=True)

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Generation ends at ``<|im_end|>`` or ``<|endoftext|>``, and where the folder's generation config says so."""
        named = (self.ids["<|im_end|>"], self.ids["<|endoftext|>"])
        return (*named, *(token for token in self.more_stops if token not in named))


def load_tokenizer(folder: str | Path) -> ChatTokenizer:
    """Load ``tokenizer.json`` of a Hugging Face folder.

    Raises:
        UserError: no such file, or a special token of Qwen2.5-VL is missing.
    """
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"no tokenizer.json in {folder}; a student folder holds one")
    try:
        tokenizer = chat_tokenizer(Tokenizer.from_file(str(path)), str(path))
    except UserError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{path} is no tokenizer ({error})") from error
    generation = Path(folder) / "generation_config.json"
    fields = read_json(generation) if generation.is_file() else {}
    stops = fields.get("eos_token_id") if isinstance(fields, dict) else None
    stops = [stops] if isinstance(stops, int) else stops or []
    if not isinstance(stops, list) or not all(isinstance(stop, int) for stop in stops):
        raise UserError(f"eos_token_id in {generation} is neither a number nor a list of numbers")
    return dataclasses.replace(tokenizer, more_stops=tuple(stops))


def chat_tokenizer(tokenizer: Tokenizer, name: str = "tokenizer") -> ChatTokenizer:
    """Wrap a tokenizer, checking its special tokens."""
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    missing = [token for token, number in ids.items() if number is None]
    if missing:
        raise UserError(f"{name} lacks {', '.join(missing)}; it is not a Qwen2.5-VL tokenizer")
    tokenizer.encode_special_tokens = True
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return ChatTokenizer(tokenizer, {token: int(number) for token, number in ids.items() if number is not None})


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE of ``vocab_size`` entries in Qwen2's manner, special tokens last.

    Raises:
        UserError: ``vocab_size`` leaves no room for the 256 bytes and the special tokens.
    """
    pieces = vocab_size - len(SPECIAL_TOKENS)
    if pieces < 256:
        raise UserError(
            f"student.vocab_size={vocab_size} is too small; at least {256 + len(SPECIAL_TOKENS)} are needed"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer
