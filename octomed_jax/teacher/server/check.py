"""Has an endpoint what the distill stage needs? Facts about it, found with prompts of our own (probes.py)."""

import dataclasses
import time
from collections.abc import Iterator

from octomed_jax.errors import did_you_mean
from octomed_jax.teacher.reply import reasoning_place
from octomed_jax.teacher.requests import Sampling
from octomed_jax.teacher.server.blocking import Address, RequestRefused, one_line
from octomed_jax.teacher.server.probes import COLOUR, Messages, Prober, Reply, image_messages, text_messages

SAMPLES = 4  # that distill asks for in one request
MOST_IMAGES = 10  # tried where nobody says how many a question has
ANSWER_TOKENS = 1024  # room for the thought of a reasoning model
SAMPLE_TOKENS = 64  # enough for two samples at temperature 1 to part ways
FEW_TOKENS = 8
SEEDS = (11, 12, 13)
QUESTION = "What is 2 + 3? Answer with the number."
COUNT = "Count from 1 to 100, with a comma after each number."
INVENT = "Invent a name, an animal, a place and a year, and write one sentence with all of them."
SEE = "Which colour is this picture? Answer with one word."
_EXTRA = 4  # prompt tokens that the place of an image may add where the image itself is lost


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fact about an endpoint.

    Attributes:
        name: of the fact.
        ok: whether distill can work with it; None for what is only good to know.
        found: what was seen.
        meaning: what that means for distill, and where ``ok`` is False the cure.
    """

    name: str
    ok: bool | None
    found: str
    meaning: str


@dataclasses.dataclass
class Facts:
    """What is known of an endpoint so far.

    Attributes:
        url: the address that was tried.
        model: the name that requests give.
        max_model_len: tokens of prompt and response together, if the server tells.
        images: how many a prompt may hold, as far as was tried.
        reasoning: where a thought comes back (``reply.reasoning_place``).
        findings: in the order in which they were made.
    """

    url: str
    model: str = ""
    max_model_len: int | None = None
    images: int | None = None
    reasoning: str | None = None
    findings: list[Finding] = dataclasses.field(default_factory=list)

    @property
    def failure(self) -> Finding | None:
        """The first thing that distill needs and the endpoint has not."""
        return next((finding for finding in self.findings if finding.ok is False), None)


class Check:
    """Finds the facts about one endpoint.

    Iterate over it for findings as they are made; ``facts`` holds them all. It ends early, and is not ``complete``,
    where nothing further can be found out.

    Raises:
        TryAgain: the endpoint does not answer, or says that it is busy.
    """

    def __init__(self, address: Address, model: str = "", images: int | None = None, timeout_s: float = 120.0):
        """Begin; nothing is sent yet.

        Args:
            address: of the endpoint.
            model: the name to use; empty: the only one that the endpoint lists.
            images: how many a prompt must be able to hold; None: one, and tell how many of ``MOST_IMAGES`` it can.
            timeout_s: for each reply.
        """
        self.facts = Facts(address.base, model)
        self._address, self._images = address, images
        self._prober = Prober(address, timeout_s)
        self.complete = False

    def __iter__(self) -> Iterator[Finding]:
        for step in (self._models, self._text, self._length, self._samples, self._seeds, self._pictures):
            for finding in step():
                self.facts.findings.append(finding)
                yield finding
            if step in (self._models, self._text) and self.facts.failure:
                return
        self.complete = True

    def _models(self) -> Iterator[Finding]:
        start = time.monotonic()
        try:
            listed = self._prober.models()
        except RequestRefused as error:
            if error.status in (401, 403):
                yield self._reachable(start)
                yield self._key_refused(error)
                return
            if error.status >= 500 and error.status != 501:
                raise self._prober.later(error) from error
            if error.status not in (404, 405, 501):
                yield Finding("reachable", False, str(error), "give the URL of an OpenAI-compatible endpoint itself")
                return
            listed = {}
        except ValueError:
            listed = {}
        yield self._reachable(start)
        choice = self._choose(list(listed))
        yield choice
        if choice.ok is False:
            return
        length = listed.get(self.facts.model, {}).get("max_model_len")
        self.facts.max_model_len = length if isinstance(length, int) else None
        if self.facts.max_model_len:
            yield Finding("context", None, f"{length} tokens", "prompt, images and distill.max_tokens must fit into it")
        else:
            yield Finding("context", None, "not told", "prompt, images and distill.max_tokens must fit into it")

    def _reachable(self, start: float) -> Finding:
        return Finding(
            "reachable", True, f"answers in {time.monotonic() - start:.2f} s", "this is distill's --endpoint"
        )

    def _choose(self, listed: list[str]) -> Finding:
        """Settle on a name; without one nothing else is tried."""
        names = one_line(", ".join(listed)) or "none"
        if not self.facts.model and len(listed) == 1:
            self.facts.model = listed[0]
            return Finding("model", True, f"{one_line(listed[0])}, the only one", "this is distill's --model")
        if not self.facts.model:
            return Finding("model", False, f"the server lists {names}", "name the one to use with --model")
        if self.facts.model in listed:
            return Finding("model", True, f"{self.facts.model}, of {names}", "this is distill's --model")
        hint = did_you_mean(self.facts.model, listed)
        return Finding("model", None, f"{self.facts.model} is not listed{hint}; listed: {names}", "it is tried anyway")

    def _text(self) -> Iterator[Finding]:
        start = time.monotonic()
        try:
            reply = self._chat(text_messages(QUESTION), max_tokens=self._room())
            seconds, answer = time.monotonic() - start, reply.answer()
        except RequestRefused as error:
            if error.status >= 500:  # of a plain request; where another one fails inside the server, that is a fact
                raise self._prober.later(error) from error
            if error.status in (401, 403):
                yield self._key_refused(error)
            elif error.status == 404:
                yield Finding("model", False, str(error), "name one that the server has with --model")
            else:
                yield Finding("text answer", False, str(error), "distill sends plain chat requests like this one")
            return
        except ValueError as error:
            yield Finding("text answer", False, str(error), "give the URL of an OpenAI-compatible endpoint itself")
            return
        yield Finding("key", True, "accepted" if self._address.key else "none asked for", _key_meaning(self._address))
        found = f"{_quoted(answer)} in {seconds:.1f} s, finish_reason {reply.ends[0] or 'missing'}"
        yield Finding("text answer", bool(answer), found, "it generates" if answer else "an empty answer is no attempt")
        place = self.facts.reasoning = reasoning_place(reply.messages[0])
        if place:
            yield Finding("reasoning", None, f"in {place}", "distill keeps it as <think>...</think> before the answer")
        else:
            cure = "right for a model without thoughts; of a reasoning model, serve it with --reasoning-parser"
            yield Finding("reasoning", None, "nowhere", cure)
        if reply.prompt_tokens and reply.completion_tokens:
            found = f"{reply.prompt_tokens} + {reply.completion_tokens} tokens"
            yield Finding("usage", True, found, "distill counts the tokens")
        else:
            yield Finding("usage", None, "not told", "distill will count 0 tokens")

    def _length(self) -> Iterator[Finding]:
        name = "max_tokens"
        try:
            reply = self._chat(text_messages(COUNT), max_tokens=FEW_TOKENS)
        except (RequestRefused, ValueError) as error:
            yield Finding(name, False, str(error), "distill sets max_tokens, and the server must take it")
            return
        found = f"{reply.completion_tokens or '?'} tokens of {FEW_TOKENS}, finish_reason {reply.ends[0] or 'missing'}"
        if reply.ends[0] == "length" and reply.completion_tokens <= FEW_TOKENS:
            yield Finding(name, True, found, "an attempt that was cut is told from a whole one")
        else:
            cure = "a cut attempt would pass for a whole one; the server must keep to max_tokens and say length"
            yield Finding(name, False, found, cure)

    def _samples(self) -> Iterator[Finding]:
        name, cure = f"n={SAMPLES}", "run distill with --config.distill.samples_per_request=1"
        try:
            texts = self._invent(SEEDS[0], SAMPLES)
        except (RequestRefused, ValueError) as error:
            yield Finding(name, False, str(error), cure)
            return
        if len(texts) != SAMPLES:
            count = f"{len(texts)} choice{'s' if len(texts) != 1 else ''} came back"
            yield Finding(name, False, count, cure)
            return
        different = len(set(texts))
        found = f"{SAMPLES} choices, {different} different"
        if different == 1:
            cure = "the server must draw each choice anew: a fixed seed or temperature of its own makes them equal"
            yield Finding(name, False, found, cure)
        elif different < SAMPLES:
            yield Finding(name, None, found, "some attempts of a question will be equal")
        else:
            yield Finding(name, True, found, "one request gives several attempts")

    def _seeds(self) -> Iterator[Finding]:
        name = "seeds"
        try:
            first, again, other = (self._invent(seed, 1)[0] for seed in (SEEDS[0], SEEDS[0], SEEDS[1]))
            parted = first != other or first != self._invent(SEEDS[2], 1)[0]
        except (RequestRefused, ValueError) as error:
            yield Finding(name, False, str(error), "distill gives every request a seed, and the server must take it")
            return
        repeats = "the same seed repeats its answer" if first == again else "the same seed gives another answer"
        if not parted:
            found, cure = "different seeds give the same answer", "distill would get one attempt again and again"
            yield Finding(name, False, found, f"{cure}: the server must take the seed of a request, not its own")
            return
        yield Finding(name, True, "different seeds give different answers", "the groups of a question differ")
        yield Finding("repeatable", None, repeats, "attempts are recorded, so that nothing depends on it")

    def _pictures(self) -> Iterator[Finding]:
        if self._images == 0:
            yield Finding("image answer", None, "not tried", "send questions without images only")
            return
        needed, most = self._images or 1, self._images or MOST_IMAGES
        without = "send questions without images only (--images=0 here), or serve a model that takes images"
        seen = self._see(without)
        yield seen
        if seen.ok is False:
            self.facts.images = 0
            return
        taken, said = self._most_pictures(most)
        self.facts.images = taken
        found = f"{taken} in a prompt" + (f"; {taken + 1} are refused: {said}" if said else ", as many as were tried")
        if taken < needed:
            yield Finding("images", False, found, f"serve it with --images={needed}, or send questions with fewer")
        else:
            yield Finding("images", True, found, "a question may have so many")

    def _see(self, cure: str) -> Finding:
        """Ask about one picture. A server that drops it answers all the same."""
        name = "image answer"
        try:
            reply = self._chat(image_messages(SEE), max_tokens=self._room() // 2)
            bare = self._chat(text_messages(SEE), max_tokens=1).prompt_tokens
        except (RequestRefused, ValueError) as error:
            return Finding(name, False, str(error), cure)
        answer = reply.answer()
        found = f"{_quoted(answer)} about an {COLOUR} picture"
        if reply.messages[0].get("refusal") or reply.ends[0] == "content_filter" or not answer:
            return Finding(name, False, f"refused: {found}, finish_reason {reply.ends[0] or 'missing'}", cure)
        added = reply.prompt_tokens - bare
        if reply.prompt_tokens and added <= _EXTRA:
            return Finding(name, False, f"{found}, which adds {added} tokens: it is dropped", cure)
        if COLOUR in answer.lower():
            return Finding(name, True, found, "questions with images can be sent")
        return Finding(name, True, found, "images are taken; whether the model sees well is another question")

    def _most_pictures(self, most: int) -> tuple[int, str]:
        """Return how many pictures a prompt may hold, up to ``most``, and what the server says to one more."""
        taken, refused, said = 1, most + 1, ""
        while refused - taken > 1:
            count = most if refused > most else (taken + refused) // 2
            try:
                self._chat(image_messages(SEE, count), max_tokens=1)
                taken = count
            except (RequestRefused, ValueError) as error:
                refused, said = count, str(error)
        return taken, said

    def _room(self) -> int:
        """Return how many tokens an answer may have: room for a thought, and for the prompt beside it."""
        return min(ANSWER_TOKENS, (self.facts.max_model_len or 2 * ANSWER_TOKENS) // 2)

    def _invent(self, seed: int, n: int) -> list[str]:
        reply = self._chat(text_messages(INVENT), n=n, seed=seed, temperature=1.0, max_tokens=SAMPLE_TOKENS)
        return reply.texts()

    def _chat(
        self, messages: Messages, max_tokens: int, n: int = 1, seed: int = SEEDS[0], temperature: float = 0.0
    ) -> Reply:
        sampling = Sampling(n=n, seed=seed, temperature=temperature, top_p=1.0, max_tokens=max_tokens)
        return self._prober.chat(self.facts.model, messages, sampling)

    def _key_refused(self, error: RequestRefused) -> Finding:
        cure = "put the right key into the variable that --api-key-env names"
        without = "name the variable that holds the key with --api-key-env"
        return Finding("key", False, str(error), cure if self._address.key else without)


def _key_meaning(address: Address) -> str:
    return "distill needs the same --api-key-env" if address.key else "distill needs no --api-key-env"


def _quoted(answer: str) -> str:
    line = one_line(answer)
    return f'"{line if len(line) <= 40 else line[:37] + "..."}"'
