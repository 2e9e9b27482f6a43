"""Benchmarks that compare with others: they run, and both sides do the same work."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.chat_server import ChatServer, served, serving

ROOT = Path(__file__).parents[1]
# Every package of ours that jax, flax, optax, numpy, pillow, torch and transformers do not bring along themselves.
ABSENT = ("jaxtyping", "ml_collections", "grain", "pyarrow", "jinja2", "pydicom", "nibabel", "array_record", "aiohttp")


@pytest.mark.integration
@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_starts(path):
    """Nobody checks their types: a name that is gone is found when one is imported."""
    command = [sys.executable, f"benchmarks/{path.name}", "--help"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if ran.returncode and "Traceback" not in ran.stderr and "install" in ran.stderr:
        pytest.skip(ran.stderr.splitlines()[-1])  # it says itself what it lacks
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ("usage: " in ran.stdout) == ('if __name__ == "__main__"' in path.read_text())


@pytest.mark.integration
def test_student_steps_need_only_the_numeric_packages(tmp_path):
    """Both sides make their own examples, start from the same loss, and the figures are written."""
    pytest.importorskip("torch", reason="the other side of the benchmark")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({ABSENT}))\n")
    for name in ABSENT:
        absent = subprocess.run(
            [sys.executable, "-c", f"import {name}"],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
        )
        assert b"ModuleNotFoundError" in absent.stderr
    command = [
        sys.executable,
        "benchmarks/student_step.py",
        "--tokens=1024",
        "--rows=2",
        "--images=1",
        "--steps=1",
        "--remat=full",
    ]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    ran = subprocess.run(
        [*command, f"--output={tmp_path / 'out.json'}"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads((tmp_path / "out.json").read_text())
    ours, theirs = figures["ours"], figures["transformers"]
    assert ours["first_loss"] == pytest.approx(theirs["first_loss"], rel=1e-4)
    assert min(ours["images_per_second"], ours["useful_tokens_per_second"], theirs["seconds"], figures["ratio"]) > 0


@pytest.mark.integration
def test_import_and_export_are_measured_and_leave_nothing(tmp_path):
    (tmp_path / "disk").mkdir()
    command = [sys.executable, "benchmarks/export_memory.py", "--size=tiny", "--max-shard-gb", "0.0002"]
    command += [f"--folder={tmp_path / 'disk'}", f"--output={tmp_path / 'out.json'}"]
    ran = subprocess.run(command, cwd=ROOT, env=os.environ | {"XLA_FLAGS": ""}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert not list((tmp_path / "disk").iterdir())
    figures = json.loads((tmp_path / "out.json").read_text())
    assert list(figures["steps"]) == ["import", "export", "roundtrip", "export 0.0002"]
    assert len(figures["plain"]) == 5
    assert figures["identical_files"] == 7
    for step in figures["steps"].values():
        assert 0 < step["peak_anonymous_bytes"] < step["peak_bytes"]
        assert min(step["bytes_per_second"], step["of_plain"]) > 0


@pytest.mark.integration
def test_rows_are_read_as_transformers_reads_them(tmp_path, made_shards):
    """The benchmark of the input compares ids and pixels of both sides before it counts anything."""
    command = [sys.executable, "benchmarks/input.py", "--examples=20000", "--rows=3"]
    command += [f"--shards={made_shards}", f"--output={tmp_path / 'out.json'}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["plan"]["examples"] == 20000
    assert figures["plan"]["fill"]["all"] > 0.95
    assert figures["reading"]["image"]["rows"] == figures["reading"]["text"]["rows"] == 3
    assert figures["reading"]["image"]["images"] > 0


def test_the_chat_server_starts_no_request_before_its_place():
    """Requests that come at once start evenly spaced; one that comes late has cost the places before it."""

    async def ask(server, count):
        question = [{"role": "user", "content": "?"}]
        asked = (server.chat({"messages": question, "n": 2, "seed": seed}) for seed in range(1, count + 1))
        return [json.loads(reply) for reply in await asyncio.gather(*asked)]

    server = ChatServer(latency=0.01, capacity=100)
    replies = asyncio.run(ask(server, 6))
    assert server.last_start - server.first_start == pytest.approx(0.05)
    assert server.last_reply - server.first_seen >= 0.06
    assert server.figures()["busy"] == 1
    assert (server.requests, server.choices, server.most_at_once) == (6, 12, 6)
    texts = [choice["message"]["content"] for reply in replies for choice in reply["choices"]]
    assert len(set(texts)) == 12
    assert replies[0]["usage"]["completion_tokens"] > 200
    assert asyncio.run(ask(ChatServer(0.0, 0.0), 6))[3]["choices"] == replies[3]["choices"]

    late = ChatServer(latency=0.0, capacity=10)
    asyncio.run(ask(late, 1))
    late.first_start = time.monotonic() - 2
    asyncio.run(ask(late, 1))
    assert late.figures()["busy"] == pytest.approx(2 / 21, rel=0.1)


@pytest.mark.integration
def test_asking_a_teacher_is_measured(tmp_path):
    with serving(0.0, 0.0) as url:
        assert served(url)["requests"] == 0
    command = [sys.executable, "benchmarks/distill.py", "--questions=30", "--peer-requests=80", "--memory", "10", "20"]
    ran = subprocess.run([*command, f"--output={tmp_path / 'out.json'}"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads((tmp_path / "out.json").read_text())
    assert {name: tool["questions"] for name, tool in figures["tools"].items()} == {"ours": 30, "ours, single": 5}
    for tool in figures["tools"].values():
        # The samples, and what the client asks to see whether the teacher is there.
        assert tool["questions"] * 16 <= tool["limited"]["samples"] <= tool["questions"] * 16 + 4
        assert 0 < tool["limited"]["capacity_share"] <= 1
        assert tool["limited"]["requests_a_second"]["served"] <= 201
        assert tool["unlimited"]["capacity_share"] is None
    assert list(figures["memory"]) == ["10 questions", "20 questions"]
    assert min(run["peak_mb"] for run in figures["memory"].values()) > 20
    assert min(figures["server_alone_requests_a_second"].values()) > 400


@pytest.mark.integration
def test_curation_finds_what_is_planted(tmp_path):
    """The benchmark ends with an error if a planted row stays or a clean one goes."""
    command = [sys.executable, "benchmarks/curation.py", "--rows=12000", "--evaluation=300", "--images=1000"]
    command += ["--workers=2", f"--folder={tmp_path}", f"--output={tmp_path / 'out.json'}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads((tmp_path / "out.json").read_text())["stage"]
    ours, planted = figures["ours"], figures["planted"]
    assert (ours["found"], ours["clean_removed"]) == (1, 0)
    assert sum(ours["removed"].values()) == 8 * 10 + 3 * 10 + 6 * 13
    assert ours["removed"] == {kind: planted[kind] for kind in ours["removed"]}
    assert set(ours["seconds_of"]) == {"opening and checking", "decontaminate", "deduplicate", "writing"}
    assert min(ours["documents_a_second_per_core"], *(ours[name] for name in ours if name.endswith("_mb"))) > 0
    assert sum(planted.values()) == 12000
    assert 14 <= figures["index"]["bytes_a_run"] <= 18
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.integration
def test_shards_are_measured(tmp_path):
    """Both sides give the records back that were written, or the benchmark ends with an error."""
    command = [sys.executable, "benchmarks/shards.py", "--rows=60", "--reads=20", "--turns=1", "--examples=20000"]
    command += [f"--folder={tmp_path}", f"--output={tmp_path / 'out.json'}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads((tmp_path / "out.json").read_text())
    formats = figures["formats"]
    assert formats["rows"] == 60
    assert formats["ours"]["images_held_of_image_bytes"] == 1
    assert formats["ours"]["bytes"] > formats["image_bytes"]
    assert min(formats["parquet"]["records_a_second"].values()) > 0
    assert [one["shards"] for one in figures["stage"]["lakes"].values()] == [1, 1]
    assert figures["index"]["examples"] == 20000
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.integration
def test_scoring_is_measured(tmp_path):
    command = [sys.executable, "benchmarks/evaluate.py", "--responses=3000", f"--folder={tmp_path}"]
    ran = subprocess.run(
        [*command, f"--output={tmp_path / 'out.json'}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads((tmp_path / "out.json").read_text())
    assert (figures["samples"]["responses"], len(figures["found"])) == (3000, 6)
    assert figures["samples"]["characters_a_response"] > 3000
    for found in figures["found"].values():
        assert (found["n"], found["samples"]) == (100, 500)
        assert 0.5 < found["accuracy"] < 0.8
    assert min(figures["seconds"], figures["peak_mb"]) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.integration
def test_expanding_sweeps_is_measured(tmp_path):
    command = [sys.executable, "benchmarks/sweeps.py", "--points=1000", "--turns=1", "--only=expanding"]
    ran = subprocess.run([*command, f"--output={tmp_path / 'out.json'}"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads((tmp_path / "out.json").read_text())["expanding"]
    assert figures.pop("command")["points"] == 1000
    assert {name: (one["points"], one["ids"], one["groups"]) for name, one in figures.items()} == {
        "get_hyper, few values": (1000, 1000, 1000),
        "sweep(add), few values": (1000, 1000, 1000),
        "generator, own values": (1000, 1000, 1000),
        "get_hyper, linked": (1000, 1000, 1000),
    }
    assert all(0 < one["seconds"] <= one["slowest_seconds"] for one in figures.values())


@pytest.mark.integration
def test_the_status_of_a_sweep_is_measured(tmp_path):
    command = [sys.executable, "benchmarks/sweeps.py", "--turns=1", "--only=status"]
    ran = subprocess.run([*command, f"--output={tmp_path / 'out.json'}"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads((tmp_path / "out.json").read_text())["status"]
    assert sum(figures["counts"].values()) == figures["runs"] == 1000
    assert min(figures["counts"].values()) > 0
    assert figures["counts"]["running"] == 2
    assert 0 < figures["read_status_seconds"] < figures["command_seconds"]
