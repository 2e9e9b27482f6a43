"""Set before JAX is imported: CPU only, eight simulated devices, and a compile cache that outlives the run."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8"
    # The tests compile much and compute little: LLVM's expensive passes would take a third of their time.
    " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(ROOT / ".cache" / "compiled-tests")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

os.environ.pop("NPROC", None)

import hypothesis  # noqa: E402
import pytest  # noqa: E402
from absl import flags  # noqa: E402

flags.FLAGS.mark_as_parsed()  # Grain's workers read absl flags
# A time limit for each example would measure how busy the machine is.
# The same examples in every run; `--hypothesis-profile=search` draws others.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile("steady")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def made_shards(tmp_path_factory) -> Path:
    """Shards of the small made corpus, with a rendering. Writing them takes seconds, so tests share them.

    They may add a rendering, as training with other settings does, and change nothing else.
    """
    from tests.tiny import write_tiny_shards

    return write_tiny_shards(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(autouse=True)
def own_threads():
    """Training in this process sets NPROC; processes of later tests would compute other last bits with it.

    Nothing may put it back afterwards, as monkeypatch would: a fixture of a module may have set it before its tests.
    """
    os.environ.pop("NPROC", None)
    yield
    os.environ.pop("NPROC", None)
