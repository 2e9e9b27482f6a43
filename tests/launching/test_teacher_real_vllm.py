"""What a teacher's manifest runs is taken by the real vLLM's own parser, on one node and on several."""

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from octomed_jax import configuration
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.teacher_command import node_words, vllm_words
from tests.teacher.test_real_vllm import PARSE
from tests.teacher.vllm_helpers import ENVIRONMENT, needs_vllm

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600), needs_vllm]
ROOT = Path(__file__).resolve().parents[2]


def test_its_own_parser_takes_the_words_of_the_manifests():
    teacher = read_spec(
        configuration.load(str(ROOT / "configs/launch/teacher_gpu.py:two_nodes")), roots=(ROOT,)
    ).teacher
    teacher = dataclasses.replace(teacher, revision="abc")
    variants = [vllm_words(teacher), node_words(teacher, "0", "10.0.0.1"), node_words(teacher, "1", "10.0.0.1")]
    words = json.dumps([variant[2:] for variant in variants])
    python = str(ENVIRONMENT / "bin/python")
    result = subprocess.run([python, "-c", PARSE], input=words, capture_output=True, text=True, timeout=300)
    lines = [line.removeprefix("parsed ") for line in result.stdout.splitlines() if line.startswith("parsed ")]
    assert len(lines) == len(variants), result.stderr
    one, leader, worker = (json.loads(line) for line in lines)
    assert (one["model_tag"], one["revision"], one["tensor_parallel_size"]) == (teacher.model, "abc", "8")
    assert one["served_model_name"] == f"['{teacher.model}']"
    for parsed, rank, headless in ((leader, "0", "False"), (worker, "1", "True")):
        assert (parsed["nnodes"], parsed["node_rank"], parsed["headless"]) == ("2", rank, headless)
        assert (parsed["pipeline_parallel_size"], parsed["master_addr"]) == ("2", "10.0.0.1")
