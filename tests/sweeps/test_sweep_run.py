"""Running a sweep with a stand-in for octomed: resuming, failing points, changed definitions and being killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_config import POINTS, calls, fake_octomed, write_config

from octomed_jax.cli import sweep as sweep_command
from octomed_jax.cli.main import main
from octomed_jax.errors import TryAgain
from octomed_jax.sweeps.expand import expand
from octomed_jax.sweeps.run import run_sweep


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty current folder whose octomed is the stand-in."""
    monkeypatch.chdir(tmp_path)
    octomed = fake_octomed(tmp_path)
    monkeypatch.setattr(sweep_command, "run_sweep", lambda sweep, output: run_sweep(sweep, output, octomed))
    return tmp_path


def run(place: Path, *words: str) -> int:
    return main(["sweep", "run", f"--config={write_config(place)}", "--output=out", *words])


def test_every_point_is_a_demo_run_in_a_folder_of_its_own(place, capsys):
    assert run(place) == 0
    printed = capsys.readouterr().out
    assert "3 of 3 points done" in printed.splitlines()[-1]
    assert (place / "calls").read_text().splitlines()[0] == f"demo 1 {place / 'small.py'}"
    folders = sorted(path.name for path in (place / "out").iterdir() if path.name.startswith("r") and path.is_dir())
    assert folders == sorted(point.id for point in expand(str(place / "small.py")).points)


def test_a_finished_sweep_runs_nothing_again(place):
    assert run(place) == 0
    before = {path: path.read_bytes() for path in (place / "out").rglob("*") if path.is_file()}
    assert run(place, "--json") == 0
    assert calls(place) == [1, 2, 4]
    assert {path: path.read_bytes() for path in (place / "out").rglob("*") if path.is_file()} == before


def test_a_failed_point_does_not_stop_the_others_and_is_tried_again(place, capsys):
    (place / "fail-2").write_text("43")
    assert run(place) == 1
    errors = capsys.readouterr().err
    assert "per-question-2 (exit 43)" in errors
    assert "octomed: 2 does not work" in errors
    assert calls(place) == [1, 2, 4]
    (place / "fail-2").unlink()
    assert run(place) == 0
    assert calls(place) == [1, 2, 4, 2]


def test_where_trying_again_can_help_the_exit_code_says_so(place):
    (place / "fail-1").write_text("42")
    assert run(place) == 42


def test_a_run_without_a_summary_is_no_success(place, capsys):
    (place / "silent").touch()
    assert run(place) == 1
    assert "without a summary.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (POINTS.replace("4", "8"), "new: traces.per_question=8; gone: traces.per_question=4"),
        (POINTS.replace("1, 2, 4", "1, 2"), "gone: traces.per_question=4"),
        (POINTS.replace("1, 2, 4", "2, 1, 4"), "order of its points"),
    ],
)
def test_another_definition_in_the_same_folder_is_refused_with_the_difference(place, capsys, points, message):
    assert run(place) == 0
    spec = write_config(place, points)
    assert main(["sweep", "run", f"--config={spec}", "--output=out"]) == 2
    assert message in capsys.readouterr().err
    assert calls(place) == [1, 2, 4]


def test_a_changed_base_config_is_refused(place, capsys):
    assert run(place) == 0
    path = place / "small.py"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 5'))
    assert main(["sweep", "run", f"--config={path}", "--output=out"]) == 2
    assert "the config under its points changed" in capsys.readouterr().err


def test_a_folder_with_something_else_is_refused(place, capsys):
    (place / "out").mkdir()
    (place / "out/thesis.txt").write_text("x")
    assert run(place) == 2
    assert "holds no sweep" in capsys.readouterr().err
    assert [path.name for path in (place / "out").iterdir()] == ["thesis.txt"]


def test_an_invalid_point_starts_nothing(place, capsys):
    spec = write_config(place, POINTS + "    add(sed=1)\n")
    assert main(["sweep", "run", f"--config={spec}", "--output=out"]) == 2
    assert "did you mean 'seed'" in capsys.readouterr().err
    assert not (place / "out").exists()


DRIVER = """
import sys
from octomed_jax.sweeps.expand import expand
from octomed_jax.sweeps.run import run_sweep
run_sweep(expand(sys.argv[1]), "out", tuple(sys.argv[2:]))
"""


def start_slow(place: Path) -> subprocess.Popen[bytes]:
    """Start a sweep in a process of its own and return when its second point runs."""
    (place / "slow").write_text("1.5")
    command = [sys.executable, "-c", DRIVER, write_config(place), *fake_octomed(place)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    for _ in range(200):
        if calls(place) == [1, 2]:
            return process
        time.sleep(0.05)
    raise AssertionError("the second point did not start")


def test_a_sweep_that_was_killed_goes_on_where_it_was(place):
    undisturbed = place / "undisturbed"
    run_sweep(expand(write_config(place)), undisturbed, fake_octomed(place))
    (place / "calls").unlink()
    process = start_slow(place)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    sweep = expand(write_config(place))
    # The point that was running goes on without its sweep: it is not started a second time beside itself.
    with pytest.raises(TryAgain, match="still works there"):
        run_sweep(sweep, "out", fake_octomed(place))
    time.sleep(1.7)
    (place / "slow").unlink()
    codes = run_sweep(sweep, "out", fake_octomed(place))
    assert list(codes.values()) == [0, 0, 0]
    assert calls(place) == [1, 2, 2, 4]  # the first was finished; the second is asked again, which resumes it
    for name in ("sweep.json", *(f"{point.id}/summary.json" for point in sweep.points)):
        assert (place / "out" / name).read_bytes() == (undisturbed / name).read_bytes()


def test_a_sweep_that_is_asked_to_end_takes_its_run_with_it(place):
    process = start_slow(place)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=10)
    (place / "slow").unlink()
    codes = run_sweep(expand(write_config(place)), "out", fake_octomed(place))
    assert list(codes.values()) == [0, 0, 0]
    assert calls(place) == [1, 2, 2, 4]


def test_two_sweeps_do_not_share_a_folder(place):
    process = start_slow(place)
    with pytest.raises(TryAgain, match="still works there"):
        run_sweep(expand(write_config(place)), "out", fake_octomed(place))
    assert process.wait(timeout=20) == 0
