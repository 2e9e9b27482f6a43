"""The chain that the tests of lineage look at; each that damages it takes a copy."""

from pathlib import Path

import pytest
from lineage_chain import make_chain


@pytest.fixture(scope="session")
def chain(tmp_path_factory) -> Path:
    return make_chain(tmp_path_factory.mktemp("lineage") / "run")
