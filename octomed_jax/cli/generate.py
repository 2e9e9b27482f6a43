"""``octomed generate``: a model's answers to conversations."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from octomed_jax import progress, storage
from octomed_jax.cli.conversations import ConversationParser
from octomed_jax.cli.options import finish


def run(arguments: Sequence[str]) -> int:
    """Parse the options and generate."""
    parser = ConversationParser(
        "generate",
        "Let a model write the assistant's next message of each conversation.",
        "octomed generate --model=runs/demo/export --messages=messages.json --output=answers.json --top-logprobs=5",
    )
    parser.add_argument("--max-new-tokens", metavar="N", type=int, default=512, help="budget of each (default 512)")
    parser.add_argument(
        "--temperature", metavar="T", type=float, default=0.0, help="0: the most likely token (default)"
    )
    parser.add_argument("--top-p", metavar="P", type=float, default=1.0, help="sample from this share (default 1)")
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="of the samples (default 0)")
    parser.add_argument(
        "--top-logprobs", metavar="K", type=int, default=0, help="tokens listed at each place (default 0)"
    )
    parser.add_argument(
        "--thinking-tokens",
        metavar="N",
        type=int,
        help="budget of the thought, part of --max-new-tokens: then </think> is put in and the answer begins",
    )
    options, conversations = parser.read_conversations(arguments)
    from octomed_jax.hf.chat import ChatModel

    model = ChatModel(options.model, options.dtype, options.mesh)
    with progress.bar("generate", len(conversations), "conversations") as bar:
        replies = model.generate(
            conversations,
            Path(options.messages).parent,
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            top_p=options.top_p,
            seed=options.seed,
            top_logprobs=options.top_logprobs,
            thinking_tokens=options.thinking_tokens,
            batch=options.batch,
            advance=bar.advance,
        )
    written = [dataclasses.asdict(reply) for reply in replies]
    if options.thinking_tokens is None:
        for fields in written:
            del fields["thought_cut"]
    storage.write_json(options.output, written)
    tokens = sum(len(reply.token_ids) for reply in replies)
    cut = sum(reply.finish_reason == "length" for reply in replies)
    closed = sum(reply.thought_cut for reply in replies)
    thoughts = f", {closed} thoughts closed" if options.thinking_tokens is not None else ""
    summary = f"{len(replies)} answers, {tokens:,} new tokens, {cut} cut by the budget{thoughts}: {options.output}"
    result = {"output": options.output, "tokens": tokens, "cut": cut, "thoughts_closed": closed}
    return finish(summary, result, options.json)
