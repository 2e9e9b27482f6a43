"""Refuses entries of results.json that cannot be what ``octomed eval`` writes, before a report is made of them."""

import math
from collections.abc import Mapping
from typing import Any

from octomed_jax.errors import UserError

COUNTS = ("n", "samples", "unparsed", "truncated", "failed")
# Parts of an entry that have a figure of their own, with its interval.
PARTS = {"vote": "accuracy", "closed": "accuracy", "token_f1": "mean", "rouge_l": "mean"}
_CURE = "score the samples again"


def check_figures(figures: Any, where: str) -> None:
    """Refuse a benchmark's entry whose figures cannot be ones.

    Args:
        figures: the entry.
        where: file and benchmark, for the message.

    Raises:
        UserError: they cannot.
    """
    _check_object(figures, where)
    for name in COUNTS:
        _check_count(figures, name, where)
    if figures.get("n_train") is not None:
        _check_count(figures, "n_train", where)
    _check_figure(figures, "accuracy", where)
    _check_share(figures.get("baseline"), where)
    if "wilson" in figures:
        _check_interval(figures["wilson"], "wilson", where)
    for name in ("pass_at", "maj_at"):
        table = figures.get(name) or {}
        if not isinstance(table, dict) or not all(key.isdecimal() for key in table):
            raise UserError(f"{where}: {name}={table!r} is no table of shares by k; {_CURE}")
        for value in table.values():
            _check_share(value, where)
    if figures.get("accuracy") is not None:
        if not (figures.get("wilson") and figures.get("bootstrap")):
            raise UserError(f"{where} has an accuracy without its intervals; {_CURE}")
        _check_clusters(figures.get("clusters"), where)
    _check_parts(figures, where)


def _check_parts(figures: Mapping[str, Any], where: str) -> None:
    for name, figure in PARTS.items():
        if figures.get(name) is not None:
            _check_object(figures[name], f"{where}: {name}")
            _check_count(figures[name], "n", f"{where}: {name}")
            _check_figure(figures[name], figure, f"{where}: {name}")
    if figures.get("vote") is not None:
        _check_count(figures["vote"], "of", f"{where}: vote")
    if figures.get("label_f1") is not None:
        labels = figures["label_f1"]
        _check_object(labels, f"{where}: label_f1")
        _check_count(labels, "n", f"{where}: label_f1")
        _check_object(labels.get("micro"), f"{where}: label_f1: micro")
        for value in (labels["micro"].get("f1"), labels.get("macro_f1")):
            _check_share(value, f"{where}: label_f1")
    if figures.get("thinking_tokens") is not None:
        _check_object(figures["thinking_tokens"], f"{where}: thinking_tokens")
        for kind in ("right", "wrong"):
            if spread := figures["thinking_tokens"].get(kind):
                _check_object(spread, f"{where}: thinking_tokens: {kind}")
                _check_object(spread.get("quantiles"), f"{where}: thinking_tokens: {kind}: quantiles")
                _check_count(spread["quantiles"], "50", f"{where}: thinking_tokens: {kind}: quantiles")


def check_category(figures: Any, where: str) -> None:
    """Refuse a category's entry whose figures cannot be ones.

    Args:
        figures: the entry.
        where: file and category, for the message.

    Raises:
        UserError: they cannot.
    """
    _check_object(figures, where)
    for name in ("overall", "partial"):
        _check_figure(figures, name, where)
        if figures.get(name) is not None and figures.get("bootstrap") is None:
            raise UserError(f"{where} has a mean without its interval; {_CURE}")
    for name in ("benchmarks", "missing", "short"):
        if not isinstance(figures.get(name), list) or not all(isinstance(one, str) for one in figures[name]):
            raise UserError(f"{where}: {name}={figures.get(name)!r} is no list of names; {_CURE}")
    if not isinstance(figures.get("label"), str):
        raise UserError(f"{where}: label={figures.get('label')!r} is no text; {_CURE}")


def check_calibration(figures: Mapping[str, Any], where: str) -> None:
    """Refuse figures of length against difficulty that cannot be ones; none at all are well.

    Args:
        figures: the part of that name.
        where: the file, for the message.

    Raises:
        UserError: they cannot.
    """
    if not figures.get("benchmarks"):
        return
    for name in ("benchmarks", "across", "within"):
        _check_object(figures.get(name), f"{where}: calibration: {name}")
    parts = {"all": figures, **figures["benchmarks"]}
    for name, one in parts.items():
        _check_object(one, f"{where}: calibration: {name}")
        _check_object(one.get("within"), f"{where}: calibration: {name}: within")
        for view in ("finished", "with_cut", "apart"):
            _check_object(one["within"].get(view), f"{where}: calibration: {name}: {view}")


def _check_figure(figures: Mapping[str, Any], name: str, where: str) -> None:
    """Refuse a figure that is no share, or whose interval, where it has one, is none."""
    _check_share(figures.get(name), where)
    _check_interval(figures.get("bootstrap"), "bootstrap", where)


def _check_object(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise UserError(f"{where} is {type(value).__name__}, not an object; {_CURE}")


def _check_count(figures: Mapping[str, Any], name: str, where: str) -> None:
    if type(figures.get(name)) is not int or figures[name] < 0:
        raise UserError(f"{where}: {name}={figures.get(name)!r} is no count; {_CURE}")


def _check_interval(ends: Any, name: str, where: str) -> None:
    if ends is None:
        return
    if not (isinstance(ends, list) and len(ends) == 2 and None not in ends):
        raise UserError(f"{where}: {name}={ends!r} is no interval; {_CURE}")
    for end in ends:
        _check_share(end, where)
    if ends[0] > ends[1]:
        raise UserError(f"{where}: {name}={ends!r} is no interval; {_CURE}")


def _check_share(value: Any, where: str) -> None:
    if value is not None and not (_is_number(value) and 0 <= value <= 1):
        raise UserError(f"{where}: {value!r} is no share between 0 and 1; {_CURE}")


def _check_clusters(table: Any, where: str) -> None:
    rows = table if isinstance(table, list) else []
    if not rows or not all(isinstance(row, list) and len(row) == 3 and all(map(_is_number, row)) for row in rows):
        raise UserError(f"{where} has no clusters to draw from; {_CURE}")
    if not all(size >= 1 and count >= 1 for _, size, count in rows):
        raise UserError(f"{where} has clusters without a question; {_CURE}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
