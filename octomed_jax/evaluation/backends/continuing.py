"""How an endpoint goes on with a response that is begun: in the chat itself, or as a plain completion of its ids.

Which of them an endpoint can do is found out by asking it. One that knows neither would begin a new turn after the
thought that was ended, and the figure would be of another protocol.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octomed_jax.errors import UserError
from octomed_jax.evaluation.backends.base import with_closing
from octomed_jax.inputs.conversation import chat_template, encode_messages
from octomed_jax.inputs.tokenizer import ChatTokenizer, load_tokenizer
from octomed_jax.teacher.client import ChatClient, Messages
from octomed_jax.teacher.reply import RequestFailed
from octomed_jax.teacher.requests import LIVENESS, Sampling, messages_with

BY_CHAT, BY_COMPLETION = "continue_final_message", "completions"
_CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}  # vLLM's words, and SGLang's
_ONE = Sampling(n=1, seed=0, temperature=0.0, top_p=1.0, max_tokens=1)
_THOUGHT = "<think>\nOne and one make two."


@dataclasses.dataclass(frozen=True)
class Request:
    """A request to go on: its messages, and further fields."""

    messages: Messages
    fields: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Continuing:
    """A way to go on with a response.

    Attributes:
        way: ``BY_CHAT`` or ``BY_COMPLETION``.
        tokenizer, template: of the model, for the latter.
    """

    way: str
    tokenizer: ChatTokenizer | None = None
    template: str = ""

    def request(self, messages: Messages, begun: str) -> Request:
        """Return the request to go on after ``begun``, a response to ``messages``."""
        if self.way == BY_CHAT:
            return Request([*messages, {"role": "assistant", "content": begun}], _CONTINUE)
        assert self.tokenizer
        prompt = encode_messages(self.tokenizer, self.template, messages, [])
        return Request([], {"prompt": [*prompt, *self.tokenizer.encode(begun)]})


async def find_way(client: ChatClient, folder: Path | None, with_images: bool) -> Continuing:
    """Return the way to go on that an endpoint knows.

    Args:
        client: the endpoint.
        folder: with the model's tokenizer and chat template; None where they are not at hand.
        with_images: whether a question has any: they are in no plain completion.

    Raises:
        TryAgain: it does not answer.
        UserError: it knows none.
    """
    why = await _why_not_by_chat(client)
    if not why:
        return Continuing(BY_CHAT)
    if with_images:
        why += ", and a completion takes no image"
    elif not folder:
        why += ", and config.eval.tokenizer names no folder with its tokenizer and template, for a completion"
    else:
        way = Continuing(BY_COMPLETION, load_tokenizer(folder), chat_template(folder))
        refused = await _why_not_by_completion(client, way)
        if not refused:
            return way
        why += f", and gives no completion ({refused})"
    raise UserError(
        f"{client.url} cannot go on with a response: it {why}; config.eval.force_end_of_thinking needs that, so serve "
        "the model with vLLM, or set it to False"
    )


async def _why_not_by_chat(client: ChatClient) -> str:
    """Return why an endpoint does not go on in the chat; empty where it does.

    One that ignores the request closes the assistant's message and opens a new one, which takes tokens: its count of
    the prompt is the same as without the request.
    """
    begun = Continuing(BY_CHAT).request(messages_with(LIVENESS, []), with_closing(_THOUGHT))
    counts = []
    for fields in (begun.fields, {}):
        try:
            counts.append((await client.send(client.body(begun.messages, _ONE, fields), 1)).prompt_tokens)
        except RequestFailed as failure:
            if failure.transient or failure.of_settings:
                raise client.explain(failure) from None
            return f"refuses continue_final_message ({failure})"
    if not counts[0]:
        return "counts no prompt tokens, so that nobody can see whether it obeys continue_final_message"
    return "" if counts[0] < counts[1] else "ignores continue_final_message"


async def _why_not_by_completion(client: ChatClient, way: Continuing) -> str:
    asked = way.request(messages_with(LIVENESS, []), with_closing(_THOUGHT))
    try:
        completion = await client.send(client.body(asked.messages, _ONE, asked.fields), 1)
    except RequestFailed as failure:
        if failure.transient:
            raise client.explain(failure) from None
        return str(failure)
    expected = len(asked.fields["prompt"])
    if completion.prompt_tokens and completion.prompt_tokens != expected:
        return f"it counts {completion.prompt_tokens} tokens of a prompt of {expected}"
    return ""
