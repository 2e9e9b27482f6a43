"""Which settings of two evaluations must agree for their figures to be compared, and which may be allowed to differ."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.manifests import flatten

# What may differ where the user says so, and the last part of the names of its settings: then not two models are
# compared but two models with their settings, which the result says.
ALLOWABLE = {
    "sampling": {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "greedy"},
    "budget": {"max_new_tokens", "max_tokens", "max_thinking_tokens", "answer_tokens", "force_end", "forced_end"},
    "seeds": {"seed", "seeds"},
    "prompt": {"answer_format", "suffix", "suffixes", "prompt", "prompts", "prompt_hash", "system", "system_prompt"},
    "images": {"max_pixels", "min_pixels", "max_images"},
}
# Not about settings: each side may hold benchmarks that the other lacks.
ALLOWED_NAMES = (*ALLOWABLE, "benchmarks")
# The rules that tell right from wrong: with two of them a difference says nothing of the models.
NEVER = {"verifier", "verify", "judge", "rules"}
# How the answers were fetched, or what is compared. One that differs is named in the result and does not hinder.
NOTED = {"backend", "batch", "model", "weights", "random_weights", "endpoint", "endpoints", "url", "base_url", "vllm"}
NOTED |= {"concurrency", "timeout", "retries", "cache", "server", "port", "served_model", "revision", "jax", "dtype"}
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
    if NEVER & set(parts):
        return "never"
    for kind, names in ALLOWABLE.items():
        if parts[-1] in names or any(part in names for part in parts[:-1]):
            return kind
    return "noted" if NOTED & set(parts) else ""


def _cure(name: str, kind: str) -> str:
    if kind == "never":
        return "judge both again with one verifier (`octomed eval score`)"
    return f"evaluate both alike, or compare each with its own by --allow={kind or name}"
