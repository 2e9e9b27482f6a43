"""``octomed score``: log-probabilities of assistants' messages."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from octomed_jax import progress, storage
from octomed_jax.cli.conversations import ConversationParser
from octomed_jax.cli.options import finish


def run(arguments: Sequence[str]) -> int:
    """Parse the options and score."""
    parser = ConversationParser(
        "score",
        "Give the log-probabilities of the last, the assistant's, message of each conversation.",
        "octomed score --model=runs/demo/export --messages=messages.json --output=scores.json",
    )
    options, conversations = parser.read_conversations(arguments)
    from octomed_jax.hf.chat import ChatModel

    model = ChatModel(options.model, options.dtype, options.mesh)
    with progress.bar("score", len(conversations), "conversations") as bar:
        scores = model.score(conversations, Path(options.messages).parent, options.batch, bar.advance)
    storage.write_json(options.output, [dataclasses.asdict(score) for score in scores])
    tokens = sum(len(score.token_ids) for score in scores)
    mean = -sum(sum(score.logprobs) for score in scores) / max(tokens, 1)
    summary = f"{len(scores)} conversations, {tokens:,} tokens scored, mean loss {mean:.4f}: {options.output}"
    return finish(summary, {"output": options.output, "tokens": tokens, "mean_loss": mean}, options.json)
