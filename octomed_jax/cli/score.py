"""``octomed score``: log-probabilities of assistants' messages."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from octomed_jax import progress, storage
from octomed_jax.cli.options import Parser, finish
from octomed_jax.inputs.conversation import read_conversations


def run(arguments: Sequence[str]) -> int:
    """Parse the options and score."""
    parser = Parser(
        "score",
        "Give the log-probabilities of the last, the assistant's, message of each conversation.\n\n"
        'FILE is a list of conversations, each a list of {"role", "content"}; content is a string or a list of\n'
        '{"type": "text", "text"} and {"type": "image", "image": a path beside FILE or a data URL}.',
        "octomed score --model=runs/demo/export --messages=messages.json --output=scores.json",
    )
    parser.add_argument("--model", metavar="DIR", required=True, help="a Hugging Face folder of Qwen2.5-VL")
    parser.add_argument("--messages", metavar="FILE", required=True, help="the conversations, JSON")
    parser.add_argument("--output", metavar="FILE", required=True, help="the scores, JSON; replaced if it exists")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the computation")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error("score takes no config")
    conversations = read_conversations(options.messages)
    from octomed_jax.hf.chat import ChatModel

    model = ChatModel(options.model, options.dtype)
    with progress.bar("score", len(conversations), "conversations") as bar:
        scores = model.score(conversations, Path(options.messages).parent, bar.advance)
    storage.write_json(options.output, [dataclasses.asdict(score) for score in scores])
    tokens = sum(len(score.token_ids) for score in scores)
    mean = -sum(sum(score.logprobs) for score in scores) / max(tokens, 1)
    summary = f"{len(scores)} conversations, {tokens:,} tokens scored, mean loss {mean:.4f}: {options.output}"
    return finish(summary, {"output": options.output, "tokens": tokens, "mean_loss": mean}, options.json)
