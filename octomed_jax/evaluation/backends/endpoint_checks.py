"""What an endpoint says of itself, and which question is its hardest."""

import io

from PIL import Image

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.progress import say
from octomed_jax.schema import Question
from octomed_jax.teacher.client import ChatClient
from octomed_jax.teacher.reply import RequestFailed
from octomed_jax.teacher.server.blocking import RequestRefused, address_of
from octomed_jax.teacher.server.probes import Prober

MODELS_SECONDS = 30.0
_NO_PAGE = (404, 405, 501)
_LETTERS, _PIXELS = 4, 28 * 28  # about so many make a token


def served_length(client: ChatClient, key: str = "") -> int | None:
    """Return how many tokens a prompt and its answer may have together, as the endpoint says it; None if it does not.

    Raises:
        TryAgain: it does not answer.
        UserError: it refuses the key, or serves other models than the one that is to be measured.
    """
    try:
        models = Prober(address_of(client.url, key), MODELS_SECONDS).models()
    except RequestRefused as error:
        if error.status not in _NO_PAGE:
            raise client.explain(RequestFailed(str(error), error.status >= 500, error.status)) from None
        say(f"{client.url} has no list of models; the name in its answers is looked at instead")
        return None
    except ValueError as error:
        raise UserError(f"{client.url}: what it says of its models cannot be read ({error})") from None
    if client.model not in models:
        names = sorted(models)
        raise UserError(
            f"{client.url} does not serve {client.model!r}{did_you_mean(client.model, names)} but "
            f"{', '.join(names) or 'nothing'}; set config.eval.model"
        )
    length = models[client.model].get("max_model_len")
    return int(length) if isinstance(length, int) and length > 0 else None


def weight_of(question: Question, max_pixels: int) -> float:
    """Return about how many tokens a question has; the images' sizes are read from their headers."""
    pixels = 0
    for data in question.images:
        with Image.open(io.BytesIO(data)) as header:
            pixels += min(max_pixels, header.width * header.height)
    letters = len(question.question) + sum(map(len, question.options))
    return letters / _LETTERS + pixels / _PIXELS
