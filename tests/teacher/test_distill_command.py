"""``octomed distill`` from the command line, with the programmatic teacher it starts itself."""

import json

import pytest
from teacher_helpers import folder_bytes, make_question, write_folder

from octomed_jax.cli.main import main


def test_the_command_names_the_teacher_and_the_result(tmp_path, capfd):
    folder = write_folder(tmp_path / "questions", [make_question(index) for index in range(12)])
    for name, more in (("a", ["--json"]), ("b", ["--config.distill.in_flight=3"])):
        words = ["distill", "--config=configs/demo.py:tiny", f"--questions={folder}", f"--output={tmp_path / name}"]
        assert main([*words, *more]) == 0
    printed = capfd.readouterr()
    first, last = printed.out.strip().splitlines()
    assert json.loads(first)["attempts"] == 48
    assert last.startswith("48 attempts at 12 questions (41 correct, 0 failed) by programmatic teacher (10% wrong, ")
    assert last.endswith(f"lie in {tmp_path / 'b'}; report: {tmp_path / 'b' / 'report.html'}")
    assert "teacher: programmatic teacher (10% wrong, 5% malformed, 5% truncated on purpose), started" in printed.err
    assert folder_bytes(tmp_path / "a") == folder_bytes(tmp_path / "b")


@pytest.mark.parametrize("verb", ["distill", "verify"])
def test_help_has_an_example(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert f"\n  octomed {verb} --config=configs/demo.py" in capsys.readouterr().out.partition("example:")[2]


def test_mistakes_are_one_line(tmp_path, capsys):
    assert main(["distill", "--config=configs/demo.py", f"--questions={tmp_path / 'none'}"]) == 2
    assert "does not exist; make it first with `octomed questions build`" in capsys.readouterr().err
    assert main(["distill", "--config=configs/demo.py", "--config.distill.sample=3"]) == 2
    assert "did you mean 'samples'" in capsys.readouterr().err
