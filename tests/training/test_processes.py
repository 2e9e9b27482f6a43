"""The same global mesh on one process, on two and on four gives the same losses (real processes on loopback)."""

import os
import socket
import subprocess
import sys

import pytest

from octomed_jax.errors import UserError
from octomed_jax.models.runtime import distributed_arguments
from octomed_jax.training.metrics import read_metrics


def run(shards, workdir, processes, devices):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["--config=configs/demo.py:tiny", "--config.train.steps=3", "--config.train.examples_per_step=12"]
    words += ["--config.train.tokens_per_row=272", f"--shards={shards}", f"--workdir={workdir}"]
    command = [sys.executable, "-m", "octomed_jax.cli.main", "train", *words]
    running = []
    for rank in range(processes):
        # The job of one process is told of itself too: without that XLA adds up its devices in another order than Gloo,
        # and the last bit of a sum may differ.
        environment = os.environ | {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_NUM_PROCESSES": str(processes),
            "JAX_PROCESS_ID": str(rank),
        }
        running.append(subprocess.Popen(command, env=environment))
    codes = [process.wait(timeout=280) for process in running]
    assert codes == [0] * processes
    return [entry["loss"] for entry in read_metrics(workdir / "metrics.jsonl")]


@pytest.mark.integration
def test_many_processes_train_as_one(shards, tmp_path):
    one = run(shards, tmp_path / "one", 1, 4)
    two = run(shards, tmp_path / "two", 2, 2)
    four = run(shards, tmp_path / "four", 4, 1)
    assert len(one) == 3
    assert one == two == four


def test_half_a_set_of_variables_is_refused():
    assert distributed_arguments({}) is None
    with pytest.raises(UserError, match="but not JAX_NUM_PROCESSES, JAX_PROCESS_ID"):
        distributed_arguments({"JAX_COORDINATOR_ADDRESS": "127.0.0.1:1"})
    full = {"JAX_COORDINATOR_ADDRESS": "127.0.0.1:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "x"}
    with pytest.raises(UserError, match="must be numbers"):
        distributed_arguments(full)
    assert distributed_arguments(full | {"JAX_PROCESS_ID": "1"})["process_id"] == 1
