"""``octomed distill``: ask the teacher, many times a question."""

from collections.abc import Sequence

from octomed_jax import progress
from octomed_jax.cli.options import Parser, finish
from octomed_jax.teacher.distill import distill
from octomed_jax.teacher.plan import teacher_name


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        "distill",
        "Asks the teacher several times about every question and records every attempt. Any OpenAI-compatible\n"
        "endpoint will do; without one, the programmatic teacher is started on loopback for the time of the run.",
        "octomed distill --config=configs/demo.py --endpoint=http://localhost:8000 --model=Qwen/Qwen2.5-VL-7B-Instruct",
    )
    parser.add_config()
    parser.add_argument("--questions", metavar="DIR", help="what `octomed questions` wrote (default: RUN/questions)")
    parser.add_argument("--output", metavar="DIR", help="folder to write, or to go on with (default: RUN/attempts)")
    parser.add_argument("--endpoint", metavar="URL", help="the teacher's endpoint (config.distill.endpoint)")
    parser.add_argument("--model", metavar="NAME", help="the teacher's name there (config.distill.model)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    options, config = parser.read_config(arguments)
    with config.unlocked():
        config.distill.endpoint = options.endpoint or config.distill.endpoint
        config.distill.model = options.model or config.distill.model
    where = config.distill.endpoint or "started on loopback"
    progress.say(f"teacher: {teacher_name(config.distill)}, {where}; {config.distill.samples} samples a question")
    questions = options.questions or f"{config.run}/questions"
    output = options.output or f"{config.run}/attempts"
    counts = distill(config, questions, output).counts
    summary = (
        f"{counts['attempts']} attempts at {counts['questions']} questions ({counts['failed']} failed) by "
        f"{teacher_name(config.distill)} lie in {output}"
    )
    return finish(summary, {"output": str(output), "teacher": teacher_name(config.distill), **counts}, options.json)
