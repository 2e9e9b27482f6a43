"""A student of random weights, and the run that left it; shared, since making them takes seconds."""

import jax
import pytest

from octomed_jax.models.qwen2_5_vl.model import initial_parameters
from tests.hf.folders import make_student, save_run


@pytest.fixture(scope="session")
def student(tmp_path_factory):
    """Its folder without weights, and its config."""
    folder = tmp_path_factory.mktemp("student")
    return folder, make_student(folder)


@pytest.fixture(scope="session")
def parameters(student):
    return jax.jit(lambda: initial_parameters(student[1], 0))()


@pytest.fixture(scope="session")
def run(tmp_path_factory, student, parameters):
    """What ``octomed train`` leaves. Tests read it only."""
    workdir = tmp_path_factory.mktemp("run")
    save_run(workdir, student[0], parameters)
    return workdir
