"""Config files: typed overrides, and always the file as it is now."""

import pytest
from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.errors import UserError

FILE = """from ml_collections import ConfigDict


def get_config(arg=None):
    return ConfigDict({"a": {"count": 1, "rate": 0.5, "on": False, "names": ("x",), "free": ""}, "arg": arg or ""})
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(FILE)
    return path


def test_overrides_take_the_type_of_their_field(file):
    words = ["a.count=3", "a.rate=2", "a.on=true", "a.names=y,z", "a.free=7"]
    config = configuration.load(f"{file}:big", words)
    assert configuration.plain(config) == {
        "a": {"count": 3, "rate": 2.0, "on": True, "names": ["y", "z"], "free": "7"},
        "arg": "big",
    }
    assert config.is_locked


@pytest.mark.parametrize("word", ["a.count=1.5", "a.count=true", "a.on=3", "a.rate=fast", "a.cuont=1", "b=1", "a=1"])
def test_wrong_overrides_are_refused(file, word):
    with pytest.raises(UserError, match=word.partition("=")[0].rpartition(".")[2]):
        configuration.load(str(file), [word])


def test_a_file_edited_at_once_at_the_same_length_is_read_again(file):
    assert configuration.load(str(file)).a.count == 1
    file.write_text(FILE.replace('"count": 1', '"count": 9'))
    assert configuration.load(str(file)).a.count == 9
    assert not (file.parent / "__pycache__").exists()


def test_a_file_that_is_no_config_is_named(tmp_path):
    (tmp_path / "broken.py").write_text("def get_config(:\n")
    with pytest.raises(UserError, match=r"broken\.py, line 1"):
        configuration.load(str(tmp_path / "broken.py"))
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(UserError, match="has no get_config"):
        configuration.load(str(tmp_path / "empty.py"))


def test_plain_keeps_plain_data_only():
    assert configuration.plain(ConfigDict({"b": (1, 2), "a": None})) == {"a": None, "b": [1, 2]}
    with pytest.raises(TypeError):
        configuration.plain(ConfigDict({"a": object()}))
