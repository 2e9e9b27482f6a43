"""A distillation on a real Ray cluster of two processes: the same bytes as in one process, also after a kill."""

import os
import signal
import threading
import time

import psutil
import pytest
from fault_server import Faults, serving
from teacher_helpers import folder_bytes, make_question, write_folder

from octomed_jax.cli.main import main
from octomed_jax.teacher.status import read_status

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def cluster():
    ray = pytest.importorskip("ray", reason="the ray extra is not installed; make test-integration installs it")
    ray.init(num_cpus=2, include_dashboard=False)
    yield ray
    ray.shutdown()


def test_it_gives_the_same_bytes_though_a_process_is_killed(tmp_path, capfd):
    folder = write_folder(tmp_path / "questions", [make_question(index, 8) for index in range(120)])
    faults = Faults(folder, plan=lambda body, times: "500" if times == 1 and body["seed"] % 7 == 0 else None)
    killed = []

    def kill_one():
        """End the process of a shard as soon as it tells that attempts came back."""
        limit = time.monotonic() + 60
        while not killed and time.monotonic() < limit:
            for told in read_status(tmp_path / "ray"):
                if told["requests"] and told["done"] < told["of"] and psutil.pid_exists(told["process"]):
                    os.kill(told["process"], signal.SIGKILL)
                    killed.append(told["process"])
                    return
            time.sleep(0.02)

    with serving(faults) as url:
        words = ["distill", f"--questions={folder}", f"--endpoint={url}", "--model=m", "--samples=8"]
        assert main([*words, f"--output={tmp_path / 'one'}"]) == 0
        faults.delay = 0.5
        killer = threading.Thread(target=kill_one)
        killer.start()
        words += ["--engine=ray", "--config.distill.shards=3", "--in-flight=4"]
        assert main([*words, f"--output={tmp_path / 'ray'}"]) == 0
        killer.join()
    assert killed
    assert folder_bytes(tmp_path / "ray") == folder_bytes(tmp_path / "one")
    assert "960 attempts at 120 questions" in capfd.readouterr().out
