from pathlib import Path

import pytest
from report_run import make_run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that tests only read."""
    return make_run(tmp_path_factory.mktemp("report") / "demo")
