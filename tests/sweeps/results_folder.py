"""Makes the folder of a sweep as its runs leave it: definition, run.json, and stages with files in their real form."""

import json
import zlib
from pathlib import Path

import numpy as np

from octomed_jax import manifests, storage
from octomed_jax.evaluation.scoring import scored

PAPER = {
    "figure": "Figure 5",
    "says": "MedQA accuracy rises with the accepted traces kept per question, at every epoch.",
    "confidence": "seen",
    "unit": "accuracy, %",
    "x": "epoch",
    "columns": {"MedQA": ("has_bled", "plane"), "HeadQA": ()},
    "values": [
        {"row": row, "column": "MedQA", "x": x, "y": y}
        for row, line in (("1", (57.99, 65.88, 73.59)), ("4", (57.99, 76.5, 80.61)), ("16", (57.99, 81.76, 84.7)))
        for x, y in enumerate(line)
    ],
    "claims": [
        {"says": "more accepted traces help", "more": "4", "less": "1", "column": "MedQA", "measure": "accuracy"},
        {"says": "fewer traces help after one epoch", "more": "1", "less": "4", "column": "MedQA",
         "measure": "accuracy", "x": 1},
        {"says": "more traces cost tokens", "more": "4", "less": "1", "column": "MedQA", "measure": "tokens"},
        {"says": "16 traces help more", "more": "16", "less": "4", "column": "MedQA", "measure": "accuracy"},
        {"says": "the exam follows", "more": "4", "less": "1", "column": "HeadQA", "measure": "accuracy"},
    ],
}  # fmt: skip
BENCHMARKS = {"has_bled": 60, "plane": 80}
STEPS = 40  # an x


def make_definition(points: list[dict], metric: str = "overall", paper: dict | None = None) -> dict:
    """Return what sweep.json holds."""
    kept = ("id", "group", "name", "changes")
    listed = [{**{key: point[key] for key in kept}, "config_arg": "demo", "config_hash": "0" * 64} for point in points]
    return {
        "format_version": 2, "config": "traces_per_question.py:demo", "points": listed, "metric": metric,
        "paper": paper, "stopping": None, "steps": None,
    }  # fmt: skip


def make_point(kept: int, rate: float, seed: int) -> dict:
    """Return a point of traces kept, learning rate and seed."""
    changes = {"traces.per_question": kept, "train.peak_learning_rate": rate, "train.seed": seed}
    name, hashed = f"per-question-{kept}-rate-{rate:g}".replace(".", ""), f"{zlib.crc32(repr(changes).encode()):08x}"
    group = f"{zlib.crc32(repr((kept, rate)).encode()):08x}"
    return {"id": f"r{hashed}-{name}-{seed}"[:40], "group": f"g{group}-{name}"[:40], "name": str(kept),
            "changes": changes}  # fmt: skip


def write_eval(folder: Path, skill: dict[str, float], luck: int, tokens: int, split: str = "", model: str = "") -> str:
    """Write an evaluation as ``octomed eval run`` does; return the identity of the model that it names.

    Questions are as hard in every evaluation, so that runs are paired; four of them are one cluster.
    """
    samples = []
    for benchmark, count in BENCHMARKS.items():
        hard = np.random.default_rng([7, len(benchmark)]).uniform(size=count)
        lucky = np.random.default_rng([luck, len(benchmark)]).normal(0, 0.12, count)
        for number in range(count):
            right = hard[number] + lucky[number] < skill[benchmark]
            samples.append(_sample(benchmark, number, right, tokens + int(40 * hard[number] + 60 * lucky[number])))
    model = model or f"{luck:016x}"
    settings = {
        "eval": {"backend": "jax", "max_new_tokens": 96, "seeds": 1, "temperature": 0.0, "benchmarks": []}
        | ({"split": split} if split else {}),
        "seed": 0, "answer_format": "boxed", "random_weights": False, "verifier": "3", "protocol": 1,
    }  # fmt: skip
    told = {"identity": model, "model": "student"}
    (folder / "samples").mkdir(parents=True)
    for benchmark in BENCHMARKS:
        lines = [json.dumps(row, ensure_ascii=False) for row in samples if row["benchmark"] == benchmark]
        storage.write_text(folder / "samples" / f"{benchmark}.jsonl", "\n".join(lines) + "\n")
    results = {**scored(samples, {}), "settings": settings, "images": {}, "backend": told}
    storage.write_json(folder / "results.json", results)
    manifest = manifests.Manifest(
        stage="eval", config=settings, inputs={"questions": "q", "model": model},
        counts={"questions": len(samples), "samples": len(samples)}, files=manifests.hash_files(folder),
        code_commit="unknown",
    )  # fmt: skip
    manifests.write_manifest(folder, manifest)
    return model


def _sample(benchmark: str, number: int, right: bool, tokens: int) -> dict:
    thought = " ".join(["so"] * (tokens // 20))
    return {
        "benchmark": benchmark, "id": f"{benchmark}:test:{number:05d}", "task": "mcq", "question": f"Which {number}?",
        "options": ["yes", "no"], "answer": "yes", "aliases": [], "lower_limit": None, "upper_limit": None,
        "cluster": f"{benchmark}:case-{number // 4}", "image_hash": [], "seed": 0,
        "response": f"<think>{thought}</think>\n\n\\boxed{{{'yes' if right else 'no'}}}", "finish_reason": "stop",
        "verdict": "correct" if right else "wrong", "extracted": "yes" if right else "no", "reason": "",
        "thinking_tokens": tokens - 4, "completion_tokens": tokens, "forced": False, "error": "",
    }  # fmt: skip


def write_train(folder: Path, steps: int, loss: float, whole: bool = True) -> None:
    """Write metrics.jsonl, and the manifest of a run that came to its end."""
    lines = []
    for step in range(1, steps + 1):
        now = loss + 2.0 / step
        entry = {"step": step, "grad_norm": 1.5, "learning_rate": 0.001, "loss": None if step == 3 else now,
                 "examples": 10, "tokens": 900 + step, "images": 4, "patches": 256, "fill": 0.7,
                 "step_seconds": 0.1, "tokens_per_second": 9000.0, "mfu": None, "skipped": 0,
                 "spike": False}  # fmt: skip
        if step % 20 == 0:
            entry["held_out_loss"] = now + 0.25
        lines.append(json.dumps(entry))
    storage.write_text(folder / "metrics.jsonl", "\n".join(lines) + "\n")
    if whole:
        manifest = manifests.Manifest(
            stage="train", config={"seed": 0}, counts={"steps": steps, "examples": 10 * steps},
            extra={"loss_first": loss + 2, "loss_last": loss}, code_commit="unknown",
        )  # fmt: skip
        manifests.write_manifest(folder, manifest)


def write_run(
    root: Path, point: dict, state: str = "done", marks: int = 2, gain: float = 0.0, split: str = "", **more
) -> dict:
    """Write a point's stages and run.json; ``gain`` is its skill above that of the others at the same mark."""
    number = zlib.crc32(point["id"].encode())
    train = f"stages/train-{number:08x}"
    whole = state == "done"
    write_train(root / train, STEPS * max(marks, 1), 0.9 - gain, whole)
    told = []
    for mark in range(1, marks + 1):
        folder = f"stages/eval-{number + mark:09x}"
        skill = dict.fromkeys(BENCHMARKS, 0.3 + 0.12 * mark + gain)
        write_eval(root / folder, skill, number + mark, 60 + int(200 * gain), split)
        told.append({"x": float(mark), "step": STEPS * mark, "eval": folder})
    run = {"id": point["id"], "state": state, "stages": {"questions": "stages/questions-1a2b3c4d", "train": train},
           "marks": told, "exit_code": 0 if whole else None, "stage": "", "rung": None} | more  # fmt: skip
    if (root / "stages/baseline-0a0b0c0d").is_dir():
        run["stages"]["baseline"] = "stages/baseline-0a0b0c0d"
    storage.write_json(root / "runs" / point["id"] / "run.json", run)
    return run


def write_definition(root: Path, points: list[dict], **more) -> None:
    """Write sweep.json."""
    storage.write_json(root / "sweep.json", make_definition(points, **more))


def make_sweep(root: Path) -> list[dict]:
    """Write a sweep of kept traces by learning rate with two seeds, of which one run failed, one was stopped and one
    is not there yet; return its points."""
    points = [make_point(kept, rate, seed) for kept in (1, 4) for rate in (0.001, 0.002) for seed in (0, 1)]
    points += [make_point(16, 0.001, seed) for seed in (0, 1, 2)]
    write_definition(root, points, paper=PAPER)
    write_eval(root / "stages/baseline-0a0b0c0d", dict.fromkeys(BENCHMARKS, 0.2), 3, 30)
    for place, point in enumerate(points[:-3]):
        changes = point["changes"]
        faster = 0.05 if changes["train.peak_learning_rate"] == 0.002 else 0.0
        write_run(root, point, gain=(0.25 if changes["traces.per_question"] == 4 else 0.0) + faster + 0.004 * place)
    write_run(root, points[-3], "failed", marks=0, exit_code=43, stage="train")
    write_run(root, points[-2], "stopped", marks=0, rung=40)
    return points
