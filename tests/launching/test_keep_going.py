"""The shell function that acts on exit codes, run for real: how often it starts a command, and how it ends."""

import signal

import pytest

from octomed_jax.errors import UserError
from octomed_jax.launching.backends.shell import check_bash, command_lines, fill, keep_going
from octomed_jax.launching.exit_policy import FAIL_NOW
from tests.launching.acted import Stage, ended


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


def script(retries: int = 2, after: str = "") -> list[str]:
    return ["bash", "-c", f'{keep_going(retries, after)}keep_going planned job\nexit "$?"']


@pytest.mark.parametrize(
    ("ends", "starts", "code"),
    [
        ((0,), 1, 0),
        *[((code,), 1, code) for code in FAIL_NOW],
        ((42, 42, 42, 42, 0), 5, 0),
        (("kill", "kill", "kill", 0), 3, 137),
        ((139, 42, 143, 42, 0), 5, 0),
        ((42, "kill", 43), 3, 43),
    ],
)
def test_codes_lead_to_starts(stage, ends, starts, code):
    stage.plan("job", *ends)
    assert stage.run(script())[0] == code
    assert len(stage.words("job")) == starts


def test_no_such_command_ends_at_once(stage):
    (stage.programs / "planned").unlink()
    assert stage.run(script())[0] == 127


def test_no_retries_ends_with_the_first_crash_and_still_tries_again_after_42(stage):
    stage.plan("job", 42, "kill", 0)
    assert stage.run(script(retries=0))[0] == 137
    assert len(stage.words("job")) == 2


def test_term_is_passed_on_and_nothing_starts_after_it(stage):
    stage.plan("job", "wait", 0)
    process = stage.start(script())
    stage.until("waiting-job")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 42
    assert len(stage.words("job")) == 1


def test_term_between_two_starts_ends_it(stage):
    stage.plan("job", 42, 0)
    process = stage.start([*script(after='touch "$ACTED/between"')], OCTOMED_TICK_SECONDS="1")
    stage.until("between")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 42
    assert len(stage.words("job")) == 1


def test_what_a_value_holds_is_not_filled_again():
    assert fill("a @B@ c", {"B": "@C@", "C": "no"}) == "a @C@ c"


def test_a_command_is_written_over_several_lines():
    assert command_lines(["xpk", "workload", "--a=b c", "--d"]) == "xpk workload \\\n  '--a=b c' \\\n  --d"


def test_a_script_that_bash_cannot_read_is_refused():
    check_bash("x.sh", "echo fine\n")
    with pytest.raises(UserError, match=r"x\.sh: line 3: syntax error"):
        check_bash("x.sh", "if true; then\n  echo\n")
