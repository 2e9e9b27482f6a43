"""Where a benchmark finds the rendering and the student of a folder of shards."""

from pathlib import Path

import bare_package  # noqa: F401  first: it makes the project importable


def rendered(shards: Path) -> tuple[Path, Path]:
    """Return the folders of the index and of the student, of shards that `octomed shard` measured for one student."""
    from octomed_jax import manifests
    from octomed_jax.hf.rendering import RENDERED, STUDENTS

    made = sorted(shards.glob(f"{STUDENTS}/*/{manifests.MANIFEST}"))
    if len(made) != 1:
        raise SystemExit(f"{shards} was rendered for {len(made)} students; make shards for one with `octomed shard`")
    of = manifests.read_manifest(made[0].parent, "student").inputs["render"]
    return shards / RENDERED / of, made[0].parent / "student"
