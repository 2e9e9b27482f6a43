"""Many processes train as one: the same losses to the last bit, also when their number changes after a kill.

Real processes on loopback, killed with SIGKILL, or slowed down.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from octomed_jax.errors import UserError
from octomed_jax.models.mesh import AXES
from octomed_jax.models.runtime import distributed_arguments, same_threads
from octomed_jax.training.hosts import WINDOW
from octomed_jax.training.loop import train
from octomed_jax.training.metrics import read_lines, read_metrics

DEVICES = 8
STEPS = 6
COMMAND = ("-m", "octomed_jax.cli.main")


def start(
    shards, workdir, processes: int, *more: str, devices: int = DEVICES, last: tuple[str, ...] = COMMAND
) -> list[subprocess.Popen]:
    """Start a job over eight simulated devices, or fewer; ``last`` is what Python runs as its last process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["--config=configs/demo.py:tiny", f"--config.train.steps={STEPS}", "--config.train.examples_per_step=12"]
    words += ["--config.student.vocab_size=300"]  # as the shards were rendered for
    words += ["--config.train.tokens_per_row=272", "--config.checkpoint.every=2", "--config.train.mesh.data=2"]
    words += ["--config.held_out.records=4", "--config.held_out.every=3", "--config.held_out.max_new_tokens=4"]
    words += [f"--shards={shards}", f"--workdir={workdir}", *more]
    running = []
    for rank in range(processes):
        # The suite's flags, which compile fast, with this process's part of the devices.
        flags = os.environ["XLA_FLAGS"].replace(f"device_count={DEVICES}", f"device_count={devices // processes}")
        environment = os.environ | {"XLA_FLAGS": flags}
        if processes > 1:
            environment |= {
                "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                "JAX_NUM_PROCESSES": str(processes),
                "JAX_PROCESS_ID": str(rank),
            }
        command = [sys.executable, *(last if rank == processes - 1 else COMMAND), "train", *words]
        running.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
        )
    return running


def finish(running: list[subprocess.Popen]) -> list[str]:
    """Wait for a job that must end well; return what each process said."""
    said = [process.communicate(timeout=280)[1] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), said
    return said


def curve(workdir) -> list[list]:
    names = ("step", "loss", "grad_norm", "held_out_loss", "target_tokens", "tokens", "images", "fill")
    return [[entry.get(name) for name in names] for entry in read_metrics(workdir / "metrics.jsonl")]


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """The curve of one process that nothing interrupts; it was told nothing of a job."""
    workdir = tmp_path_factory.mktemp("one")
    finish(start(shards, workdir, 1))
    assert len(curve(workdir)) == STEPS
    return workdir


@pytest.mark.integration
@pytest.mark.parametrize("processes", [2, 4])
def test_many_processes_train_as_one(whole, shards, tmp_path, processes):
    said = finish(start(shards, tmp_path, processes, f"--config.held_out.samples={2 * (processes == 2)}"))
    assert curve(tmp_path) == curve(whole)
    assert f"train: {processes} processes are there: " in said[0]
    if processes == 2:
        assert read_lines(tmp_path / "samples.jsonl") == read_lines(whole / "samples.jsonl")


@pytest.mark.integration
def test_killed_and_gone_on_with_by_another_number_of_processes(whole, shards, tmp_path):
    for processes, step in ((2, 2), (4, 4)):
        running = start(shards, tmp_path, processes, "--config.held_out.samples=0")
        deadline = time.monotonic() + 240
        while not (tmp_path / "checkpoints" / str(step)).exists():
            assert all(process.poll() is None for process in running), "the job ended too early"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    [said] = finish(start(shards, tmp_path, 1, "--config.held_out.samples=0"))
    assert "going on after step" in said
    assert "since the first of 3 start(s)" in " ".join(said.split())
    assert curve(tmp_path) == curve(whole)


@pytest.mark.integration
def test_processes_that_share_rows_train_as_one(shards, tmp_path):
    """Pieces of every row lie in both processes: each reads all rows."""
    mesh = [f"--config.train.mesh.{axis}={size}" for axis, size in zip(AXES, (1, 1, 8, 1), strict=True)]
    finish(start(shards, tmp_path / "one", 1, *mesh))
    finish(start(shards, tmp_path / "two", 2, *mesh))
    assert len(curve(tmp_path / "one")) == STEPS
    assert curve(tmp_path / "two") == curve(tmp_path / "one")
    assert read_lines(tmp_path / "two" / "samples.jsonl") == read_lines(tmp_path / "one" / "samples.jsonl")


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_other_meshes_agree_over_twenty_steps(config, shards, tmp_path):
    config.train.steps, config.checkpoint.every = 20, 20
    losses = []
    for data in (8, 2, 1):
        config.train.mesh = {"data": data, "fsdp": 8 // data}
        train(config, shards, tmp_path / str(data))
        losses.append([entry["loss"] for entry in read_metrics(tmp_path / str(data) / "metrics.jsonl")])
        assert len(losses[-1]) == 20
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    np.testing.assert_allclose(losses[2], losses[0], rtol=1e-5)


# From the second window on, rows come late, however long a step takes on this machine: the wait for them begins when
# the devices have nothing left to do. The read-ahead would hide a delay before that.
DELAY = 0.3
SLOW = f"""
import sys, time
import jax
from octomed_jax.cli.main import main
from octomed_jax.training.record import Record

wait_for = Record.wait_for

def late(rows, sent):
    if sent and sent.step >= {WINDOW}:
        jax.block_until_ready(sent.metrics)
        time.sleep({DELAY})
    yield next(rows)

Record.wait_for = lambda record, rows, sent: wait_for(record, late(rows, sent), sent)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.integration
def test_a_process_that_becomes_slow_is_named_and_no_other(shards, tmp_path):
    """Both processes are equal for a window of steps, and then the second one gets its rows late for another."""
    words = ["--config.train.examples_per_step=2", "--config.held_out.every=0"]
    words += [f"--config.{name}={2 * WINDOW}" for name in ("train.steps", "checkpoint.every")]
    for said in finish(start(shards, tmp_path, 2, *words, devices=2, last=("-c", SLOW))):
        [(name, seconds, others)] = re.findall(
            r"train: \S+ (\(process \d\)) keeps the others waiting: it takes (\S+) s .*, the others (\S+) s;", said
        )
        assert name == "(process 1)"
        lasted = [entry["step_seconds"] for entry in read_metrics(tmp_path / "metrics.jsonl")[WINDOW:]]
        # Half of its steps take it the median or longer, and no process is on its own for longer than a step lasts.
        assert DELAY <= float(seconds) <= 2 * sum(lasted) / WINDOW
        assert float(others) < float(seconds) / 2


MISSING = """
import octomed_jax.models.runtime as runtime
from octomed_jax.errors import TryAgain
try:
    runtime.start_jax(census_seconds=4)
except TryAgain as error:
    print(error, flush=True)
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_does_not_come_is_named(rank):
    """Of three processes the last one is never started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", MISSING],
            env=os.environ
            | {
                "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                "JAX_NUM_PROCESSES": "3",
                "JAX_PROCESS_ID": str(one),
                "TPU_WORKER_HOSTNAMES": "host-a,host-b,host-c",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for one in range(2)
    ]
    said = [process.communicate(timeout=100) for process in running]
    assert "expected 3 processes, saw 2: process 2 (host-c) did not come within 4 s" in said[rank][0], said[rank]


@pytest.mark.parametrize(
    ("flags", "processes", "threads"),
    [("--xla_force_host_platform_device_count=4 --x=1", 64, "256"), ("--x=1", 64, None), ("", 1, None)],
)
def test_simulated_devices_have_the_same_threads_however_they_are_spread(monkeypatch, flags, processes, threads):
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.delenv("NPROC", raising=False)
    same_threads(processes)
    assert os.environ.get("NPROC") == threads


def test_half_a_set_of_variables_is_refused():
    assert distributed_arguments({}) is None
    with pytest.raises(UserError, match="but not JAX_NUM_PROCESSES, JAX_PROCESS_ID"):
        distributed_arguments({"JAX_COORDINATOR_ADDRESS": "127.0.0.1:1"})
    pod = {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}
    assert distributed_arguments(pod) == {"coordinator_address": "a:8476", "num_processes": 2, "process_id": 1}
    assert distributed_arguments(pod | {"MEGASCALE_COORDINATOR_ADDRESS": "x"}) == {}
    assert distributed_arguments(pod | {"TPU_WORKER_HOSTNAMES": "a"}) is None
    full = {"JAX_COORDINATOR_ADDRESS": "127.0.0.1:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "x"}
    with pytest.raises(UserError, match="must be numbers"):
        distributed_arguments(full)
    assert distributed_arguments(full | {"JAX_PROCESS_ID": "1"})["process_id"] == 1
