"""``octomed distill``: ask teachers, many times a question; or tell how far that is."""

import json
import re
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from octomed_jax import configuration, manifests, progress
from octomed_jax.cli import main
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.executor import ENGINES
from octomed_jax.launching.endpoints import Served, fill_in, from_environment, served
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.manifests import Manifest
from octomed_jax.teacher.client import chat_url
from octomed_jax.teacher.copies import alarm, alarming
from octomed_jax.teacher.distill import STAGE, distill
from octomed_jax.teacher.settings import check_settings, defaults, one_teacher, teacher_name
from octomed_jax.teacher.status import read_status, status_lines

DESCRIPTION = """Asks teachers several times about every question, and records and judges every attempt.

Any OpenAI-compatible endpoint will do; several of one model share the work. A config may name several teachers, such as
one for questions with images and one for those without; without an endpoint, the programmatic teacher is started on
loopback for the time of the run. A teacher that a launch runs is found by itself: in the launch's own jobs from their
environment, elsewhere with --launch. Ended at any moment, the same command goes on where it was: what came back is
kept."""

# Options that are a field of config.distill each, so that no config file is needed.
FIELDS = {
    "samples": (int, "N", "attempts at each question"),
    "max-tokens": (int, "N", "most tokens of an attempt"),
    "temperature": (float, "T", "of sampling"),
    "accept": (int, "K", "ask a question no further once K attempts are correct"),
    "in-flight": (int, "N", "requests at a time"),
}


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = _parser()
    options, overrides = parser.read(arguments)
    if options.status:
        return _tell_status(options.status, options.json)
    if not options.config and not (options.questions and options.output):
        parser.error("give --questions and --output, or --config for a run")
    config = _config(options, overrides)
    worker, workers = _shard(options.shard)
    teachers = check_settings(config.distill)
    for teacher in teachers:
        where = ", ".join(map(chat_url, teacher.endpoints)) or "started on loopback"
        name = teacher_name(config.distill) if teacher.programmatic else teacher.model
        progress.say(f"teacher: {name}, {where}; {config.distill.samples} samples a question")
    questions = options.questions or f"{config.run}/questions"
    output = options.output or f"{config.run}/attempts"
    manifest = distill(config, questions, output, worker, workers, options.engine)
    if manifest is None:
        rest = f"worker {worker} of {workers} has nothing left to do; others have, see --status {output}"
        return finish(f"{rest}: {output}", {"output": str(output), "finished": False}, options.json)
    return _tell(manifest, str(output), options.json)


def _parser() -> Parser:
    parser = Parser(
        "distill",
        DESCRIPTION,
        "octomed distill --questions=runs/my/questions --endpoint=http://localhost:8000 \\\n"
        "    --model=Qwen/Qwen2.5-VL-72B-Instruct --samples=16 --output=runs/my/attempts\n"
        "  octomed distill --config=configs/demo.py\n"
        "  octomed distill --status runs/my/attempts",
    )
    parser.add_config(required=False)
    parser.add_argument("--questions", metavar="DIR", help="what `octomed questions` wrote (default: RUN/questions)")
    parser.add_argument("--output", metavar="DIR", help="folder to write, or to go on with (default: RUN/attempts)")
    parser.add_argument("--endpoint", metavar="URL", action="append", default=[], help="an endpoint; may be repeated")
    parser.add_argument("--model", metavar="NAME", help="the model's name there; for one teacher that takes all")
    parser.add_argument(
        "--launch",
        metavar="FILE[:ARG]",
        help="launch config whose teacher is asked, such as configs/launch/teacher_gpu.py, instead of endpoints",
    )
    parser.add_argument("--api-key-env", metavar="NAME", help="environment variable that holds the key")
    parser.add_argument("--terms", metavar="TEXT", help="of the model or its provider; goes to the card")
    parser.add_argument(
        "--approve", metavar="ACCESS", action="append", default=[], help="access class, besides open, that may go there"
    )
    for name, (kind, metavar, text) in FIELDS.items():
        field = name.replace("-", "_")
        parser.add_argument(f"--{name}", type=kind, metavar=metavar, help=f"{text} (config.distill.{field})")
    parser.add_argument("--seed", type=int, metavar="S", help="of all sampling (config.seed)")
    parser.add_argument("--shard", metavar="I/N", default="0/1", help="do share I of N of the work; I counts from 0")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="where shards are done (default: local)")
    parser.add_argument("--status", metavar="DIR", help="tell how far the run in DIR is, and end")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    return parser


def _config(options: Namespace, overrides: Sequence[str]) -> ConfigDict:
    """Return the config: of the file, or what it is without one, with what the options say."""
    if options.config:
        config = configuration.load(options.config, overrides)
    else:
        config = ConfigDict({"seed": 0, "distill": defaults()})
        for override in overrides:
            configuration.apply_override(config, override)
    settings = config.distill
    given: dict[str, Any] = {
        "endpoints": tuple(options.endpoint),
        "model": options.model,
        "api_key_env": options.api_key_env,
        "approved_access": ("open", *options.approve) if options.approve else (),
        "terms": options.terms,
    }
    if options.config and given["endpoints"] and len(settings.teachers) == 1:
        given["model"] = given["model"] or next(iter(settings.teachers.values())).model
    given = {name: value for name, value in given.items() if value}
    launched = _launched(options)
    if launched and options.config:
        if given:
            raise UserError("--api-key-env, --approve and --terms belong to --endpoint; set config.distill.teachers")
        fill_in(settings, launched)
    elif launched or given or not options.config:
        found = {name: value for name, value in vars(launched).items() if value} if launched else {}
        one_teacher(settings, **{**found, **given})
    for name in FIELDS:
        field = name.replace("-", "_")
        if (value := getattr(options, field)) is not None:
            configuration.set_field(settings, field, value)
    if options.seed is not None:
        configuration.set_field(config, "seed", options.seed)
    return config


def _launched(options: Namespace) -> Served | None:
    """Return the teacher of a launch: of ``--launch``, or of the launch that this process belongs to."""
    named = [f"--{name.replace('_', '-')}" for name in ("endpoint", "model") if getattr(options, name)]
    if not options.launch:
        return None if named else from_environment()
    if named:
        raise UserError(f"{named[0]} and --launch both say where the teacher is; give one of them")
    file = configuration.split_spec(options.launch)[0].resolve()
    spec = read_spec(configuration.load(options.launch), main.VERBS, (Path(), *file.parents[:3]))
    teacher = served(spec)
    if teacher is None:
        raise UserError(f"--launch={options.launch} has no teacher; set its group `teacher`, or give --endpoint")
    return teacher


def _shard(text: str) -> tuple[int, int]:
    """Return (I, N) of ``I/N``."""
    number, _, total = text.partition("/")
    if not re.fullmatch(r"[0-9]+/[0-9]+", text) or not int(number) < int(total):
        raise UserError(f"--shard={text} is no I/N with I from 0 to N-1, such as 0/4")
    return int(number), int(total)


def _tell(manifest: Manifest, output: str, as_json: bool) -> int:
    from octomed_jax.evaluation.attempts_report import write_attempts_report

    counts = manifest.counts
    report = epath.Path(output) / "report.html"
    if not report.exists():
        write_attempts_report(output)
    if alarming(counts["long_samples"], counts["copies"]):
        programs = [teacher["programmatic"] for teacher in manifest.extra["teachers"]]
        if not all(programs) and manifest.config.get("temperature", 0) > 0:
            progress.say(alarm(counts["long_samples"], counts["copies"]))
    if counts["saved_requests"]:
        progress.say(f"{counts['saved_requests']} requests were saved: enough attempts at their questions were correct")
    summary = (
        f"{counts['attempts']} attempts at {counts['questions']} questions ({counts['verdicts'].get('correct', 0)} "
        f"correct, {counts['failed']} failed) by {manifest.extra['teacher']} lie in {output}; report: {report}"
    )
    told = {"output": output, "report": str(report), "teacher": manifest.extra["teacher"], "finished": True, **counts}
    return finish(summary, told, as_json)


def _tell_status(folder: str, as_json: bool) -> int:
    if manifests.is_finished(folder):
        return _tell(manifests.read_manifest(folder, STAGE), folder, as_json)
    told = read_status(folder)
    if not told:
        raise UserError(f"{folder} holds no run that has begun; start it with `octomed distill --output={folder}`")
    if as_json:
        print(json.dumps({"output": folder, "finished": False, "workers": told}))
    else:
        print("\n".join(status_lines(told, time.time())))
    return 0
