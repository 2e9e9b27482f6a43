"""Measure a model on held-out questions: samples and their verdicts, then the figures of each benchmark."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from octomed_jax import manifests, progress, storage
from octomed_jax.configuration import answer_format_of, plain
from octomed_jax.errors import UserError
from octomed_jax.evaluation.jax_backend import Answer, JaxBackend
from octomed_jax.evaluation.scoring import score_samples
from octomed_jax.models.qwen2_5_vl.sampling import Sampling
from octomed_jax.schema import Question
from octomed_jax.traces.lake import iterate_questions, iterate_rows
from octomed_jax.verification.check import VERIFIER_VERSION, check_response


def evaluate(
    config: ConfigDict,
    model: storage.PathLike,
    questions: storage.PathLike,
    output: storage.PathLike,
    random_weights: bool = False,
    weights: storage.PathLike | None = None,
) -> manifests.Manifest:
    """Answer the held-out questions and judge the answers.

    Args:
        config: uses ``eval``, ``seed`` and the student's answer format.
        model: a Hugging Face folder.
        questions: what ``octomed questions build`` wrote.
        output: the new folder with samples and results.
        random_weights: the folder holds no weights; start as training starts.
        weights: the folder of the weights, where it is not ``model``.

    Raises:
        UserError: a folder is missing, or the back end is unknown.
    """
    model, questions = Path(model), Path(questions)
    weights = Path(weights or model)
    if config.eval.backend != "jax":
        raise UserError(f"eval.backend={config.eval.backend!r} is unknown; one of: jax")
    given = manifests.read_manifest(questions, *manifests.QUESTION_STAGES)
    request = {
        "eval": plain(config.eval),
        "seed": config.seed,
        "answer_format": answer_format_of(config),
        "random_weights": random_weights,
        "verifier": VERIFIER_VERSION,
    }
    inputs = {"questions": given.identity, "model": _identity(model) + ("" if weights == model else _identity(weights))}
    if done := manifests.finished(output, "eval", request, inputs):
        return done
    asked = list(iterate_questions(questions / "heldout.parquet"))
    train_counts = Counter(
        row["benchmark"] for row in iterate_rows(questions / "questions.parquet", columns=["benchmark"])
    )
    backend = JaxBackend(model, answer_format_of(config), weights, config.seed if random_weights else None)
    with storage.staged_folder(output) as folder:
        samples = _samples(config, backend, asked)
        for benchmark in sorted({sample["benchmark"] for sample in samples}):
            lines = [json.dumps(sample, ensure_ascii=False) for sample in samples if sample["benchmark"] == benchmark]
            storage.write_text(folder / "samples" / f"{benchmark}.jsonl", "\n".join(lines) + "\n")
        results = {"benchmarks": score_samples(samples, train_counts), "settings": request}
        storage.write_json(folder / "results.json", results)
        manifest = manifests.Manifest(
            stage="eval",
            config=request,
            inputs=inputs,
            counts={"questions": len(asked), "samples": len(samples)},
            files=manifests.hash_files(folder),
        )
        manifests.write_manifest(folder, manifest)
    return manifest


def _identity(model: Path) -> str:
    """Return a hash of the weights and the files that decide how they are used."""
    if not model.is_dir():
        raise UserError(f"no such model folder: {model}; give a Hugging Face folder")
    for stage in ("export", "import"):
        if (model / manifests.MANIFEST).is_file() and storage.read_json(model / manifests.MANIFEST).get(
            "stage"
        ) == stage:
            return manifests.read_manifest(model, stage).identity
    names = sorted(path.name for path in model.iterdir() if path.suffix in (".safetensors", ".json"))
    return storage.fingerprint(
        [[name, storage.sha256_file(model / name)] for name in names if name != manifests.MANIFEST]
    )


def _samples(config: ConfigDict, backend: JaxBackend, questions: Sequence[Question]) -> list[dict[str, Any]]:
    sampling = Sampling(config.eval.temperature, config.eval.top_p)
    samples = []
    with progress.bar("eval: answering", len(questions) * config.eval.seeds, "questions") as line:
        for seed in range(config.eval.seeds):
            answers = backend.answer(
                questions,
                sampling=sampling,
                seed=config.seed + seed,
                max_new_tokens=config.eval.max_new_tokens,
                batch=config.eval.batch,
                advance=line.advance,
            )
            samples += [_sample(backend, *pair, seed) for pair in zip(questions, answers, strict=True)]
    return sorted(samples, key=lambda sample: (sample["benchmark"], sample["id"], sample["seed"]))


def _sample(backend: JaxBackend, question: Question, answer: Answer, seed: int) -> dict[str, Any]:
    verdict = check_response(question, answer.text, answer.finish_reason)
    thought, closed, _ = answer.text.partition("</think>")
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
        "seed": seed,
        "response": answer.text,
        "finish_reason": answer.finish_reason,
        "verdict": verdict.verdict,
        "extracted": verdict.extracted,
        "reason": verdict.reason,
        "thinking_tokens": backend.count_tokens(thought.replace("<think>", "")) if closed else None,
        "completion_tokens": answer.completion_tokens,
    }
