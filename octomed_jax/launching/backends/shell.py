"""Pieces of shell scripts that several back ends share, and a check of a script without running it."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from octomed_jax.errors import UserError
from octomed_jax.launching.exit_policy import FAIL_NOW, TRY_AGAIN
from octomed_jax.launching.spec import JobSpec

# `wait` ends early when a trapped signal comes: it is called again then, and 127 only says that the code is known.
KEEP_GOING = """\
# keep_going COMMAND...: run it, and run it again where that can help; return its last exit code.
#   0, @FAIL_NOW@: it ends. @TRY_AGAIN@: again, not counted. Anything else: again, at most @RETRIES@ times.
# TERM is passed on to it, and nothing is started after that.
child=
stopping=
interrupted=
pass_on() {
  [ -z "$child" ] || @PASS_ON@ 2>/dev/null
}
trap 'stopping=1; interrupted=1; pass_on' TERM
keep_going() {
  local code=@TRY_AGAIN@ failures=0 waited
  while [ -z "$stopping" ]; do
    "$@" &
    child=$!
    [ -z "$stopping" ] || pass_on
    code=
    while :; do
      interrupted=
      wait "$child"
      waited=$?
      [ -n "$code" ] && [ "$waited" -eq 127 ] || code=$waited
      [ -n "$interrupted" ] || break
    done
    child=
@AFTER@    [ -z "$stopping" ] || break
    case $code in
      0 | @FAIL_CASE@) return "$code" ;;
      @TRY_AGAIN@) echo "octomed launch: exit code @TRY_AGAIN@; starting again, not counted" >&2 ;;
      *)
        failures=$((failures + 1))
        [ "$failures" -le @RETRIES@ ] || return "$code"
        echo "octomed launch: exit code $code; starting again, $failures of @RETRIES@" >&2
        ;;
    esac
    sleep "${OCTOMED_RESTART_SECONDS:-10}" & # TERM ends `wait`, not `sleep`
    wait $!
    kill $! 2>/dev/null
  done
  return "$code"
}
"""


def keep_going(retries: int, after: str = "", pass_on: str = 'kill -TERM "$child"') -> str:
    """Return the shell function that acts on exit codes as ``exit_policy`` says.

    Args:
        retries: restarts after a failure that counts.
        after: lines that run after each end of the command; they may change ``$code``.
        pass_on: command that asks the running command (process ``$child``) to end.
    """
    codes = [str(code) for code in FAIL_NOW]
    parts = {
        "FAIL_NOW": ", ".join(codes),
        "FAIL_CASE": " | ".join(codes),
        "TRY_AGAIN": str(TRY_AGAIN),
        "RETRIES": str(retries),
        "PASS_ON": pass_on,
        "AFTER": "".join(f"    {line}\n" for line in after.splitlines()),
    }
    return fill(KEEP_GOING, parts)


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Return ``template`` with each ``@NAME@`` replaced, in one pass: what a value holds stays as it is."""
    return re.sub("@([A-Z_]+)@", lambda found: parts[found[1]], template)


def exports(spec: JobSpec) -> str:
    """Return a line for each plain setting of the job."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(spec.environment.items()))


def quoted(words: Sequence[str]) -> str:
    """Return the words as a shell reads them."""
    return " ".join(shlex.quote(word) for word in words)


def command_lines(words: Sequence[str]) -> str:
    """Return a command over several lines: its name, then an option each."""
    first = next((number for number, word in enumerate(words) if word.startswith("-")), len(words))
    return " \\\n  ".join([quoted(words[:first]), *[shlex.quote(word) for word in words[first:]]])


def check_bash(name: str, text: str) -> None:
    """Refuse a script that bash cannot read.

    Raises:
        UserError: with the place; or there is no bash.
    """
    if shutil.which("bash") is None:
        raise UserError(f"{name} cannot be checked: no bash on PATH")
    read = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    if read.returncode:
        said = (read.stderr.strip().splitlines() or ["unreadable"])[0]
        raise UserError(f"{name}: {said.removeprefix('bash: ')}")
