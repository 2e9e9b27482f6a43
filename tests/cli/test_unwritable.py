"""Results that cannot be written where they are to lie: one line with the place and a cure, whatever the command."""

import json
import random
import string
import subprocess
import sys
from pathlib import Path

import pytest

from octomed_jax import storage
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError

TINY = "--config=configs/demo.py:tiny"
ROW = {"question": "Which?", "options": ["this", "that"], "answer": "this", "responses": ["<think>x</think>\\boxed{A}"]}
NOWHERE = Path("/proc/nowhere")  # where no file can be made, not even by root

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")


@pytest.fixture(scope="module")
def run(tmp_path_factory, root):
    """A run up to its shards."""
    place = tmp_path_factory.mktemp("run")
    (place / "own.jsonl").write_text(json.dumps(ROW) + "\n")
    build = ["questions", "build", "--source=octomed", f"--input={place / 'own.jsonl'}", "--teacher=gpt-4o"]
    assert main([*build, f"--output={place / 'questions'}", f"--attempts={place / 'attempts'}"]) == 0
    verify = ["verify", f"--config={root / 'configs/demo.py:tiny'}", f"--attempts={place / 'attempts'}"]
    assert main([*verify, f"--output={place / 'traces'}", f"--config.run={place}"]) == 0
    assert main(["shard", f"--config={root / 'configs/demo.py:tiny'}", f"--config.run={place}"]) == 0
    return place


@pytest.mark.parametrize(
    "words",
    [
        "questions build --source=octomed --input={run}/own.jsonl --output={nowhere}",
        "questions build --source=octomed --input={run}/own.jsonl --output={nowhere}/questions",
        "questions build --source=octomed --input={run}/own.jsonl --output={run}/q --attempts={nowhere} --teacher=a",
        "questions build --config=configs/demo.py --output={nowhere}",
        "questions show {run}/questions --output={nowhere}.html",
        "questions show {run}/questions --output={nowhere}/page.html",
        "distill --questions={run}/questions --endpoint=http://127.0.0.1:9 --model=a --output={nowhere}",
        "verify {run}/own.jsonl --output={nowhere}.jsonl",
        "verify {run}/own.jsonl --output={nowhere}/judged.jsonl",
        "verify {tiny} --attempts={run}/attempts --output={nowhere}",
        "shard {tiny} --traces={run}/traces --output={nowhere}",
        "data write --traces={run}/traces --output={nowhere}",
        "data card --shards={run}/shards --output={nowhere}",
        "data compare {run}/shards paper --output={nowhere}.html",
        "sweep run --config=configs/recipes/traces_per_question.py:demo --output={nowhere}",
    ],
)
def test_a_place_where_nothing_can_be_made(words, run, capsys, monkeypatch, root):
    monkeypatch.chdir(root)
    before = sorted(run.rglob("*"))
    assert main(words.format(run=run, nowhere=NOWHERE, tiny=TINY).split()) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"octomed: cannot write {NOWHERE}")
    assert line.endswith("; choose another folder")
    assert sorted(run.rglob("*")) == before


def test_a_lock_and_a_file_where_nothing_can_be_made():
    with pytest.raises(UserError, match="cannot write /proc/nowhere"), storage.locked(NOWHERE):
        pass
    with pytest.raises(UserError, match=r"cannot write /proc/nowhere/a\.json"):
        storage.write_json(NOWHERE / "a.json", {})


@pytest.mark.parametrize(
    ("rows", "limit", "problem"),
    [
        (200, 1_000_000, "the scratch database in {} cannot be kept (disk I/O error); free some space there, lift"),
        (40, 100_000, "{} grows over the limit on the size of files (ulimit -f); lift it"),  # the database is in memory
    ],
)
def test_a_limit_on_the_size_of_files(tmp_path, rows, limit, problem):
    chance = random.Random(0)
    asked = ("".join(chance.choices(string.ascii_letters, k=20_000)) for _ in range(rows))
    lines = (json.dumps({"question": question, "answer": "x"}) + "\n" for question in asked)
    (tmp_path / "own.jsonl").write_text("".join(lines))
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from octomed_jax.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    words = ["questions", "build", "--source=octomed", f"--input={tmp_path / 'own.jsonl'}"]
    command = [sys.executable, "-c", code, *words, f"--output={tmp_path / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 42, done.stderr
    (line,) = done.stderr.splitlines()
    place = tmp_path / ".out.partial" / ("" if rows > 100 else "questions.parquet")
    assert line.startswith(f"octomed: {problem.format(place)}")
    assert line.endswith("and run the same command again")
    assert [path.name for path in tmp_path.iterdir()] == ["own.jsonl"]
