"""Measure a model on held-out questions: samples and their verdicts, then the figures of each benchmark.

A run that was killed is gone on with by the same command: what came back is in a journal. A request that failed is
asked again, also where the run was finished with it.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import manifests, progress, storage
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.evaluation import journal as journals
from octomed_jax.evaluation.backends.base import Answer, Asked, Backend
from octomed_jax.evaluation.backends.choose import open_backend
from octomed_jax.evaluation.checks import check_access, check_images
from octomed_jax.evaluation.journal import Journal, key_of
from octomed_jax.evaluation.protocol import CLOSING, PROTOCOL_VERSION, Protocol, read_protocol, result_settings
from octomed_jax.evaluation.question_sets import choose
from octomed_jax.evaluation.sample_rows import read_rows
from octomed_jax.evaluation.scoring import scored
from octomed_jax.evaluation.seen_in_run import look_up, trained_inputs
from octomed_jax.evaluation.text_overlap import SIMPLE, open_tokens
from octomed_jax.evaluation.voting import TIES
from octomed_jax.hf.base import side_names
from octomed_jax.prompts import FORMATS, SUFFIXES
from octomed_jax.schema import Question
from octomed_jax.teacher.requests import request_seed
from octomed_jax.verification.candidates import THINK_END, THINK_START
from octomed_jax.verification.check import VERIFIER_VERSION, check_response

STAGE = "eval"
_OF_MODEL = (".safetensors", ".bin", ".json", ".jinja", ".txt")  # endings of its weights, template and vocabulary


def evaluate(
    config: ConfigDict,
    model: storage.PathLike,
    questions: storage.PathLike | Sequence[storage.PathLike],
    output: storage.PathLike,
    random_weights: bool = False,
    weights: storage.PathLike | None = None,
    trained: Sequence[storage.PathLike] = (),
) -> manifests.Manifest:
    """Answer the held-out questions and judge the answers.

    Args:
        config: uses ``eval``, ``seed`` and the student's answer format.
        model: a Hugging Face folder; without meaning where ``eval.backend`` is an endpoint.
        questions: what ``octomed questions build`` wrote, or a folder of such folders; one or several.
        output: the new folder with samples and results.
        random_weights: the folder holds no weights; start as training starts.
        weights: the folder of the weights, where it is not ``model``.
        trained: folders of what the model was trained on, in which the questions are looked up; none: nobody looks.

    Raises:
        UserError: a folder is missing, or something would spoil the evaluation.
        TryAgain: an endpoint does not answer, or too many requests failed.
    """
    protocol = read_protocol(config)
    if storage.in_bucket(output):
        raise UserError(f"{output} lies in a bucket; an evaluation is written to a disk: give a folder, and copy it")
    model = Path(model)
    weights = Path(weights or model)
    _check_weights(config.eval.backend, model, weights, random_weights)
    sets = choose(questions, config.eval.benchmarks)
    tokens = open_tokens(config.eval.f1_tokenizer) if config.eval.f1_tokenizer else SIMPLE
    request = {
        "eval": {**result_settings(config), "benchmarks": sets.named, "f1_tokens": tokens.name},
        "seed": config.seed,
        "answer_format": protocol.answer_format,
        "suffix": SUFFIXES[protocol.answer_format],
        **_other_suffixes(protocol, {name for names in sets.called.values() for name in names}),
        "random_weights": random_weights,
        **({"weights_seed": config.train.seed} if random_weights and config.train.seed is not None else {}),
        "verifier": VERIFIER_VERSION,
        "protocol": PROTOCOL_VERSION,
        **_tokenizer_of(config),
        **({"closing": CLOSING} if protocol.force_end_of_thinking else {}),
        **({"ties": TIES} if protocol.votes else {}),
    }
    identity = _model_identity(config, model, weights)
    inputs = {**sets.inputs, "model": identity, **trained_inputs(trained)}
    storage.put_back(output)
    name = manifests.request_of(STAGE, request, inputs)
    done = manifests.finished(output, STAGE, request, inputs)
    if done:
        (Path(output) / journals.NAME).unlink(missing_ok=True)
        if not done.counts.get("failed"):
            return done
    asked_for = sets.read()
    images = check_images(asked_for, protocol)
    if config.eval.backend == "endpoint":
        check_access(asked_for, config.eval.approved_access, config.eval.endpoint)
    with storage.staged_folder(output, request=name, replaces=bool(done)) as folder:
        seen = look_up(sets, trained, Path(folder))  # before anybody is asked: a folder may be of no use
        with (
            open_backend(
                config,
                protocol,
                asked_for,
                model=model,
                weights=weights,
                identity=identity,
                random_weights=random_weights,
                log=Path(f"{output}.vllm.log"),
            ) as backend,
            Journal(Path(folder) / journals.NAME) as journal,
        ):
            asked = _asked(asked_for, protocol, backend.identity, config.seed)
            if done:
                journal.add(_held_before(asked, Path(output)))
            failures = _answer_all(backend, asked, journal, config.eval.most_failed)
            samples = _samples(backend, asked, {**journal.held, **failures})
        for benchmark in sorted({sample["benchmark"] for sample in samples}):
            lines = [json.dumps(sample, ensure_ascii=False) for sample in samples if sample["benchmark"] == benchmark]
            storage.write_text(folder / "samples" / f"{benchmark}.jsonl", "\n".join(lines) + "\n")
        results = {
            **scored(samples, sets.train_counts(), protocol.votes, tokens, seen),
            "settings": request,
            "images": images,
            "backend": {"identity": backend.identity, **backend.told},
        }
        storage.write_json(folder / "results.json", results)
        manifest = manifests.Manifest(
            stage=STAGE,
            config=request,
            inputs=inputs,
            counts={"questions": len(asked_for), "samples": len(samples)}
            | ({"failed": len(failures)} if failures else {}),
            files={
                file: digest
                for file, digest in manifests.hash_files(folder).items()
                if file != journals.NAME and not file.startswith(".")
            },
            licences=sets.licences,
            access=sets.access,
        )
        manifests.write_manifest(folder, manifest)
    # Not before: a run that is killed until here is finished from the journal.
    (Path(output) / journals.NAME).unlink(missing_ok=True)
    if failures:
        progress.say(f"{len(failures)} requests failed for good; the same command asks for these again")
    return manifest


def _other_suffixes(protocol: Protocol, benchmarks: Collection[str]) -> dict[str, Any]:
    """Return the words for benchmarks that are asked in a format of their own."""
    others = sorted({protocol.format_for(name) for name in benchmarks} - {protocol.answer_format})
    return {"formats": {name: {"suffix": FORMATS[name]} for name in others}} if others else {}


def _check_weights(backend: str, model: Path, weights: Path, random_weights: bool) -> None:
    if backend != "jax" and (random_weights or weights != model):
        raise UserError(f"eval.backend={backend!r} takes no --random-weights and no weights apart; use jax, or export")


def _model_identity(config: ConfigDict, model: Path, weights: Path) -> str:
    """Return the name of what is measured: a hash of the folder, or what the endpoint calls the model."""
    if config.eval.backend == "endpoint":
        return f"endpoint:{config.eval.model}"
    return _identity(model) + ("" if weights == model else _identity(weights))


def _tokenizer_of(config: ConfigDict) -> dict[str, str]:
    """Return by what an endpoint's thoughts are counted and gone on with: a hash of the files, wherever they lie."""
    if config.eval.backend != "endpoint" or not config.eval.tokenizer:
        return {}
    folder = Path(config.eval.tokenizer)
    return {
        "tokenizer": storage.fingerprint([[name, storage.sha256_file(folder / name)] for name in side_names(folder)])
    }


def _identity(model: Path) -> str:
    """Return a hash of the weights and the files that decide how they are used."""
    if not model.is_dir():
        raise UserError(f"no such model folder: {model}; give a Hugging Face folder")
    for stage in ("export", "import"):
        if (model / manifests.MANIFEST).is_file() and storage.read_json(model / manifests.MANIFEST).get(
            "stage"
        ) == stage:
            return manifests.read_manifest(model, stage).identity
    names = sorted(path.name for path in model.iterdir() if path.suffix in _OF_MODEL)
    return storage.fingerprint(
        [[name, storage.sha256_file(model / name)] for name in names if name != manifests.MANIFEST]
    )


def _asked(questions: Sequence[Question], protocol: Protocol, identity: str, seed: int) -> list[Asked]:
    """Return all samples, in the order in which they are asked for: one of each question, then the next."""
    asked = []
    for number in range(protocol.seeds):
        for question in questions:
            draw = request_seed(seed, question.id, number)
            asked.append(Asked(question, number, draw, key_of(identity, question, protocol, draw)))
    return asked


def _held_before(asked: Sequence[Asked], folder: Path) -> list[tuple[Asked, Answer]]:
    """Return the answers of a finished folder, those of failed requests left out."""
    by_name = {(one.question.id, one.seed): one for one in asked}
    held = []
    for path in sorted((folder / "samples").glob("*.jsonl")):
        for _, row in read_rows(path):
            if not row["error"]:
                fields = row["response"], row["finish_reason"], row["completion_tokens"], row["forced"]
                held.append((by_name[row["id"], row["seed"]], Answer(*fields)))
    return held


def _answer_all(backend: Backend, asked: Sequence[Asked], journal: Journal, most_failed: float) -> dict[str, Answer]:
    """Ask for what is not held; return the requests that failed for good.

    Raises:
        TryAgain: they are too many.
    """
    missing = [one for one in asked if one.key not in journal.held]
    failures: dict[str, Answer] = {}
    if not missing:
        return failures
    with (
        progress.bar("eval: answering", len(asked), "samples", len(asked) - len(missing)) as line,
        contextlib.closing(backend.answer(missing)) as stream,
    ):
        for answers in stream:
            journal.add(answers)
            failures |= {one.key: answer for one, answer in answers if answer.error}
            if len(failures) > most_failed * len(asked):
                reason, count = Counter(answer.error for answer in failures.values()).most_common(1)[0]
                raise TryAgain(
                    f"{len(failures)} of {len(asked)} requests failed for good, {count} of them with: {reason}; mend "
                    "that and run the same command again (what came back is kept)"
                )
            line.advance(len(answers))
    return failures


def _samples(backend: Backend, asked: Sequence[Asked], answers: Mapping[str, Answer]) -> list[dict[str, Any]]:
    samples = [_sample(backend, one, answers[one.key]) for one in asked]
    return sorted(samples, key=lambda sample: (sample["benchmark"], sample["id"], sample["seed"]))


def _sample(backend: Backend, asked: Asked, answer: Answer) -> dict[str, Any]:
    question = asked.question
    thought, closed, _ = answer.text.partition(THINK_END)
    if answer.error:  # no answer at all: neither right nor wrong
        judged = {"verdict": "unparsed", "extracted": "", "reason": "request_failed"}
    else:
        verdict = check_response(question, answer.text, answer.finish_reason)
        judged = {"verdict": verdict.verdict, "extracted": verdict.extracted, "reason": verdict.reason}
    return {
        "benchmark": question.benchmark,
        "id": question.id,
        "task": question.task,
        "question": question.question,
        "options": list(question.options),
        "answer": question.answer,
        "aliases": list(question.aliases),
        "lower_limit": question.lower_limit,
        "upper_limit": question.upper_limit,
        "cluster": question.cluster,
        "image_hash": list(question.image_hashes),
        "seed": asked.seed,
        "response": answer.text,
        "finish_reason": answer.finish_reason,
        **judged,
        "thinking_tokens": backend.count_tokens(thought.replace(THINK_START, ""), answer) if closed else None,
        "completion_tokens": answer.completion_tokens,
        "forced": answer.forced,
        "error": answer.error,
    }
