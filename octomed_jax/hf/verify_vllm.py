"""Does vLLM, which computes the model in its own way, answer from an exported folder as we do?"""

import base64
import dataclasses
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from octomed_jax.errors import StopAndLook
from octomed_jax.hf.chat import ChatModel
from octomed_jax.images.resize import smart_resize
from octomed_jax.inputs.conversation import Messages
from octomed_jax.inputs.render import read_patch_spec
from octomed_jax.teacher.server.blocking import CHAT, Address, RequestRefused, ask
from octomed_jax.teacher.server.vllm import VllmSettings, vllm_version
from octomed_jax.teacher.server.vllm_process import serve

NEW_TOKENS = 8
TOP_LOGPROBS = 5
MAX_MODEL_LEN = 2048
LIMIT = 1e-3  # both compute in float32, in another order of operations
REPLY_SECONDS = 300.0
NAME = "served"  # under which a folder is served


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model answers greedily.

    Attributes:
        token_ids: the new tokens, the stop token included.
        prompt_tokens: of the conversation, image tokens included.
        logprobs: for each new token the most likely ones, by id.
    """

    token_ids: list[int]
    prompt_tokens: int
    logprobs: list[dict[int, float]]


def verify_vllm(folder: Path, vllm: str) -> dict[str, Any]:
    """Serve a folder with vLLM in float32 and compare greedy answers to a text prompt and an image prompt with ours.

    The server has ended before our model is loaded. Its log is kept where something goes wrong.

    Args:
        folder: an exported Hugging Face folder.
        vllm: vLLM's executable, as a path or a name on PATH.

    Returns:
        vLLM's version, the largest difference of a log-probability, the prompts and the tokens compared.

    Raises:
        UserError: vLLM does not start.
        TryAgain: it gives no token in time.
        StopAndLook: the answers differ.
    """
    version = vllm_version(vllm)
    conversations = probe_conversations(folder)
    log = Path(tempfile.mkdtemp(prefix="octomed-vllm-")) / "log"
    theirs = vllm_answers(folder, vllm, conversations, cpu="cpu" in version, log_file=log)
    figures = compare(our_answers(folder, conversations), theirs)
    log.unlink()
    log.parent.rmdir()
    return {"vllm": version, **figures}


def probe_conversations(folder: Path) -> list[Messages]:
    """Return a text prompt, long since short ones do not show mistakes of rotary positions, and one with an image.

    The image has a size that needs no resizing: there vLLM's preprocessing differs from ours by rounding.
    """
    spec = read_patch_spec(folder)
    height, width = smart_resize(84, 140, spec.factor, spec.min_pixels, spec.max_pixels)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    image = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    text = " ".join(f"finding {number} of the study" for number in range(40))
    shown = [{"type": "image", "image": image}, {"type": "text", "text": "Which plane is this?"}]
    return [[{"role": "user", "content": text}], [{"role": "user", "content": shown}]]


def our_answers(folder: Path, conversations: Sequence[Messages]) -> list[Answer]:
    """Return this project's answers in float32."""
    with jax.default_matmul_precision("highest"):
        replies = ChatModel(folder).generate(conversations, max_new_tokens=NEW_TOKENS, top_logprobs=TOP_LOGPROBS)
    return [
        Answer(
            reply.token_ids,
            reply.prompt_tokens,
            [{int(entry["id"]): entry["logprob"] for entry in place} for place in reply.logprobs],
        )
        for reply in replies
    ]


def vllm_answers(
    folder: Path, vllm: str, conversations: Sequence[Messages], *, cpu: bool, log_file: Path
) -> list[Answer]:
    """Serve a folder in float32, ask, and end the server.

    Args:
        folder: an exported Hugging Face folder.
        vllm: vLLM's executable.
        conversations: with at most one image each, as data URL.
        cpu: whether vLLM is built for CPUs.
        log_file: the server's.

    Raises:
        UserError: vLLM does not start.
        TryAgain: it gives no token in time.
        StopAndLook: it gives no answer that can be read.
    """
    settings = VllmSettings(
        model=str(folder), name=NAME, dtype="float32", max_model_len=MAX_MODEL_LEN, images=1, cpu=cpu
    )
    with serve(vllm, settings, log_file) as address:
        return [ask_vllm(address, messages) for messages in conversations]


def ask_vllm(address: Address, messages: Messages) -> Answer:
    """Return the answer of the vLLM server at ``address``.

    Raises:
        StopAndLook: it gives none that can be read.
    """
    body = {
        "model": NAME,
        "messages": [_in_their_words(message) for message in messages],
        "max_tokens": NEW_TOKENS,
        "temperature": 0,
        "repetition_penalty": 1.0,  # the generation config of a published checkpoint may name another
        "logprobs": True,
        "top_logprobs": TOP_LOGPROBS,
        "return_tokens_as_token_ids": True,
    }
    try:
        reply = ask(address, CHAT, body, REPLY_SECONDS)
        places = reply["choices"][0]["logprobs"]["content"]
        return Answer(
            [_token_id(place) for place in places],
            reply["usage"]["prompt_tokens"],
            [{_token_id(entry): entry["logprob"] for entry in place["top_logprobs"]} for place in places],
        )
    except (RequestRefused, OSError) as error:
        raise StopAndLook(f"vLLM at {address.base} gives no answer ({error}); its log says why") from error
    except (ValueError, LookupError, TypeError) as error:
        what = f"the reply of vLLM at {address.base} has no log-probabilities by token id"
        raise StopAndLook(f"{what} ({error!r})") from error


def compare(ours: Sequence[Answer], theirs: Sequence[Answer]) -> dict[str, Any]:
    """Compare answers to the same prompts, token by token.

    Where both take another token although all log-probabilities of the place agree, the two tokens are within twice
    ``LIMIT`` of each other on either side: a tie, which rounding decides. What follows has another beginning on the two
    sides, and is not compared.

    Returns:
        The largest difference of a log-probability, the prompts and the tokens compared.

    Raises:
        StopAndLook: a difference above ``LIMIT``, and the place of it.
    """
    largest, tokens = 0.0, 0
    for number, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        if our.prompt_tokens != their.prompt_tokens:
            raise StopAndLook(
                f"prompt {number} has {our.prompt_tokens} tokens here and {their.prompt_tokens} in vLLM; "
                "compare the folder's tokenizer, chat template and pixel limits with its base"
            )
        for place, (one, other) in enumerate(zip(our.logprobs, their.logprobs, strict=False)):
            difference = _difference(one, other)
            chosen = our.token_ids[place], their.token_ids[place]
            if not difference <= LIMIT:  # nan neither
                what = "" if chosen[0] == chosen[1] else f"is {chosen[0]} here and {chosen[1]} in vLLM, and "
                raise StopAndLook(
                    f"token {place} of the answer to prompt {number} {what}has a log-probability that differs from "
                    f"vLLM's by {difference:.2g}, more than {LIMIT}"
                )
            largest, tokens = max(largest, difference), tokens + 1
            if chosen[0] != chosen[1]:
                break
        else:
            if len(our.token_ids) != len(their.token_ids):
                raise StopAndLook(
                    f"the answer to prompt {number} has {len(our.token_ids)} tokens here and {len(their.token_ids)} "
                    "in vLLM; compare eos_token_id in config.json and generation_config.json"
                )
    return {"max_logprob_diff": largest, "prompts": len(ours), "tokens": tokens}


def _difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> float:
    """Return the largest difference of a log-probability at one place.

    Of a token that only one side lists, the other says no more than that it is not above its last one.
    """
    differences = [abs(ours[token] - theirs[token]) for token in ours.keys() & theirs.keys()]
    for one, other in ((ours, theirs), (theirs, ours)):
        differences += [one[token] - min(other.values()) for token in one.keys() - other.keys()]
    return float(np.max(differences))


def _token_id(entry: Mapping[str, Any]) -> int:
    return int(entry["token"].removeprefix("token_id:"))


def _in_their_words(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as the OpenAI protocol spells it."""
    content = message["content"]
    if not isinstance(content, str):
        content = [
            {"type": "image_url", "image_url": {"url": part["image"]}} if part["type"] == "image" else part
            for part in content
        ]
    return {"role": message["role"], "content": content}
