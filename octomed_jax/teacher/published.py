"""Attempts that somebody else asked for: the responses of a published set, judged and kept as those of a run are.

What is not known of them stays unknown: how they ended, what they cost, and how the question was put. They are never
taken as right because they were published.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from etils import epath

from octomed_jax import manifests, progress, storage
from octomed_jax.errors import UserError
from octomed_jax.manifests import Manifest
from octomed_jax.questions.reading.responses import UNKNOWN, Responses
from octomed_jax.schema import ATTEMPT_SCHEMA, Attempt, Question, with_option_order
from octomed_jax.teacher.merge import write_parts
from octomed_jax.teacher.plan import judged
from octomed_jax.teacher.reply import Choice, read_message
from octomed_jax.teacher.script import NAME as PROGRAM
from octomed_jax.teacher.shards import QUESTIONS, carry
from octomed_jax.teacher.tally import Tally
from octomed_jax.verification.check import VERIFIER_VERSION

STAGE = "distill"  # the folder is what that stage writes, and is read by all that read it
CARD = "card.md"
NO_SEED = -1
TEACHER_CHARACTERS = 200
TABLE_ROWS, TABLE_BYTES = 4096, 16 * 2**20  # after which attempts in memory are written


def check_teacher(name: str) -> str:
    """Return the name of a teacher as it is kept.

    Raises:
        UserError: it is none that a table or a card can show.
    """
    bare = name.strip()
    if not bare or not bare.isprintable() or len(bare) > TEACHER_CHARACTERS:
        raise UserError(f"--teacher={name[:40]!r} is no name; say in one line who wrote the responses, such as gpt-4o")
    return bare


def settings_of(teacher: str, source: str) -> dict[str, Any]:
    """Return what the attempts depend on besides the questions folder, as their manifest has it."""
    return {"teacher": teacher, "published": source}


def attempts_at(question: Question, groups: Sequence[Responses], teacher: str) -> list[Attempt]:
    """Return the attempts at a question, each with its verdict; every group counts as one request."""
    found: list[Attempt] = []
    for number, group in enumerate(groups):
        shown = with_option_order(question, group.option_order)
        fields: dict[str, Any] = {
            "question_id": question.id,
            "teacher": teacher,
            "prompt_tokens": 0,
            "verifier": VERIFIER_VERSION,
            "option_order": group.option_order,
            "group": number,
            "seed": NO_SEED,
            "request_hash": _asked(shown, teacher),
        }
        choices = [Choice(*read_message({"content": text}, end), end, 0) for text, end in group.texts]
        found += judged(shown, choices, len(found), fields)
    return found


def _asked(shown: Question, teacher: str) -> str:
    """Return the hash of what is known of a request: the words around the question are not."""
    asked = {"model": teacher, "question": shown.question, "options": shown.options, "images": shown.image_hashes}
    return storage.fingerprint(asked)


def write_attempts(
    folder: epath.Path,
    answered: Iterable[tuple[Question, Sequence[Responses]]],
    responses: int,
    questions: storage.PathLike,
    teacher: str,
    source: str,
) -> Manifest:
    """Write a finished attempts folder, as ``octomed distill`` would; a few thousand attempts are in memory at a time.

    Args:
        folder: empty.
        answered: all questions of ``questions`` in the order of their ids, each with what was answered, if anything.
        responses: how many there are, for the progress shown.
        questions: the finished questions folder.
        teacher: who wrote the responses.
        source: the name of the set.
    """
    before = manifests.read_manifest(questions, *manifests.QUESTION_STAGES)
    counts, tally = {"questions": 0, "questions_with_responses": 0}, Tally()

    def tables() -> Iterator[pa.Table]:
        held: list[dict[str, Any]] = []
        size = 0
        with progress.bar("judging", responses, "responses") as line:
            for question, groups in answered:
                attempts = attempts_at(question, groups, teacher)
                counts["questions"] += 1
                counts["questions_with_responses"] += bool(attempts)
                held += map(vars, attempts)
                size += sum(len(attempt.response) + len(attempt.reasoning) for attempt in attempts)
                if len(held) >= TABLE_ROWS or size >= TABLE_BYTES:
                    yield _counted(held, tally)
                    held, size = [], 0
                line.advance(len(attempts))
        if held:
            yield _counted(held, tally)

    parts = write_parts(tables(), folder / "attempts")
    carry(epath.Path(questions) / QUESTIONS, folder / QUESTIONS)
    manifest = Manifest(
        stage=STAGE,
        config=settings_of(teacher, source),
        inputs={"questions": before.identity},
        counts={**counts, **tally.told(), "saved_requests": 0},
        files={
            **{path.relative_to(folder).as_posix(): storage.sha256_file(path) for path in parts},
            QUESTIONS: before.files[QUESTIONS],
        },
        licences=before.licences,
        access=before.access,
        extra={
            "teacher": teacher,
            "teachers": [
                {"name": "published", "model": teacher, "takes": "any", "terms": "", "prompt": UNKNOWN}
                | {"programmatic": teacher.startswith(PROGRAM)}
            ],
            "verifier": VERIFIER_VERSION,
        },
    )
    storage.write_text(folder / CARD, _card(manifest))
    manifests.write_manifest(folder, manifest)
    return manifest


def _counted(rows: Sequence[dict[str, Any]], tally: Tally) -> pa.Table:
    table = pa.Table.from_pylist(list(rows), schema=ATTEMPT_SCHEMA)
    tally.add(table)
    return table


def _card(manifest: Manifest) -> str:
    """Return the card as Markdown."""
    counts, source = manifest.counts, manifest.config["published"]
    lines = [
        "# Attempts",
        "",
        f"Made by `octomed questions build --source={source} --attempts`: the responses that the set was published "
        "with, whatever the verifier says of them.",
        "",
        f"- Written by: `{manifest.config['teacher'].replace('`', chr(39))}`, as whoever built this folder said",
        "- Prompt, sampling and tokens: unknown",
        f"- Licences: {', '.join(manifest.licences) or 'none stated'}",
        f"- Access: {manifest.access}",
        f"- Made from the questions folder `{manifest.inputs['questions']}`",
        "",
        "| what | count |",
        "| --- | ---: |",
    ]
    for name in ("questions", "questions_with_responses", "attempts", "long_samples", "copies"):
        lines.append(f"| {name.replace('_', ' ')} | {counts[name]} |")
    for name in ("verdicts", "finish_reasons"):
        lines += [f"| {name.removesuffix('s').replace('_', ' ')}: {key} | {n} |" for key, n in counts[name].items()]
    lines += ["", f"Verdicts are of verifier {manifest.extra['verifier']}; `octomed verify` judges them again.", ""]
    return "\n".join(lines)
