"""Makes a small run from questions to shards with everything that a card tells: curation, rejects, closed sources."""

from pathlib import Path

from attempts_folder import attempt_at, write_folder
from curated_folder import make_curated, planted, question
from ml_collections import ConfigDict
from questions_folder import make_questions
from report_run import PLANTED, picture

from octomed_jax import configuration, manifests
from octomed_jax.cli.shard import make_shards
from octomed_jax.schema import Question
from octomed_jax.traces.lake import iterate_questions
from octomed_jax.verification.verify import verify

ROOT = Path(__file__).resolve().parents[2]
SECRET, SECRET_THOUGHT = "Sealed: which disease had the patient of ward nine?", "it was never to be told"
TEACHER = {
    "name": "teacher",
    "model": f"big-model {PLANTED}",
    "takes": "any",
    "terms": "its licence",
    "prompt": "boxed-1",
}
SAMPLES = 4


def config_of(run: Path, **traces: object) -> ConfigDict:
    """Return the config of a run; the student has a vocabulary of its own."""
    config = configuration.load(f"{ROOT / 'configs' / 'demo.py'}:tiny", [f"run={run}"])
    with config.unlocked():
        config.traces.update({"per_question": 2, **traces})
    return config


def given() -> list[Question]:
    """Return questions of open sources and of one that is not."""
    closed = question("vault:notes:0001", SECRET, images=(picture(90),), access="credentialed", licence="signed only")
    return [*planted(), closed, question("vault:notes:0002", "Sealed too: what next?", access="credentialed")]


def make_corpus(run: Path, curated: bool = True, questions: list[Question] | None = None) -> Path:
    """Write every folder of a run up to the shards, with a rendering, and return the run."""
    questions = given() if questions is None else questions
    if curated:
        before = make_curated(run, questions)
    else:
        make_questions(run / "questions", sorted(questions, key=lambda one: one.id))
        before = run / "questions"
    asked = list(iterate_questions(before / "questions.parquet"))
    attempts = [row for number, one in enumerate(asked) for row in answered(one, number)]
    write_folder(run / "attempts", asked, attempts, extra={"teachers": [{**TEACHER, "programmatic": False}]})
    join(run / "attempts", before)
    verify(run / "attempts", run / "traces")
    make_shards(config_of(run), run / "traces", run / "shards")
    return run


def join(folder: Path, before: Path) -> None:
    """Say in the manifest of attempts which questions they are at."""
    manifest = manifests.read_manifest(folder, "distill")
    identity = manifests.read_manifest(before, *manifests.QUESTION_STAGES).identity
    fields = {**vars(manifest), "inputs": {"questions": identity}}
    manifests.write_manifest(folder, manifests.Manifest(**fields))


def answered(one: Question, number: int) -> list[dict]:
    """Return attempts at a question: the second is wrong, and of every fifth question also the others but one."""
    rows = []
    for index in range(SAMPLES):
        right = index != 1 and (number % 5 > 0 or index == 0)
        wrong = next((option for option in one.options if option != one.answer), "nothing of that kind")
        thought = SECRET_THOUGHT if one.access != "open" else f"Thought {number} of <b>this</b>, " + "so " * (7 * index)
        answer = one.answer if right else wrong
        if one.task == "mcq":
            answer = "ABCDEFGH"[one.options.index(answer)]
        rows.append(attempt_at(one, index, f"<think>{thought}</think>\n\nTherefore \\boxed{{{answer}}}"))
    return rows
