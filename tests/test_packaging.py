"""What is installed: pyproject.toml, requirements.txt and requirements.lock say the same."""

import re
import tomllib

# vllm, which the user named too, is an extra.
NAMED = ["jax", "flax", "optax", "orbax-checkpoint", "grain", "transformers", "tensorflow-datasets", "ml-collections"]


def name(line: str) -> str:
    return re.split(r"[\[<>=!~; ]", line.strip(), maxsplit=1)[0].lower().replace("_", "-")


def lines(path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def test_requirements_agree_with_pyproject(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert lines(root / "requirements.txt") == project["dependencies"]
    assert set(NAMED) <= {name(line) for line in project["dependencies"]}
    assert "vllm" in {name(line) for line in project["optional-dependencies"]["teacher"]}
    assert set(project["optional-dependencies"]) == {
        "teacher", "parity", "tpu", "gpu", "tpu-aot", "ray", "gcs", "launch", "wandb", "dev",
    }  # fmt: skip


def test_every_direct_dependency_is_locked(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    locked = {name(line) for line in lines(root / "requirements.lock")}
    wanted = (
        project["dependencies"] + project["optional-dependencies"]["dev"] + project["optional-dependencies"]["launch"]
    )
    missing = {name(line) for line in wanted} - locked - {"octomed-jax"}
    assert not missing
    assert all("==" in line for line in lines(root / "requirements.lock"))


def test_version_is_one(root):
    from octomed_jax import __version__

    assert tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"] == __version__
