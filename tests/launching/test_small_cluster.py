"""This machine as a small cluster: four processes train the demo recipe, and one of them is disturbed at a time.

The local script runs the processes once a start, and the rendered JobSet says what follows from how they end. SIGTERM,
SIGKILL and SIGSTOP come to a random one at a random moment, then one does not come at all; the last start is left
alone. The losses must be those of one process that nothing disturbs, to the last bit.
"""

import dataclasses
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from configs.demo import get_config
from octomed_jax.cli.shard import make_shards
from octomed_jax.launching.backends.jobset import JOBSET
from octomed_jax.launching.backends.local import LOCAL
from octomed_jax.launching.render import render
from octomed_jax.launching.spec import Command, JobSpec
from octomed_jax.training.metrics import read_metrics
from tests.launching.jobset_player import job_of, play
from tests.traces.corpus import write_traces

ROOT = Path(__file__).resolve().parents[2]
PROCESSES, STEPS = 4, 10
AWAY = "a host that never comes"
DISTURBANCES = ("SIGTERM", "SIGKILL", "SIGSTOP", AWAY)
GIVEN_UP = 30.0  # seconds of a step; it takes half a second, but on a busy machine 20 were too few
CENSUS = 20  # seconds in which all must have come, once the first is there
MOST_STARTS = 12  # on a busy machine a step can take so long that it is given up, which is one start more
LIMIT = 600.0  # of one wait; a busy machine takes its time
# Stands where `octomed` is: rank 3 stays away as long as there is a file that says so.
OCTOMED = """\
#!/bin/sh
[ -n "${{JAX_PROCESS_ID:-}}" ] && [ "$JAX_PROCESS_ID" = 3 ] && [ -f {away} ] && exec sleep 1000
exec {python} -m octomed_jax.cli.main "$@"
"""
SETTINGS = (
    "student.vocab_size=300",  # as the shards were rendered for
    f"train.steps={STEPS}",
    "train.examples_per_step=4",
    "train.tokens_per_row=272",
    f"train.mesh.data={PROCESSES}",
    "train.mesh.fsdp=1",
    f"train.guards.census_seconds={CENSUS}.0",
    "checkpoint.every=2",
)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """The job, on this machine; its shards; and in the place of octomed, one that runs from this checkout."""
    config = get_config("tiny")
    config.student.vocab_size = 300
    make_shards(config, write_traces(tmp_path / "traces"), tmp_path / "shards", workers=1)
    program = tmp_path / "octomed"
    program.write_text(OCTOMED.format(away=tmp_path / "away", python=sys.executable))
    program.chmod(0o755)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("OCTOMED", str(program))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # The suite's flags, which compile fast; the script says how many devices there are.
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+ *", "", os.environ["XLA_FLAGS"])
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # every start compiles the same
    command = Command("train", "configs/demo.py:tiny", SETTINGS, (f"shards={tmp_path}/shards",))
    return JobSpec(
        name="small-cluster",
        command=command,
        workdir=str(tmp_path / "work"),
        image="registry/octomed:1",
        grace_seconds=5,
        retries=1,
        processes=PROCESSES,
        port=free_port(),
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """Starts the job's processes by the local script, and disturbs one of them as long as there are disturbances."""

    def __init__(self, spec: JobSpec, folder: Path, disturbances: Sequence[str] = (), seed: int = 0):
        [script] = render(spec, LOCAL, folder)
        self.spec, self.script, self.logs = spec, script, folder / "logs"
        self.random = random.Random(seed)
        self.left = list(disturbances)
        self.ended: dict[str, tuple[int, str]] = {}  # by what happened: the first exit code, and what was said
        self.said: list[str] = []  # by all ranks, a text for each start

    def start(self, before: int) -> int:
        """Run the processes once; return the exit code of the one that failed first, or 0."""
        assert before < MOST_STARTS, self.said[-1]
        begun = time.monotonic()
        away = Path(os.environ["OCTOMED"]).with_name("away")
        left = self.left[:1]
        if left == [AWAY]:
            away.touch()
            self._happened(AWAY)
        running = subprocess.Popen(["sh", str(self.script)], stderr=subprocess.PIPE, text=True, start_new_session=True)
        if left and left != [AWAY]:
            threading.Thread(target=self._disturb, args=(running, left[0]), daemon=True).start()
        _, printed = running.communicate(timeout=LIMIT)
        if left == [AWAY]:
            away.unlink()
        said = "".join(path.read_text(errors="replace") for path in sorted(self.logs.glob("rank-*.log")))
        first = self.logs / "rank-first"
        assert first.exists() == (running.returncode != 0), printed
        code = int(first.read_text()) if first.exists() else 0
        what = left if left != self.left[:1] else "not disturbed"
        why = re.findall("^octomed: .*", said, flags=re.MULTILINE)[:1] if code else ""
        print(f"start {before + 1}: {what}: {code} after {time.monotonic() - begun:.0f} s {why}")
        if left != self.left[:1]:
            self.ended[left[0]] = code, said
        self.said.append(said)
        return code

    def _happened(self, what: str) -> None:
        self.left.remove(what)

    def _disturb(self, running: subprocess.Popen, what: str) -> None:
        """Send a signal to one process, when one or two steps more were written and a bit later."""
        done = self._steps()
        wanted = done + self.random.choice((1, 2))
        pause, rank = self.random.uniform(0, 0.5), self.random.randrange(PROCESSES)
        while self._steps() < wanted:
            if running.poll() is not None:
                return
            time.sleep(0.02)
        time.sleep(pause)
        pid = int((self.logs / f"rank-{rank}.pid").read_text().split()[0])
        os.kill(pid, signal.Signals[what])
        self._happened(what)

    def _steps(self) -> int:
        path = Path(self.spec.workdir) / "train/metrics.jsonl"
        return len(path.read_text().splitlines()) if path.exists() else 0


def curve(workdir: Path) -> list[list]:
    names = ("step", "loss", "grad_norm", "target_tokens", "tokens", "images", "fill")
    return [[entry.get(name) for name in names] for entry in read_metrics(workdir / "train/metrics.jsonl")]


@pytest.mark.integration
@pytest.mark.timeout(1200)
def test_a_job_that_is_disturbed_in_every_way_ends_with_the_losses_of_one_that_is_not(job, tmp_path):
    alone = dataclasses.replace(job, workdir=str(tmp_path / "alone"), processes=1, devices=PROCESSES, port=free_port())
    undisturbed = ThreadPoolExecutor(1).submit(Cluster(alone, tmp_path / "rendered-alone").start, 0)

    hurried = (*SETTINGS, f"train.guards.step_seconds={GIVEN_UP}")
    job = dataclasses.replace(job, command=dataclasses.replace(job.command, overrides=hurried))
    in_bucket = dataclasses.replace(job, workdir="gs://b/work", topology="4x4")
    [path] = render(in_bucket, JOBSET, tmp_path / "jobset")
    manifest = yaml.safe_load(path.read_text())
    assert job_of(manifest)["completions"] == PROCESSES
    pod = job_of(manifest)["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == job.grace_seconds
    script = (render(job, LOCAL, tmp_path / "rendered")[0]).read_text()
    # Both run the same words, but for where the work lies.
    words = " ".join(pod["containers"][0]["args"]).replace("gs://b/work", job.workdir)
    assert f'"$octomed" {words} ' in script

    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    cluster = Cluster(job, tmp_path / "rendered", DISTURBANCES, seed)
    played = play(manifest, cluster.start)
    assert played.ended == "Completed", (played, cluster.said[-1])
    codes = {what: code for what, (code, _) in cluster.ended.items()}
    # All save and ask to be started again; a lost process counts; the others give up one that hangs, or does not come.
    assert codes == {"SIGTERM": 42, "SIGKILL": 137, "SIGSTOP": 42, AWAY: 42}
    assert played.counted == 1
    assert "told to end: saved step" in cluster.ended["SIGTERM"][1]
    assert "no step ended in" in cluster.ended["SIGSTOP"][1]
    assert f"expected 4 processes, saw 3: process 3 did not come within {CENSUS} s" in cluster.ended[AWAY][1]
    assert undisturbed.result(LIMIT) == 0
    assert len(curve(tmp_path / "work")) == STEPS
    assert curve(tmp_path / "work") == curve(tmp_path / "alone")
