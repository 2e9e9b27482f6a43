"""``octomed demo``: every stage in its order. Finished stages are not repeated; one that was cut off goes on."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from octomed_jax import __version__, manifests, storage
from octomed_jax.cli.memory import MemoryWatch
from octomed_jax.cli.options import Parser, finish
from octomed_jax.configuration import plain
from octomed_jax.progress import say

FINISHED = "finished.json"  # written last: names the config of a run that is complete


def run(arguments: Sequence[str]) -> int:
    """Parse the options and run all stages."""
    parser = Parser(
        "demo",
        "Run the whole recipe: questions, teacher, verdicts, shards, training, export, evaluation, report.\n"
        "Kill it when you like: the same command goes on.",
        "octomed demo --config=configs/demo.py --workdir=runs/mine --config.train.steps=500",
    )
    parser.add_config("configs/demo.py")
    parser.add_argument("--workdir", metavar="DIR", help="where the run lies (default: the config's run)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    options, config = parser.read_config(arguments)
    folder = Path(options.workdir or config.run)
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.run = str(folder)
    fresh = not _is_finished(config, folder)
    if fresh:
        # What only a late stage would refuse is refused now, not after minutes of work.
        from octomed_jax.hf.settings import Settings
        from octomed_jax.hf.verify import check_levels
        from octomed_jax.traces.choose import settings_of
        from octomed_jax.training.request import check_training

        settings_of(config)
        check_training(config)
        check_levels(Settings(**plain(config.export)))
        run_stages(config, folder)
        storage.write_json(folder / FINISHED, {"request": _request(config)})
    summary = storage.read_json(folder / "summary.json")
    if not options.json:
        _say_result(folder, fresh)
    return finish(
        f"report: {folder}/report.html   checkpoint: {folder}/export   summary: {folder}/summary.json",
        summary,
        options.json,
    )


def stages(config: ConfigDict, folder: Path) -> list[tuple[str, str, Path, Callable[[], object]]]:
    """Return (name, title, folder, work) of every stage, in order; what a stage needs is imported when it runs."""

    def questions() -> object:
        from octomed_jax.questions.packages.build import build_questions

        return build_questions(config, folder / "questions")

    def distill() -> object:
        from octomed_jax.evaluation.attempts_report import write_attempts_report
        from octomed_jax.teacher.distill import distill
        from octomed_jax.teacher.settings import teacher_name

        if not (folder / "attempts" / manifests.MANIFEST).exists():
            say(f"teacher: {teacher_name(config.distill)}; {config.distill.samples} samples a question")
        manifest = distill(config, folder / "questions", folder / "attempts")
        write_attempts_report(folder / "attempts")
        return manifest

    def verify() -> object:
        from octomed_jax.cli.verify import judge_of, rules_of
        from octomed_jax.verification.verify import verify

        with judge_of(config.verify, folder / "judge.jsonl") as judge:
            return verify(folder / "attempts", folder / "traces", rules_of(config.verify), judge)

    def shard() -> object:
        from octomed_jax.cli.shard import make_shards

        return make_shards(config, folder / "traces", folder / "shards")[0]

    def train() -> object:
        from octomed_jax.evaluation.held_out import HeldOut
        from octomed_jax.training.loop import train

        look = HeldOut(config, folder / "shards", folder / "train") if config.held_out.every else None
        return train(config, folder / "shards", folder / "train", look)

    def export() -> object:
        from octomed_jax.hf.export import export
        from octomed_jax.hf.settings import Settings

        if "transformers" not in config.export.verify:
            say("export: torch is not installed, so the logits are not compared with transformers")
        return export(folder / "train", folder / "export", Settings(**plain(config.export)))

    def evaluate(name: str) -> Callable[[], object]:
        def work() -> object:
            from octomed_jax.cli.eval_tables import print_results
            from octomed_jax.evaluation.run import evaluate
            from octomed_jax.hf.rendering import student_folder

            before = name == "before"
            fresh = not (folder / "eval" / name / manifests.MANIFEST).exists()
            result = evaluate(
                config,
                student_folder(config, folder / "shards") if before else folder / "export",
                folder / "questions",
                folder / "eval" / name,
                random_weights=before and not config.student.base,
                weights=config.student.base if before and config.student.base else None,
            )
            if fresh:
                print_results(json.loads((folder / "eval" / name / "results.json").read_text()))
            return result

        return work

    return [
        ("questions", "questions: from packages, with known answers", folder / "questions", questions),
        ("distill", "distill: the teacher answers each question several times", folder / "attempts", distill),
        ("verify", "verify: only right answers stay", folder / "traces", verify),
        ("shard", "shard: traces become training shards", folder / "shards", shard),
        ("eval_before", "eval: held-out questions, before training", folder / "eval" / "before", evaluate("before")),
        ("train", "train: the student, from random weights", folder / "train", train),
        ("export", "export: a Hugging Face folder", folder / "export", export),
        ("eval_after", "eval: held-out questions, after training", folder / "eval" / "after", evaluate("after")),
    ]


def _request(config: ConfigDict) -> str:
    """Return a hash of everything a run depends on."""
    return storage.fingerprint([__version__, {**plain(config), "run": ""}])


def _is_finished(config: ConfigDict, folder: Path) -> bool:
    """Return whether exactly this run is complete; looks at names and one small file, so it takes no time."""
    if not all((output / manifests.MANIFEST).exists() for _, _, output, _ in stages(config, folder)):
        return False
    marks = [folder / name for name in (FINISHED, "summary.json", "report.html")]
    return all(mark.exists() for mark in marks) and storage.read_json(marks[0])["request"] == _request(config)


def run_stages(config: ConfigDict, folder: Path) -> None:
    """Run what is not done yet, then the report."""
    from octomed_jax.models.runtime import start_jax

    start_jax(job=True)  # as training wants it, before the first evaluation uses JAX
    plan = stages(config, folder)
    for number, (name, title, output, work) in enumerate(plan, 1):
        left = not (output / manifests.MANIFEST).exists()
        if left:
            say(f"[{number}/{len(plan) + 1}] {title}")
        start = time.perf_counter()
        with MemoryWatch() as memory:
            work()
        if left:
            _add_timing(folder / "timing" / f"{name}.json", time.perf_counter() - start, memory.peak_mb)
    from octomed_jax.evaluation.report import write_report
    from octomed_jax.hf.export import export
    from octomed_jax.hf.settings import Settings

    say(f"[{len(plan) + 1}/{len(plan) + 1}] report")
    export(folder / "train", folder / "export", Settings(**plain(config.export)), metrics=folder / "eval" / "after")
    write_report(folder)


def _add_timing(path: Path, seconds: float, peak_rss_mb: float) -> None:
    """Record what a stage took; of one that was cut off and went on, only its last part is known."""
    storage.write_json(path, {"seconds": round(seconds, 2), "peak_rss_mb": round(peak_rss_mb, 1)})


def _say_result(folder: Path, fresh: bool) -> None:
    if not fresh:
        say(f"nothing left to do: {folder} is finished (remove it, or give --workdir, to run again)")
