"""How much a training step computes: floating-point operations of its matrix products, as they are really done.

A matrix of N parameters costs 2 N operations a token forward, 2 N more where the gradient of its input is needed, and
2 N more where its own gradient is needed: 6 N trained, 4 N frozen below something trained (LoRA), 2 N frozen with
nothing trained below it (a frozen tower). Attention of one head costs 4 E operations for each pair of query and key
that may see each other forward, and twice that backward; text is causal, so an example of L tokens has L^2 / 2 pairs.
Padding, recomputation, norms, activations, softmax and the embedding's lookup are not counted: the count is the work
that the examples need, whatever a program spends on it.

Legend: L tokens of an example, D width, F inner width, E values of a head, H heads, K kv heads, V vocabulary.
"""

import dataclasses
from collections.abc import Iterable

from octomed_jax.models.qwen2_5_vl.config import Qwen25VLConfig, TextConfig, VisionConfig
from octomed_jax.models.trained import Trained


@dataclasses.dataclass(frozen=True)
class Work:
    """What a set of examples holds, or a step in the mean.

    Attributes:
        tokens: of all examples, image tokens included.
        token_pairs: sum of L^2 / 2.
        patches: of all images.
        window_pairs: sum over windows of patches^2.
        frame_pairs: sum over images of patches^2.
    """

    tokens: float
    token_pairs: float
    patches: float
    window_pairs: float
    frame_pairs: float


@dataclasses.dataclass(frozen=True)
class Flops:
    """Operations of a training step, by part."""

    text: float
    vision: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.text + self.vision


def work_of(config: VisionConfig, examples: Iterable[tuple[int, Iterable[tuple[int, int]]]]) -> Work:
    """Return the work of examples, each its number of tokens and the merged grids (rows, columns) of its images."""
    tokens, patches, window_pairs, frame_pairs, token_pairs = 0, 0, 0, 0, 0.0
    for length, grids in examples:
        tokens += length
        token_pairs += length**2 / 2
        for rows, columns in grids:
            frame = rows * columns * config.merge_unit
            patches += frame
            frame_pairs += frame**2
            high, wide = [_square_sum(side, config.window_cells) for side in (rows, columns)]
            window_pairs += high * wide * config.merge_unit**2
    return Work(tokens, token_pairs, patches, window_pairs, frame_pairs)


def training_flops(config: Qwen25VLConfig, work: Work, trained: Trained) -> Flops:
    """Return the operations of forward and backward passes over the examples.

    With the rule of the module, and N of

    - text, a token: layers (2 D H E + 2 D K E + 3 D F) + D V, and adapters rank (inputs + outputs); attention
      layers 4 H E token_pairs, three times that where anything of the text or below it is trained;
    - vision, a patch: depth (4 D^2 + 3 D F), and the patch embedding, whose input needs no gradient; attention
      4 D (full blocks frame_pairs + other blocks window_pairs), three times that where the tower is trained;
    - the merger, a cell of 4 patches: (4 D)^2 + 4 D D_text.

    Args:
        config: the architecture.
        work: what the examples hold.
        trained: what has gradients.
    """
    text, vision = config.text, config.vision
    vision_trained = work.patches > 0 and "vision" in trained.groups
    merger_trained = work.patches > 0 and "merger" in trained.groups
    text_trained = "text" in trained.groups or trained.lora is not None
    below_text = vision_trained or merger_trained

    # The first layer's input needs a gradient only if the tower below is trained; the layers above it always do.
    matrices = _text_matrices(text)
    text_flops: float = work.tokens * _passes(matrices, below_text or text_trained, "text" in trained.groups)
    text_flops += work.tokens * _passes(_adapters(text, trained), True, True)
    pairs_flops = 4 * text.num_attention_heads * text.head_dim * work.token_pairs * text.num_hidden_layers
    text_flops += pairs_flops * (3 if below_text or text_trained else 1)

    full = len(vision.fullatt_block_indexes)
    pairs = full * work.frame_pairs + (vision.depth - full) * work.window_pairs
    vision_flops: float = work.patches * _passes(vision.patch_values * vision.hidden_size, False, vision_trained)
    vision_flops += work.patches * _passes(_block_matrices(vision), vision_trained, vision_trained)
    vision_flops += 4 * vision.hidden_size * pairs * (3 if vision_trained else 1)
    cells = work.patches / vision.merge_unit
    # The merger's own norm lies below both of its matrices.
    matrices = _merger_matrices(vision)
    vision_flops += cells * _passes(matrices, vision_trained or merger_trained, merger_trained)
    return Flops(text_flops, vision_flops)


def decoding_flops(config: Qwen25VLConfig, places: float) -> float:
    """Return the operations of one new token that sees so many places of its cache."""
    text = config.text
    pairs = 4 * text.num_attention_heads * text.head_dim * places * text.num_hidden_layers
    return 2 * _text_matrices(text) + pairs


def _passes(parameters: int, input_gradient: bool, own_gradient: bool) -> int:
    return 2 * parameters * (1 + input_gradient + own_gradient)


def _text_matrices(text: TextConfig) -> int:
    heads = text.num_attention_heads + text.num_key_value_heads
    layer = 2 * text.hidden_size * heads * text.head_dim + 3 * text.hidden_size * text.intermediate_size
    return text.num_hidden_layers * layer + text.hidden_size * text.vocab_size


def _adapters(text: TextConfig, trained: Trained) -> int:
    if trained.lora is None:
        return 0
    D, F = text.hidden_size, text.intermediate_size
    queries, keys = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
    both_sides = {
        "q": D + queries,
        "k": D + keys,
        "v": D + keys,
        "o": queries + D,
        "gate": D + F,
        "up": D + F,
        "down": F + D,
    }
    return text.num_hidden_layers * trained.lora.rank * sum(both_sides[target] for target in trained.lora.targets)


def _block_matrices(vision: VisionConfig) -> int:
    return vision.depth * (4 * vision.hidden_size**2 + 3 * vision.hidden_size * vision.intermediate_size)


def _merger_matrices(vision: VisionConfig) -> int:
    width = vision.hidden_size * vision.merge_unit
    return width**2 + width * vision.out_hidden_size


def _square_sum(side: int, window: int) -> int:
    """Return the sum of squared window lengths along a side of merged cells."""
    whole, rest = divmod(side, window)
    return whole * window**2 + rest**2
