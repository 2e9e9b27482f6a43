"""Pieces of shell scripts that several back ends share, and a check of a script without running it."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from octomed_jax.errors import UserError
from octomed_jax.launching.exit_policy import FAIL_NOW, TRY_AGAIN
from octomed_jax.launching.spec import JobSpec

# The command runs in the foreground of a subshell, which notes its exit code, and the shell looks now and then whether
# it is still there: `wait` of bash 5.2 can lose the code of a process that ends just when a trapped signal comes.
KEEP_GOING = """\
# keep_going COMMAND...: run it, and run it again where that can help; return its last exit code.
#   0, @FAIL_NOW@: it ends. @TRY_AGAIN@: again, not counted. Anything else: again, at most @RETRIES@ times.
# TERM is passed on to it, and nothing is started after that.
child=
stopping=
tick=${OCTOMED_TICK_SECONDS:-1}
notes=$(mktemp -d) || exit 1
pass_on() {
  [ -n "$child" ] || return 0
  until [ -s "$notes/pid" ] || ! kill -0 "$child" 2>/dev/null; do sleep 0.05; done
  @PASS_ON@ 2>/dev/null
}
trap 'stopping=1; pass_on' TERM
trap 'rm -rf -- "$notes"' EXIT
keep_going() {
  local code=@TRY_AGAIN@ failures=0
  while [ -z "$stopping" ]; do
@BEFORE@    rm -f -- "$notes/pid" "$notes/code"
    (
      trap : TERM
      bash -c 'echo $$ >"$0/pid" && exec "$@"' "$notes" "$@"
      echo $? >"$notes/code"
    ) &
    child=$!
    [ -z "$stopping" ] || pass_on
    while kill -0 "$child" 2>/dev/null; do sleep "$tick"; done
    child=
    code=137
    [ ! -s "$notes/code" ] || read -r code <"$notes/code"
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
    for _ in 1 2 3 4 5 6 7 8 9 10; do
      [ -n "$stopping" ] || sleep "$tick"
    done
  done
  return "$code"
}
"""


def keep_going(
    retries: int, before: str = "", after: str = "", pass_on: str = 'kill -TERM "$(cat "$notes/pid")"'
) -> str:
    """Return the shell function that acts on exit codes as ``exit_policy`` says.

    Args:
        retries: restarts after a failure that counts.
        before: lines that run before each start of the command.
        after: lines that run after each end of it; they may change ``$code``.
        pass_on: command that asks it to end.
    """
    codes = [str(code) for code in FAIL_NOW]
    parts = {
        "FAIL_NOW": ", ".join(codes),
        "FAIL_CASE": " | ".join(codes),
        "TRY_AGAIN": str(TRY_AGAIN),
        "RETRIES": str(retries),
        "PASS_ON": pass_on,
        "BEFORE": "".join(f"    {line}\n" for line in before.splitlines()),
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
