"""The benchmark of images in curation runs, and finds what it planted."""

import json
import subprocess
import sys

import pytest


@pytest.mark.integration
def test_planted_copies_are_found_among_look_alikes(root):
    command = [sys.executable, "benchmarks/curation_images.py", "--part=search", "--pictures=3000"]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    figures = json.loads(ran.stdout)
    assert figures["copies"] == 750
    for name in ("within", "against as many"):
        assert figures[name]["planted found"] == 1.0
        assert figures[name]["clean found"] == 0
        assert figures[name]["compared"] >= 750
