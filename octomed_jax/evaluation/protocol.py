"""``config.eval``: how a model is asked and by what, checked before anything is done (docs/evaluation-backends.md)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from octomed_jax.configuration import answer_format_of, plain
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.prompts import SUFFIXES, user_text
from octomed_jax.schema import ACCESS_CLASSES, Question

PROTOCOL_VERSION = 1  # of what a question and a setting come to; raised when the same config asks in another way
BACKENDS = ("jax", "vllm", "endpoint")
# What ends a thought that has used up its budget, and begins the answer. S1 appends the end of thinking and "Final
# Answer:"; how the paper spells it is not published.
CLOSING = "\n</think>\n\nFinal Answer:"

# Every field with the paper's value, where it has one. A config takes them over, and names what it has otherwise.
EVAL: dict[str, Any] = {
    "backend": "jax",  # jax: our own generation; vllm: a server that is started and ended; endpoint: one that is there
    "benchmarks": (),  # that are measured: names, categories, folders of questions; empty: all of the questions
    "temperature": 0.6,
    "top_p": 0.95,
    "seeds": 5,  # samples of each question
    "votes": 0,  # also the majority of so many of them, at most as many as seeds; the paper: 10 in some cells. 0: none
    "max_new_tokens": 8192,
    "max_pixels": 262144,  # larger images are made smaller before they are sent
    "max_images": 10,  # of a question; one with more is refused
    "answer_format": "",  # how an answer is to be marked: boxed, tag or direct; empty: as in training
    "formats_by_benchmark": True,  # but the legacy VQA sets directly, and reports as such: as the registry has it
    "force_end_of_thinking": True,  # end a thought that has used up the tokens, and let the model answer
    "forced_answer_tokens": 512,  # for that answer, on top of max_new_tokens; the paper: not published
    "f1_tokenizer": "",  # folder of the tokenizer that token F1 counts by, such as GPT-2's (the paper's); empty: words
    "batch": 8,  # prompts at once; jax alone
    "endpoint": "",  # its URL; endpoint alone, as all up to tokenizer
    "model": "",  # the name that it knows
    "api_key_env": "",  # NAME of the environment variable that holds the key
    "approved_access": ("open",),  # access classes of questions that may be sent to it
    "tokenizer": "",  # folder of the model's tokenizer and template; empty: tokens are counted by the endpoint
    "in_flight": 64,  # requests at a time; endpoint and vllm, as the next two
    "most_failed": 0.01,  # share of the requests that may fail for good before the run stops
    "patience_seconds": 600.0,  # without any reply, before it is left for another time
    "vllm": {
        "command": "vllm",  # the executable, as a name on PATH or a path
        "dtype": "auto",
        "tensor_parallel_size": 1,
        "data_parallel_size": 1,
        "max_num_seqs": 0,  # responses that are written at once; 0: vLLM's own choice
        "gpu_memory_utilization": 0.0,  # share of a GPU's memory; 0: vLLM's own choice
        "extra": (),  # further words for `vllm serve`
        "start_seconds": 1800.0,  # for the first token
    },
}

# Fields of no effect on a sample, and those that only some back ends look at.
_NOT_IN_RESULT = ("endpoint", "api_key_env", "approved_access", "in_flight", "most_failed", "patience_seconds")
_OF_BACKEND = {"batch": ("jax",), "model": ("endpoint",), "tokenizer": (), "f1_tokenizer": (), "vllm": ("vllm",)}
_NOT_OF_SERVER = ("command", "start_seconds")


# Of no effect on how one sample is drawn; what a question is asked is in its text.
_NOT_SAMPLING = ("seeds", "votes", "max_images", "formats_by_benchmark")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How every question is asked; see ``EVAL``."""

    temperature: float
    top_p: float
    max_new_tokens: int
    seeds: int
    votes: int
    max_pixels: int
    max_images: int
    answer_format: str
    formats_by_benchmark: bool
    force_end_of_thinking: bool
    forced_answer_tokens: int

    @property
    def sampling(self) -> dict[str, Any]:
        """What decides how the tokens of one sample are drawn, its seed apart."""
        fields = dataclasses.asdict(self)
        for name in _NOT_SAMPLING + (() if self.force_end_of_thinking else ("forced_answer_tokens",)):
            fields.pop(name)
        return fields

    def format_of(self, question: Question) -> str:
        """Return in which format a question is asked, one of ``prompts.FORMATS``."""
        return self.format_for(question.benchmark)

    def format_for(self, benchmark: str) -> str:
        """Return in which format the questions of a benchmark are asked."""
        from octomed_jax.evaluation.benchmarks import OWN_STYLES, benchmark_of  # late: configs take EVAL from here

        one = benchmark_of(benchmark) if self.formats_by_benchmark else None
        return one.style if one and one.style in OWN_STYLES else self.answer_format

    def text_of(self, question: Question) -> str:
        """Return the user turn of a question."""
        return user_text(question, self.format_of(question))

    def budget(self, closing_tokens: int) -> int:
        """Return the most tokens that may follow a prompt, the text that ends a thought being so many."""
        forced = closing_tokens + self.forced_answer_tokens if self.force_end_of_thinking else 0
        return self.max_new_tokens + forced


def read_protocol(config: ConfigDict) -> Protocol:
    """Read and check ``config.eval``.

    Raises:
        UserError: a field is missing or out of its range, naming it.
    """
    settings = config.eval
    _check_fields(settings)
    fields = {field.name: settings[field.name] for field in dataclasses.fields(Protocol)}
    fields["answer_format"] = settings.answer_format or answer_format_of(config)
    if fields["answer_format"] not in SUFFIXES:
        raise UserError(
            f"config.eval.answer_format={fields['answer_format']!r}: one of {', '.join(SUFFIXES)}, or empty"
        )
    return Protocol(**fields)


def _check_fields(settings: ConfigDict) -> None:
    for part, known in ((settings, EVAL), (settings.get("vllm") or {}, EVAL["vllm"])):
        where = "config.eval" if part is settings else "config.eval.vllm"
        for name in known:
            if name not in part:
                raise UserError(f"{where} lacks the field {name!r}; octomed_jax/evaluation/protocol.py has them all")
    if settings.backend not in BACKENDS:
        hint = did_you_mean(settings.backend, BACKENDS)
        raise UserError(f"eval.backend={settings.backend!r} is unknown{hint}; one of: {', '.join(BACKENDS)}")
    least: Mapping[str, float] = dict.fromkeys(
        ("seeds", "max_new_tokens", "max_pixels", "forced_answer_tokens", "batch", "in_flight"), 1
    ) | dict.fromkeys(("votes", "max_images", "most_failed", "patience_seconds"), 0)
    for name, smallest in least.items():
        if settings[name] < smallest:
            raise UserError(f"config.eval.{name}={settings[name]}: it must be at least {smallest}")
    if settings.votes > settings.seeds:
        raise UserError(
            f"config.eval.votes={settings.votes} is more than config.eval.seeds={settings.seeds}, the samples of a "
            "question; raise seeds to as many, or lower votes"
        )
    if not 0 <= settings.temperature <= 2 or not 0 < settings.top_p <= 1:
        raise UserError(
            f"config.eval: temperature={settings.temperature} or top_p={settings.top_p} is out of range "
            "(0 to 2, and above 0 to 1)"
        )
    for access in settings.approved_access:
        if access not in ACCESS_CLASSES:
            raise UserError(f"config.eval.approved_access: {access!r} is none of {', '.join(ACCESS_CLASSES)}")
    if settings.backend == "endpoint" and not (settings.endpoint and settings.model):
        raise UserError(
            "eval.backend='endpoint' needs config.eval.endpoint and config.eval.model (--endpoint=URL --model=NAME)"
        )


def result_settings(config: ConfigDict) -> dict[str, Any]:
    """Return the part of ``config.eval`` on which samples depend."""
    settings = plain(config.eval)
    backend = settings["backend"]
    kept = {
        name: value
        for name, value in settings.items()
        if name not in _NOT_IN_RESULT and backend in _OF_BACKEND.get(name, BACKENDS)
    }
    if "vllm" in kept:
        kept["vllm"] = {name: value for name, value in kept["vllm"].items() if name not in _NOT_OF_SERVER}
    return kept
