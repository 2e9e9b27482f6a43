"""What is trained on: which of the accepted responses to a question, and in which form (``config.traces``).

A pure function of a row of the lake and the settings, whatever the order of the files and the number of workers.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import manifests
from octomed_jax.configuration import plain
from octomed_jax.errors import UserError, did_you_mean
from octomed_jax.progress import say
from octomed_jax.schema import Record
from octomed_jax.storage import PathLike
from octomed_jax.traces.answer_form import LEFT_OUT, Marker, direct_answer
from octomed_jax.traces.grouped import accepted, record_of

TRACES: dict[str, Any] = {
    "per_question": 0,  # the most accepted traces of a question; 0: all. The paper: 16
    "choose": "first",  # which: first, random, shortest, or balanced (over the lengths)
    "format": "cot",  # the whole response; direct: the answer alone (the paper's Table 1)
    "answer_format": "as_written",  # how the answer is marked: as the teacher did, boxed, or tag
    "release": False,  # refuse what may not be passed on: licences.check_release
    "permitted": (),  # sources whose terms somebody has read, and found that they allow a release
    "leave_out": (),  # sources of which nothing comes
}
NOT_CHOSEN = "not_chosen"
SOURCES = ("permitted", "leave_out")  # they name the records only where they are not empty
CHOICES = {
    "choose": ("first", "random", "shortest", "balanced"),
    "format": ("cot", "direct"),
    "answer_format": ("as_written", "boxed", "tag"),
}


def settings_of(config: ConfigDict) -> dict[str, Any]:
    """Return ``config.traces`` checked, as plain data on which the records depend; a field it lacks is as in TRACES.

    ``seed`` is among it where something is drawn.

    Raises:
        UserError: a field or a value is unknown, or two do not go together.
    """
    given = plain(config.traces)
    for name in given:
        if name not in TRACES:
            hint = did_you_mean(name, list(TRACES))
            raise UserError(f"config.traces has no field {name!r}{hint}; it has {', '.join(TRACES)}")
    settings = {**TRACES, **given}
    count = settings["per_question"]
    if type(count) is not int or count < 0:
        raise UserError(f"config.traces.per_question={count!r}: 1 or more traces a question, or 0 for all")
    for name, known in CHOICES.items():
        if settings[name] not in known:
            hint = did_you_mean(str(settings[name]), known)
            raise UserError(f"config.traces.{name}={settings[name]!r} is unknown{hint}; one of {', '.join(known)}")
    if not isinstance(settings["release"], bool):
        raise UserError(f"config.traces.release={settings['release']!r}: True or False")
    for name in SOURCES:
        sources = settings.pop(name)
        if isinstance(sources, str) or not all(isinstance(source, str) for source in sources):
            raise UserError(f"config.traces.{name}={sources!r}: names of sources, such as ('medqa',)")
        if sources:
            settings[name] = sorted(set(sources))
    if settings["format"] == "direct" and settings["answer_format"] != "as_written":
        raise UserError(
            f"config.traces: answer_format={settings['answer_format']!r} marks an answer that follows a thought, and "
            "format='direct' has none; leave answer_format at as_written"
        )
    return settings | ({"seed": config.seed} if settings["choose"] == "random" else {})


def check_written(config: ConfigDict, shards: PathLike) -> None:
    """Refuse finished shards whose records were chosen otherwise than ``config.traces`` asks for.

    The seed is not looked at: a run may have another one than the shards.

    Raises:
        UserError: they were, or there are no finished shards.
    """
    written = manifests.read_manifest(shards, "shard").config.get("traces")
    if written is None:  # records that were in no lake: nothing was chosen
        return
    asked, found = {**TRACES, **settings_of(config)}, {**TRACES, **written}
    for name in TRACES:
        if asked[name] != (there := found[name]):
            raise UserError(
                f"config.traces.{name}={asked[name]!r}, but {shards} was written with {there!r}; give the config "
                "that it was made with, or write shards of this one into another folder with `octomed shard`"
            )


def training_record(
    row: Mapping[str, Any], settings: Mapping[str, Any], left_out: "Counter[str] | None" = None
) -> Record | None:
    """Return a question with the responses that are trained on; None where there is none.

    Every accepted response is first brought into its form. Then at most ``per_question`` are taken: identical ones
    (same text, same option order) again only where there are not enough different ones, and the answers alone, which
    are all equal, once for each option order. What is taken stands in the order of its samples.

    - first: in the order of their samples; where there are several teachers, these take turns.
    - random: by a hash of the seed, the question's id and the sample, so that more traces hold those of fewer.
    - shortest: by completion tokens where one teacher wrote all and all were counted, else by characters.
    - balanced: sorted by that length and cut into ``per_question`` parts of equal number: the middle one of each part.

    Args:
        row: of LAKE_SCHEMA.
        settings: of ``settings_of``.
        left_out: counts the accepted responses that cannot be had in the form, by reason (``answer_form.LEFT_OUT``),
            and as NOT_CHOSEN the others that were not taken.
    """
    settings = {**TRACES, **settings}
    if row["source"] in settings["leave_out"]:
        return None
    places = sorted(accepted(row), key=lambda place: row["attempts"][place]["sample_index"])
    if not places:
        return None
    record = record_of(row, places)
    lost: Counter[str] = Counter()
    if settings["format"] == "direct":
        texts = [direct_answer(record.shown(number), text) for number, text in enumerate(record.responses)]
    elif settings["answer_format"] != "as_written":
        texts = _marked(row, places, record, settings["answer_format"], lost)
    else:
        texts = list(record.responses)
    kept = [number for number, text in enumerate(texts) if text]
    new, copies = _without_copies(kept, texts, record)
    attempts = [row["attempts"][place] for place in places]
    rank = _RANKS[settings["choose"]](row["id"], attempts, texts, settings.get("seed", 0))
    most = settings["per_question"] or len(kept)
    chosen = rank(new, most)
    if settings["format"] != "direct":
        chosen = chosen + rank(copies, most - len(chosen))
    if left_out is not None:
        left_out.update(lost + Counter({NOT_CHOSEN: len(places) - len(chosen) - lost.total()}))
    if not chosen:
        return None
    taken = record_of(row, [places[number] for number in sorted(chosen)])
    return dataclasses.replace(taken, responses=tuple(texts[number] for number in sorted(chosen)))


def tell_left_out(left_out: Mapping[str, int], not_chosen: int) -> None:
    """Say which accepted responses cannot be had in the form that is asked for, and how many others are not taken."""
    if not_chosen:
        say(f"shard: {not_chosen:,} accepted responses not chosen, as config.traces says")
    for reason, count in sorted(left_out.items()):
        say(f"shard: {count:,} accepted responses left out ({reason}): {LEFT_OUT[reason]}")


def _marked(
    row: Mapping[str, Any], places: Sequence[int], record: Record, form: str, left_out: "Counter[str]"
) -> list[str]:
    """Return the responses with their answers in the form; empty where that cannot be."""
    markers: dict[Any, Marker] = {}
    texts = []
    for number, (place, response) in enumerate(zip(places, record.responses, strict=True)):
        order = record.option_orders[number] if record.option_orders else ()
        if order not in markers:
            markers[order] = Marker(record.shown(number), form)
        text, reason = markers[order].mark(response, row["verdicts"][place])
        if reason:
            left_out[reason] += 1
        texts.append(text)
    return texts


def _without_copies(numbers: Sequence[int], texts: Sequence[str], record: Record) -> tuple[list[int], list[int]]:
    """Return those that differ from all before them, and the copies."""
    seen: set[Any] = set()
    new: list[int] = []
    copies: list[int] = []
    unmoved = tuple(range(len(record.question.options)))
    for number in numbers:
        key = (texts[number], (record.option_orders[number] if record.option_orders else ()) or unmoved)
        (copies if key in seen else new).append(number)
        seen.add(key)
    return new, copies


# ------------------------------------------------------------------------------------------------ which are taken
# Each takes the question's id, all accepted attempts with their texts, and the seed, and returns what takes so many
# out of some of them.

Take = Callable[[Sequence[int], int], list[int]]


def _first(_id: str, attempts: Sequence[Mapping[str, Any]], _texts: Sequence[str], _seed: int) -> Take:
    def take(numbers: Sequence[int], most: int) -> list[int]:
        turns: Counter[str] = Counter()
        order = []
        for number in numbers:
            teacher = attempts[number]["teacher"]
            order.append((turns[teacher], number))
            turns[teacher] += 1
        return [number for _, number in sorted(order)[:most]]

    return take


def _random(question: str, attempts: Sequence[Mapping[str, Any]], _texts: Sequence[str], seed: int) -> Take:
    def draw(number: int) -> bytes:
        return hashlib.sha256(f"{seed}:{question}:{attempts[number]['sample_index']}".encode()).digest()

    return lambda numbers, most: sorted(numbers, key=draw)[:most]


def _shortest(_id: str, attempts: Sequence[Mapping[str, Any]], texts: Sequence[str], _seed: int) -> Take:
    lengths = _lengths(attempts, texts)
    return lambda numbers, most: sorted(numbers, key=lambda number: (lengths[number], number))[:most]


def _balanced(question: str, attempts: Sequence[Mapping[str, Any]], texts: Sequence[str], seed: int) -> Take:
    ordered = _shortest(question, attempts, texts, seed)

    def take(numbers: Sequence[int], most: int) -> list[int]:
        found, parts = ordered(numbers, len(numbers)), min(most, len(numbers))
        return [found[(2 * part + 1) * len(found) // (2 * parts)] for part in range(parts)]

    return take


_RANKS = {"first": _first, "random": _random, "shortest": _shortest, "balanced": _balanced}


def _lengths(attempts: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> list[int]:
    """Return the length of each response; tokens of two teachers do not compare."""
    tokens = [attempt["completion_tokens"] or 0 for attempt in attempts]
    if all(count > 0 for count in tokens) and len({attempt["teacher"] for attempt in attempts}) == 1:
        return tokens
    return [len(text) for text in texts]
