"""Which settings of two evaluations must agree for their figures to be compared, and which may be allowed to differ."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.manifests import flatten

# What may differ where the user says so, and the last part of the names of its settings: then not two models are
# compared but two models with their settings, which the result says.
ALLOWABLE = {
    "sampling": {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty"},
    "budget": {"max_new_tokens", "max_tokens", "force_end_of_thinking", "forced_answer_tokens", "closing"},
    "seeds": {"seed", "seeds", "weights_seed"},
    "prompt": {"answer_format", "formats_by_benchmark", "prompt", "system_prompt", "suffix"},
    "images": {"max_pixels", "max_images"},
}
# Not about settings: each side may hold benchmarks that the other lacks.
ALLOWED_NAMES = (*ALLOWABLE, "benchmarks")
# What is never allowed, and the cure: with two rules of right and wrong a difference says nothing of the models.
NEVER = {
    "verifier": "--judge judges the responses of both again, by one verifier",
    "judge": "judge both again with one judge",
    "protocol": "evaluate both with one version of this program",
}
# How the answers were fetched, what is compared, and what has a check of its own. One that differs is named in the
# result and does not hinder.
NOTED = {"backend", "batch", "model", "random_weights", "endpoint", "tokenizer", "api_key_env", "approved_access"}
NOTED |= {"in_flight", "most_failed", "patience_seconds", "vllm", "benchmarks", "samples", "level", "bootstrap"}
NOTED |= {"votes", "ties", "f1_tokens"}  # of figures that are not compared
# Without a results.json they are not known.
Settings = Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True)
class Differences:
    """The settings that differ, and did not stop the comparison.

    Attributes:
        allowed: full name to A's and B's value, where the user allowed it.
        noted: the same of settings that do not hinder.
    """

    allowed: dict[str, tuple[Any, Any]]
    noted: dict[str, tuple[Any, Any]]


def check_allowed(allow: Sequence[str]) -> None:
    """Refuse a name that nothing can be allowed by (a full name of a setting, with a point, is taken)."""
    for name in allow:
        if name not in ALLOWED_NAMES and "." not in name:
            raise UserError(
                f"--allow={name} is unknown{did_you_mean(name, ALLOWED_NAMES)}; one of {', '.join(ALLOWED_NAMES)}, or "
                "the full name of a setting"
            )


def check_settings(a: Settings, b: Settings, allow: Sequence[str]) -> Differences:
    """Return which settings differ and may.

    Raises:
        UserError: one differs that makes the figures incomparable; the first by name.
    """
    found = Differences({}, {})
    if a is None or b is None:
        return found
    left, right = flatten(a), flatten(b)
    for name in sorted(left.keys() | right.keys()):
        pair = (left.get(name), right.get(name))
        if pair[0] == pair[1]:
            continue
        kind = _kind(name)
        if kind == "noted":
            found.noted[name] = pair
        elif kind != "never" and (kind in allow or name in allow):
            found.allowed[name] = pair
        else:
            raise UserError(f"{name} is {pair[0]!r} in A and {pair[1]!r} in B; {_cure(name, kind)}")
    return found


def _kind(name: str) -> str:
    """Return ``never``, ``noted``, a name in ALLOWABLE, or an empty string for a setting that is not known here."""
    parts = name.split(".")
    if name in NEVER:
        return "never"
    if name == "eval.answer_format":  # where it is empty the student's counts; `answer_format` is the one that was used
        return "noted"
    for kind, names in ALLOWABLE.items():
        if parts[-1] in names:
            return kind
    return "noted" if NOTED & set(parts) else ""


def _cure(name: str, kind: str) -> str:
    if kind == "never":
        return NEVER[name]
    return f"evaluate both alike, or compare each with its own by --allow={kind or name}"
