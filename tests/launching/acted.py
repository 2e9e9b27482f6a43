"""Stands for programs that are not here: what runs a job, and the job itself, which ends as a plan says."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# The N-th start does what line N of plan-NAME says: an exit code, `kill` (SIGKILL), or `wait` (until TERM, then 42).
PLANNED = """\
#!/bin/bash
name=$1
shift
cd "$ACTED" || exit 99
echo "$@" >>"words-$name"
starts=$(wc -l <"words-$name")
case $(sed -n "${starts}p" "plan-$name") in
  kill) kill -9 $$ ;;
  wait)
    trap 'exit 42' TERM
    touch "waiting-$name"
    while :; do sleep 0.05; done
    ;;
  '') exit 98 ;;
  *) exit "$(sed -n "${starts}p" "plan-$name")" ;;
esac
"""


class Stage:
    """A folder with programs on PATH, plans for what they run, and what they were told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir(parents=True)
        self.program("planned", PLANNED)

    def program(self, name: str, text: str) -> Path:
        """Put a program on PATH."""
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def plan(self, name: str, *ends: object) -> None:
        """Say how the starts of ``name`` end, one after the other."""
        (self.folder / f"plan-{name}").write_text("".join(f"{end}\n" for end in ends))

    def words(self, name: str) -> list[str]:
        """Return the words of each start of ``name``."""
        path = self.folder / f"words-{name}"
        return path.read_text().splitlines() if path.exists() else []

    def start(self, command: Sequence[str], **environment: str) -> subprocess.Popen[str]:
        """Run a command with these programs, in this folder."""
        # A shell cannot trap what was ignored when it started, and tests may run in the background.
        before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGINT)}
        process = subprocess.Popen(
            list(command),
            cwd=self.folder,
            env={**os.environ, **self.environment(), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        for number, handler in before.items():
            signal.signal(number, handler)
        return process

    def environment(self) -> Mapping[str, str]:
        """Return what the programs need to find each other; waits are short."""
        return {
            "ACTED": str(self.folder),
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "OCTOMED_TICK_SECONDS": "0.02",
            "OCTOMED_POLL_SECONDS": "0.1",
        }

    def run(self, command: Sequence[str], **environment: str) -> tuple[int, str]:
        """Run a command to its end; return its exit code and what it printed."""
        return ended(self.start(command, **environment))

    def until(self, name: str, seconds: float = 20) -> None:
        """Wait for a file of this folder."""
        deadline = time.monotonic() + seconds
        while not (self.folder / name).exists():
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} did not come")
            time.sleep(0.02)


def ended(process: subprocess.Popen[str], seconds: float = 30) -> tuple[int, str]:
    """Wait for the end; nothing that was started outlives it."""
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, printed
