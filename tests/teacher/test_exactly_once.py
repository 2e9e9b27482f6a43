"""Every kind of fault at once and five kills: each attempt exactly once, the same bytes, little paid for twice.

1,000 questions with 16 samples each, over real HTTP with a server that misbehaves in a planned way.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_server import Faults, serving
from teacher_helpers import folder_bytes, make_question, write_folder

from octomed_jax.teacher.ledger import read_journal
from octomed_jax.traces import lake

# The limit is for a run that hangs; beside others a good one may take minutes.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

IN_FLIGHT = 64
KINDS = (
    "slow", "429", "500", "503", "hang", "cut", "garbage", "empty choices", "wrong n", "duplicate choices",
    "other field",
)  # fmt: skip
MIXES = {"all": KINDS, "overload": ("429", "503", "slow"), "broken": ("500", "cut", "garbage"), "odd": KINDS[6:]}

CHILD = """
import sys
sys.path.insert(0, {tests!r})
from octomed_jax.teacher import ledger, pool
from octomed_jax.teacher.distill import distill
from teacher_helpers import make_config
pool.FIRST_WAIT, pool.STUCK_LEAST = 0.02, 1.0
ledger.SEAL_SECONDS = 2.0
config = make_config(endpoint=sys.argv[1], samples=16, samples_per_request=4, in_flight={in_flight},
                     patience_seconds=60.0, shards=int(sys.argv[4]))
distill(config, sys.argv[2], sys.argv[3])
"""


def start(url, questions, output, shards=3):
    code = CHILD.format(tests=str(Path(__file__).parent), in_flight=IN_FLIGHT)
    words = [sys.executable, "-c", code, url, str(questions), str(output), str(shards)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "questions"
    return write_folder(folder, [make_question(index, 8) for index in range(1000)])


@pytest.fixture(scope="module")
def clean(questions, tmp_path_factory):
    output = tmp_path_factory.mktemp("clean") / "attempts"
    with serving(Faults(questions)) as url:
        child = start(url, questions, output, 1)
        assert child.wait(200) == 0, child.stderr.read()
    return folder_bytes(output)


def recorded(output):
    """How many requests are in the segments and journals."""
    rows = [row for path in output.rglob("segment-*") for row in lake.iterate_rows(path, ("question_id", "group"))]
    rows += [row for path in output.rglob("journal-*") for row in read_journal(path)]
    return len({(row["question_id"], row["group"]) for row in rows})


@pytest.mark.parametrize("mix", MIXES)
def test_under_faults_and_kills_every_attempt_is_there_once(questions, tmp_path, clean, mix):
    def plan(body, times):
        """A third of the requests fail once or twice, each in its own way; a probe never does."""
        draw = random.Random(f"{mix} {body['seed']}")
        bad = draw.choice((0, 0, 0, 0, 1, 2)) if body["max_tokens"] > 1 else 0
        # A hang is sent again while the first is open: both are served, so it happens once to a request.
        fault = draw.choice(MIXES[mix])
        return fault if times <= min(bad, 1 if fault == "hang" else 2) else None

    output = tmp_path / "attempts"
    faults = Faults(questions, plan=plan, delay=0.01)
    moments = random.Random(mix)
    lost = [0]  # requests with a reply and none in the ledger; one that was sent twice, being slow, is one
    with serving(faults) as url:
        for _ in range(5):
            child = start(url, questions, output)
            target = sum(faults.answered.values()) + moments.randint(200, 700)
            while sum(faults.answered.values()) < target:
                assert child.poll() is None, child.stderr.read()
                time.sleep(0.005)
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            time.sleep(0.3)  # until the server has noticed
            lost.append(len(faults.answered) - recorded(output))
        child = start(url, questions, output)
        assert child.wait(250) == 0, child.stderr.read()
    assert set(faults.faults) == set(MIXES[mix])
    rows = list(lake.iterate_parts(output / "attempts", ("question_id", "sample_index", "error")))
    assert len(rows) == 16_000
    assert [(row["question_id"], row["sample_index"], row["error"]) for row in rows] == [
        (f"made:{index:05d}", sample, "") for index in range(1000) for sample in range(16)
    ]
    assert folder_bytes(output) == clean
    assert len(faults.answered) == 4000
    assert max(after - before for before, after in itertools.pairwise(lost)) <= IN_FLIGHT
    paid_twice = sum(count - 1 for count in faults.answered.values())
    assert paid_twice <= 5 * IN_FLIGHT
    kept = [row for path in output.rglob("segment-*") for row in lake.iterate_rows(path, ("question_id", "group"))]
    assert len(kept) == 16_000  # nothing was recorded twice either
