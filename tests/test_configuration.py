"""Config files: typed overrides, and always the file as it is now."""

import pytest
from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.cli.main import main
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = missing\n", "own.py, line 1: NameError: name 'missing' is not defined"),
        ("import nowhere_at_all\n", "own.py, line 1: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("def get_config():\n    return {}['x']\n", "own.py, line 2: KeyError: 'x'"),
        ("def get_config():\n    assert not 1\n", "own.py, line 2: AssertionError"),
        ("def get_config():\n    return int('x')\n", "own.py, line 2: ValueError: invalid literal"),
        (
            "import json\n\ndef get_config():\n    return json.loads('{')\n",
            "own.py, line 4: JSONDecodeError: Expecting",
        ),
        ("def get_config():\n    raise TypeError('a\\nb')\n", "own.py, line 2: TypeError: a b"),
        (
            "import neighbour\n\ndef get_config():\n    return neighbour.make(0)\n",
            "neighbour.py, line 3: ZeroDivisionError",
        ),
        (
            "def get_config():\n    import neighbour\n    return neighbour.make('x')\n",
            "neighbour.py, line 3: TypeError",
        ),
        (
            "from ml_collections import ConfigDict\n\ndef get_config():\n    c = ConfigDict({'a': 1})\n    c.a = 'x'\n",
            "own.py, line 5: TypeError: ",
        ),
        ("def get_config():\n    return 3\n", "returned a int, not a ConfigDict"),
    ],
)
def test_a_bug_of_a_config_file_is_one_line_that_says_where(text, message, tmp_path, capsys):
    (tmp_path / "neighbour.py").write_text("\ndef make(count):\n    return 1 / count\n")
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        configuration.load(str(path))
    assert message in str(caught.value)
    for words in (["launch", "render", "--backend=local"], ["sweep", "expand"], ["train"]):
        assert main([*words, f"--config={path}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_what_a_config_file_refuses_itself_is_said_in_its_words(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("def get_config(arg):\n    raise ValueError(\n        f'no variant {arg}'\n    )\n")
    with pytest.raises(UserError, match=r"^no variant big$"):
        configuration.load(f"{path}:big")


def test_debug_shows_where_a_config_file_went_wrong(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("def get_config():\n    return missing\n")
    with pytest.raises(UserError) as caught:
        main(["train", f"--config={path}", "--debug"])
    assert isinstance(caught.value.__cause__, NameError)


def test_an_empty_field_that_has_a_type_keeps_it(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "from ml_collections import ConfigDict, config_dict\n"
        "def get_config():\n    return ConfigDict({'count': config_dict.placeholder(int)})\n"
    )
    assert configuration.load(str(path), ["count=3"]).count == 3
    with pytest.raises(UserError, match=r"config.count='many'"):
        configuration.load(str(path), ["count=many"])


def test_plain_keeps_plain_data_only():
    assert configuration.plain(ConfigDict({"b": (1, 2), "a": None})) == {"a": None, "b": [1, 2]}
    with pytest.raises(TypeError):
        configuration.plain(ConfigDict({"a": object()}))
