"""Imports run one way, and the data layer stays free of JAX (docs/stages.md, CONTRIBUTING.md)."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "octomed_jax"

# Bottom first. A module may import from its own layer and from those before it.
LAYERS = [
    (
        "errors",
        "os_errors",
        "plain_text",
        "licences",
        "schema",
        "signals",
        "storage",
        "places",
        "manifests",
        "configuration",
        "executor",
        "progress",
        "prompts",
        "images",
    ),
    ("questions", "curation", "verification", "teacher", "traces"),
    ("inputs",),
    ("models",),
    ("checkpoints",),
    ("hf",),
    ("training",),
    ("evaluation",),
    ("lineage",),
    ("launching",),
    ("sweeps",),
    ("cli",),
]
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}
NUMPY_ONLY = [name for names in LAYERS[:3] for name in names]
STEP_NEEDS = {"jax", "flax", "optax", "numpy", "jaxtyping", "octomed_jax"}


@functools.cache
def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__")


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Every imported module of a file, wherever in it the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return frozenset(names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path):
    own = DEPTH[room(path)]
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "octomed_jax" and len(parts) > 1 and parts[1] in DEPTH:
            assert DEPTH[parts[1]] <= own, f"{room(path)} imports {name} from a later layer"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_imports_stay_in_their_rooms(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert "vllm" not in roots
    if room(path) in NUMPY_ONLY:
        assert not roots & {"jax", "flax", "optax", "orbax", "torch"}
    if "grain" in roots:
        assert path.relative_to(PACKAGE).as_posix() == "inputs/loader.py"
    if room(path) == "models":
        assert roots - set(sys.stdlib_module_names) <= STEP_NEEDS


def test_importing_the_data_layer_starts_no_jax_backend():
    """jaxtyping may import jax for its annotations; nothing may initialise a backend in a worker process."""
    code = (
        "import sys, octomed_jax.inputs.builder, octomed_jax.inputs.loader, octomed_jax.traces.shards\n"
        "bridge = sys.modules.get('jax._src.xla_bridge')\n"
        "assert bridge is None or not bridge._backends, 'a backend was initialised'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_verbs_that_compute_nothing_in_jax_begin_without_it():
    """JAX, Orbax, Grain and torch take seconds to load, which a user waits for, and a refusal too."""
    verbs = ("curate", "data", "demo", "distill", "questions", "report", "shard", "sweep", "teacher", "verify")
    code = f"import {', '.join(f'octomed_jax.cli.{verb}' for verb in verbs)}, sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True)
    assert not {"jax", "orbax.checkpoint", "grain", "torch", "transformers", "pandas"} & set(ran.stdout.split())
