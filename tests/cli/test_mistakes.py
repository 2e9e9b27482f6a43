"""What a user gets wrong gives one line that names it, the right exit code, and nothing half written."""

import errno
import os
import subprocess
import sys

import pytest

from octomed_jax import places, storage
from octomed_jax.cli.main import VERBS, main
from octomed_jax.errors import TryAgain, UserError

TINY = "--config=configs/demo.py:tiny"


def mistake(capsys, *words: str) -> str:
    """Run a command line that must end with exit 2; return its one line."""
    assert main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("octomed: ") for line in lines].count(True) == 1
    assert lines[-1].startswith("octomed: "), lines
    return lines[-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "unknown verb 'trian' (did you mean 'train'?)"),
        (["questions", "biuld"], "(did you mean 'build'?)"),
        (["train", TINY, "--wrkdir=x"], "unknown option '--wrkdir=x' (did you mean '--workdir'?)"),
        (["train"], "the following arguments are required: --config"),
        (["train", "--config=configs/dmo.py"], "no such config file: configs/dmo.py (did you mean 'configs/demo.py'?)"),
        (["train", "--config=configs/demo.py:huge"], "demo.py knows no variant 'huge'"),
        (["train", TINY, "--config.train.stps=3"], "no field 'stps' in config.train (did you mean 'steps'?)"),
        (["train", TINY, "--config.train.steps=many"], "config.train.steps='many' is no int"),
        (["train", TINY, "--config.train=3"], "config.train is a group of fields"),
        (["train", TINY, "--shards=/nonexistent"], "/nonexistent does not exist; make it first with `octomed shard`"),
        (["verify", TINY, "--attempts=/nonexistent"], "make it first with `octomed distill`"),
        (["distill", TINY, "--questions=/nonexistent"], "make it first with `octomed questions build`"),
        (["export", TINY, "--checkpoint=/nonexistent"], "give the folder of `octomed train` or `octomed import`"),
        (["report", "--run=/nonexistent"], "/nonexistent"),
        (["demo", TINY, "--config.train.schedule=cosin"], "train.schedule='cosin' is unknown (did you mean 'cosine'?)"),
        (["demo", TINY, "--config.train.dtype=float16"], "train.dtype='float16' is unknown"),
        (["demo", TINY, "--config.train.schedule=cosin", "--config.questions.brian.plane=3"], "did you mean 'brain'"),
    ],
)
def test_one_line_and_exit_2(words, expected, capsys, tmp_path, monkeypatch, root):
    monkeypatch.chdir(root)
    words = [*words, f"--config.run={tmp_path / 'run'}"] if TINY in words else words
    assert expected in mistake(capsys, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, capsys):
    subverbs = {
        "questions": "build",
        "data": "write",
        "teacher": "serve",
        "eval": "run",
        "launch": "render",
        "sweep": "run",
    }
    words = [subverbs[verb]] if verb in subverbs else []
    with pytest.raises(SystemExit) as stop:
        main([verb, *words, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert f"example:\n  octomed {verb}" in text


def test_debug_shows_the_traceback(tmp_path):
    command = [sys.executable, "-m", "octomed_jax.cli.main", "export", TINY, f"--workdir={tmp_path}"]
    plain = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (plain.returncode, plain.stderr.count("\n")) == (2, 1)
    debug = subprocess.run([*command, "--debug"], capture_output=True, text=True, timeout=120)
    assert "Traceback" in debug.stderr
    assert debug.returncode != 0


def test_a_full_disk_is_worth_another_try_and_leaves_nothing(tmp_path, monkeypatch):
    """The fault is injected: writing raises what a full disk raises."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = storage.epath.Path(tmp_path / "a.json")
    monkeypatch.setattr(type(path), "replace", full)
    with pytest.raises(TryAgain, match=r"no space left while writing .*a\.json; free some space"):
        storage.write_json(path, {})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_anywhere_is_one_line_and_exit_42(monkeypatch, capsys):
    """The fault is injected where no code of ours writes."""
    from octomed_jax.cli import train

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/x/metrics.jsonl")

    monkeypatch.setattr(train, "run", full)
    assert main(["train"]) == 42
    assert capsys.readouterr().err == (
        "octomed: no space left while writing runs/x/metrics.jsonl; free some space and run the same command again\n"
    )


def test_a_stage_that_fails_leaves_nothing(tmp_path):

    def half() -> None:
        with storage.staged_folder(tmp_path / "out") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UserError, match="already exists and is not empty"), storage.staged_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out" / "mine").read_text() == "x"


def test_names_never_lead_out_of_a_folder(tmp_path):
    (tmp_path / "link").symlink_to("/etc")
    for name in ("../x", "/etc/passwd", "a/../../x", "link/passwd"):
        with pytest.raises(UserError, match="leads out of"):
            places.inside(tmp_path, name)
    assert places.inside(tmp_path, "model.safetensors") == tmp_path / "model.safetensors"
