"""Counts what a folder of shards holds: the numbers of the paper's Figure 2, and the same by source and so on.

Shards are read once, a record at a time. What is held beside it: the counts, some 30 bytes of a question and 8 of an
image (see ``KeyCounter``), and the place of each image among the values of each field.
"""

import dataclasses
import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from octomed_jax import progress, prompts
from octomed_jax.errors import StopAndLook
from octomed_jax.evaluation.data_card_keys import KeyCounter, Keys, image_hashes, short
from octomed_jax.evaluation.data_card_lengths import BATCH_CHARACTERS, Tokens, summary
from octomed_jax.manifests import Manifest
from octomed_jax.schema import Question, Record
from octomed_jax.storage import sha256_bytes
from octomed_jax.traces.shards import ShardReader

FIELDS = ("source", "benchmark", "task", "modality", "body_region")
TEXT_ONLY, UNLABELLED = "text only", "not labelled"
SAMPLES_EACH = 2  # of a source


@dataclasses.dataclass
class Group:
    """What is counted of the questions that share a value of a field."""

    questions: int = 0
    instances: int = 0
    question_tokens: int = 0
    response_tokens: int = 0
    images: "array[int]" = dataclasses.field(default_factory=lambda: array("Q"))

    def row(self, with_tokens: bool) -> dict[str, Any]:
        """Return the counts, with how many different images there are."""
        row: dict[str, Any] = {
            "questions": self.questions,
            "instances": self.instances,
            "unique_images": _different(self.images),
        }
        if with_tokens:
            row["mean_question_tokens"] = round(self.question_tokens / self.questions, 2)
            row["mean_response_tokens"] = round(self.response_tokens / self.instances, 2)
        return row


class Tally:
    """Takes records one by one."""

    def __init__(self, tokens: Tokens | None):
        """``tokens`` counts lengths; None: they are not counted."""
        self.groups: dict[str, dict[str, Group]] = {field: {} for field in FIELDS}
        self.counts: Counter[str] = Counter()
        self.traces: Counter[int] = Counter()
        self.licences: dict[str, Counter[str]] = {}
        self.access: dict[str, Counter[str]] = {}
        self._keys, self._tokens = KeyCounter(), tokens
        self._lengths: dict[str, Counter[int]] = {"question": Counter(), "response": Counter()}
        self._samples: dict[str, list[tuple[int, int]]] = {}
        self._waiting: list[tuple[list[Group], str, tuple[str, ...]]] = []
        self._characters = 0

    def add(self, number: int, record: Record) -> None:
        """Add a record by its number in the shards."""
        question, responses = record.question, record.responses
        hashes = [short(digest) for digest in image_hashes(question)]
        groups = [self.groups[field].setdefault(value_of(question, field), Group()) for field in FIELDS]
        for group in groups:
            group.questions += 1
            group.instances += len(responses)
            group.images.extend(hashes)
        self.counts.update(questions=1, instances=len(responses), images=len(hashes))
        self.counts["vision_language" if question.images else "text_only"] += len(responses)
        self.counts["questions_with_images"] += bool(question.images)
        self.traces[len(responses)] += 1
        self.licences.setdefault(question.source, Counter())[question.licence] += 1
        self.access.setdefault(question.source, Counter())[question.access] += 1
        self._keys.add(question)
        self._choose(number, question)
        if self._tokens:
            self._waiting.append((groups, prompts.ask(question, "").rstrip("\n"), responses))
            self._characters += sum(map(len, responses))
            if self._characters >= BATCH_CHARACTERS:
                self._encode()

    def _choose(self, number: int, question: Question) -> None:
        """Keep the open questions of each source whose ids have the least hashes."""
        if question.access == "open":
            held = self._samples.setdefault(question.source, [])
            place = (-short(sha256_bytes(question.id.encode())), number)
            (heapq.heappush if len(held) < SAMPLES_EACH else heapq.heappushpop)(held, place)

    def _encode(self) -> None:
        assert self._tokens is not None
        texts = [text for _, question, responses in self._waiting for text in (question, *responses)]
        lengths = iter(self._tokens.count(texts))
        for groups, _, responses in self._waiting:
            asked = next(lengths)
            written = [next(lengths) for _ in responses]
            self._lengths["question"][asked] += 1
            self._lengths["response"].update(written)
            for group in groups:
                group.question_tokens += asked
                group.response_tokens += sum(written)
        self._waiting.clear()
        self._characters = 0

    def samples(self) -> dict[str, list[int]]:
        """Return the numbers of the records to be shown, by source."""
        return {source: [place for _, place in sorted(held, reverse=True)] for source, held in self._samples.items()}

    def finish(self) -> tuple[dict[str, Any], Keys]:
        """Return the part of card.json that is counted, and the hashes of what there is."""
        if self._tokens:
            self._encode()
        keys = self._keys.keys()
        names = ("instances", "vision_language", "text_only", "questions", "questions_with_images", "images")
        counts: dict[str, Any] = {name: self.counts[name] for name in names}
        counts |= {"unique_images": len(keys.images), "unique_questions": len(keys.questions)}
        counts["traces_per_question"] = round(counts["instances"] / max(1, counts["questions"]), 2)
        lengths = {name: summary(found) for name, found in self._lengths.items()}
        by = {field: _rows(groups, self._tokens is not None) for field, groups in self.groups.items()}
        return {
            "counts": counts,
            "lengths": {"tokenizer": self._tokens.identity, **lengths} if self._tokens else None,
            "traces_per_question": {str(count): self.traces[count] for count in sorted(self.traces)},
            "by": by,
        }, keys


def value_of(question: Question, field: str) -> str:
    """Return what a question is counted under; one without a label is told apart by whether it has images."""
    return getattr(question, field) or (UNLABELLED if question.images else TEXT_ONLY)


def _rows(groups: Mapping[str, Group], with_tokens: bool) -> dict[str, Any]:
    """Return value to counts, those with most instances first."""
    order = sorted(groups, key=lambda name: (-groups[name].instances, name))
    return {name: groups[name].row(with_tokens) for name in order}


def _different(values: "array[int]") -> int:
    return len(np.unique(np.frombuffer(values, np.uint64))) if len(values) else 0


def count_shards(folder: Path, manifest: Manifest, tokens: Tokens | None) -> Tally:
    """Count the records of a folder of shards.

    Raises:
        StopAndLook: a shard is damaged, or there are more or fewer records than the manifest says.
    """
    tally = Tally(tokens)
    reader = ShardReader(folder)
    with progress.bar("data card", len(reader), "questions") as line:
        for number, record in enumerate(reader):
            tally.add(number, record)
            line.advance()
    _check(folder, tally.counts, manifest.counts)
    return tally


def _check(folder: Path, found: Mapping[str, int], told: Mapping[str, Any]) -> None:
    for name, mine in (("records", "questions"), ("examples", "instances")):
        if told.get(name) != found[mine]:
            raise StopAndLook(
                f"{folder} holds {found[mine]:,} {name}, its manifest says {told.get(name)}; a shard is missing or not "
                "its own: write the shards again"
            )


def licence_rows(tally: Tally) -> dict[str, Any]:
    """Return source to its licences and access classes, each with how many questions have it."""
    return {
        source: {
            "licences": dict(sorted(tally.licences[source].items())),
            "access": dict(sorted(tally.access[source].items())),
        }
        for source in sorted(tally.licences)
    }


def access_of(tally: Tally) -> dict[str, str]:
    """Return source to the strictest access class of its questions."""
    return {source: "open" if set(found) == {"open"} else "credentialed" for source, found in tally.access.items()}


def not_open(tally: Tally) -> dict[str, int]:
    """Return source to how many of its questions are not open, and so are not shown."""
    counts = {source: sum(found.values()) - found["open"] for source, found in sorted(tally.access.items())}
    return {source: count for source, count in counts.items() if count}


def sample_numbers(samples: Mapping[str, Iterable[int]]) -> list[int]:
    """Return the numbers of all records to be shown, by source in alphabetical order."""
    return [number for _, numbers in sorted(samples.items()) for number in numbers]
