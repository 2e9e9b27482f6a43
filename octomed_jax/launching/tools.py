"""Runs the tools of the back ends: to ask them something, or to let them work before the user's eyes."""

import dataclasses
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence

from octomed_jax import progress
from octomed_jax.errors import StopAndLook, TryAgain, UserError

ASK_SECONDS = 60.0
NO_PROGRAM, NO_ANSWER = 127, 124
STANDARD_ERROR = 2


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a tool said; ``code`` is 127 where there is none of that name, 124 where it said nothing in time."""

    code: int
    out: str
    err: str

    @property
    def why(self) -> str:
        """The line of what it wrote that says what is wrong: one that begins with the word error, or else the last."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        named = [line for line in lines if line.lower().startswith("error")]
        return (named[:1] or lines[-1:] or [f"exit code {self.code}"])[0]


Ask = Callable[[Sequence[str]], Answer]


def ask(words: Sequence[str]) -> Answer:
    """Run a command that changes nothing, and return what it said."""
    if shutil.which(words[0]) is None:
        return Answer(NO_PROGRAM, "", f"{words[0]} is not on PATH")
    try:
        ran = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(NO_ANSWER, "", f"{words[0]} did not answer within {ASK_SECONDS:.0f} s")
    return Answer(ran.returncode, ran.stdout.strip(), ran.stderr.strip())


def need(tools: Sequence[str]) -> None:
    """Refuse to begin where a program is missing.

    Raises:
        UserError: it is not on PATH.
    """
    for tool in tools:
        if shutil.which(tool) is None:
            raise UserError(f"{tool} is not on PATH; install it, or choose another --backend")


def work(words: Sequence[str], aside: bool = False) -> None:
    """Show a command and run it; what it says goes where ours goes.

    Args:
        words: the command.
        aside: what it says goes to standard error, where ours has a result of its own.

    Raises:
        TryAgain, StopAndLook: it ended with the exit code of these.
        UserError: it ended with any other but 0.
    """
    line = shlex.join(words)
    progress.say(f"$ {line}")
    need(words[:1])
    code = subprocess.run(list(words), check=False, stdout=STANDARD_ERROR if aside else None).returncode
    if code == 0:
        return
    said = f"`{line}` ended with exit code {code}; what it said stands above"
    if code == TryAgain.exit_code:
        raise TryAgain(said)
    if code == StopAndLook.exit_code:
        raise StopAndLook(said)
    raise UserError(f"{said}; `octomed launch doctor` looks for the cause")
