import json
import subprocess
import sys

import pytest

from octomed_jax.cli.main import main

ROW = {
    "benchmark": "medqa", "id": "q0", "task": "yes_no", "question": "Is it?", "options": [], "answer": "yes", "seed": 0,
    "response": "<think>so</think>Yes", "finish_reason": "stop", "cluster": "",
}  # fmt: skip


def write(path, *rows):
    path.write_text("".join(json.dumps({**ROW, **row}) + "\n" for row in rows))
    return str(path)


def test_results_are_written_and_told(tmp_path, capsys):
    samples = write(tmp_path / "a.jsonl", {}, {"id": "q1", "response": "No"}, {"id": "q2", "error": "HTTP 500"})
    assert main(["eval", "score", samples, f"--output={tmp_path / 'results.json'}"]) == 0
    told = capsys.readouterr()
    ending = f"2 responses to 2 questions of 1 benchmarks, 1 requests failed; results: {tmp_path / 'results.json'}"
    assert told.out.splitlines()[-1] == ending
    assert "50.0%" in told.err
    assert "medqa: every request of q2 failed; not counted in n" in told.err
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["benchmarks"]["medqa"]["accuracy"] == 0.5
    assert results["settings"]["bootstrap"]["draws"] == 10_000
    assert main(["eval", "score", samples, f"--output={tmp_path / 'again.json'}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == results
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "results.json").read_bytes()


def test_mistakes_are_one_line_and_write_nothing(tmp_path, capsys):
    samples, output = write(tmp_path / "a.jsonl", {"answer": ""}), f"--output={tmp_path / 'results.json'}"
    for words, expected in [
        ([samples, output], "has no gold"),
        ([samples], "--output"),
        ([samples, f"--output={tmp_path / 'results'}"], "is no .json file"),
        ([str(tmp_path / "none.jsonl"), output], "no such file"),
        (["gs://bucket/a.jsonl", output], "gs://bucket/a.jsonl lies in a bucket; copy it to a disk"),
        ([output], "SAMPLES"),
        ([samples, output, "--config.eval.seeds=3"], "there is no config here"),
    ]:
        assert main(["eval", "score", *words]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert expected in lines[-1]
        assert lines[-1].startswith("octomed: ")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_scoring_starts_no_jax(tmp_path):
    words = ["eval", "score", write(tmp_path / "a.jsonl", {}), f"--output={tmp_path / 'results.json'}"]
    code = (
        f"import sys; from octomed_jax.cli.main import main; assert main({words!r}) == 0\n"
        "bridge = sys.modules.get('jax._src.xla_bridge')\n"
        "assert bridge is None or not bridge._backends, 'a backend was initialised'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("name", ["[/b]", "[red]hot[/red]", "a\nb", "\x1b[31mred"])
def test_names_are_printed_as_they_are_and_never_obeyed(tmp_path, capsys, name):
    asked = {"benchmark": name, "id": "[/q]"}
    path = write(tmp_path / "a.jsonl", asked, asked | {"id": "\x1b[2J", "response": None, "error": "HTTP 500"})
    assert main(["eval", "score", path, f"--output={tmp_path / 'results.json'}"]) == 0
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert f"{repr(name)[1:-1]}: every request of \\x1b[2J failed" in shown.replace("\n", " ")
    assert main(["eval", "compare", path, path]) == 0
    assert "\x1b" not in capsys.readouterr().err
