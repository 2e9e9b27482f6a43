"""What a person reads of the time that is left."""

import pytest

from octomed_jax import progress
from octomed_jax.progress import bar, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3569, "59 min"),
        (3599, "1 h 0 min"),
        (47858, "13 h 18 min"),
        (172_740, "47 h 59 min"),
        (442_800, "5 d 3 h"),
    ],
)
def test_a_time_is_said_as_a_person_says_it(seconds, text):
    assert duration(seconds) == text


def test_the_first_unit_which_compiles_does_not_count_for_the_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False)
    with progress.console.capture() as said, bar("train", 100, "steps") as line:
        for seconds in (600, 20, 20):
            now[0] += seconds
            line.advance()
        line.note("loss 2")  # too soon for another line
    assert said.get().splitlines() == [
        "  train: 1/100 steps",
        "  train: 2/100 steps, about 33 min left",
        "  train: 3/100 steps, about 32 min left",
    ]
