import subprocess

import pytest

from octomed_jax.errors import TryAgain, UserError
from octomed_jax.questions.packages import fetch as module
from octomed_jax.questions.packages.fetch import cache_folder, fetch
from octomed_jax.questions.packages.pinned import Package
from octomed_jax.storage import sha256_bytes

DATA = b"the package file"
WHEEL = Package("pypi", "thing", "1.0", "thing-1.0-py3-none-any.whl", sha256_bytes(DATA), len(DATA))
DEBIAN = Package("debian", "thing-data", "1.0-1", "thing-data_1.0-1_all.deb", sha256_bytes(DATA), len(DATA))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OCTOMED_CACHE", str(tmp_path / "cache"))


def registry(monkeypatch, package, content=DATA, code=0, output=""):
    """Stand in for pip and apt-get; return the commands they were given."""
    commands = []

    def run(command, _package, folder, _variables=None):
        commands.append(list(command))
        if "download" in command and content is not None:
            (folder / package.filename).write_bytes(content)
        return code, output

    monkeypatch.setattr(module, "_watch", run)
    return commands


def test_a_file_is_fetched_once_and_verified_on_each_use(monkeypatch):
    commands = registry(monkeypatch, WHEEL)
    assert fetch(WHEEL) == DATA
    assert fetch(WHEEL) == DATA
    assert len(commands) == 1
    assert "thing==1.0" in commands[0]
    assert "--no-deps" in commands[0]
    assert [path.name for path in cache_folder().iterdir()] == [WHEEL.filename]


def test_a_changed_file_in_the_cache_is_refused(monkeypatch):
    registry(monkeypatch, WHEEL)
    fetch(WHEEL)
    path = cache_folder() / WHEEL.filename
    for changed in (b"THE package file", DATA + b"!"):
        path.write_bytes(changed)
        with pytest.raises(UserError, match="delete that file") as caught:
            fetch(WHEEL)
        assert str(path) in str(caught.value)
        assert WHEEL.sha256 in str(caught.value)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == DATA + b"!"


def test_a_wrong_download_leaves_nothing(monkeypatch):
    registry(monkeypatch, WHEEL, content=b"something else")
    with pytest.raises(UserError, match="not the pinned one"):
        fetch(WHEEL)
    assert list(cache_folder().iterdir()) == []


def test_an_unreachable_registry_says_try_again(monkeypatch):
    output = "WARNING: retrying\nERROR: no route to host\n"
    registry(monkeypatch, WHEEL, content=None, code=1, output=output)
    with pytest.raises(TryAgain, match=r"could not fetch thing 1\.0 \(ERROR: no route to host\)"):
        fetch(WHEEL)
    assert list(cache_folder().iterdir()) == []


def test_debian_package_needs_no_root_and_no_earlier_update(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda _: "/usr/bin/apt-get")
    commands = registry(monkeypatch, DEBIAN)
    assert fetch(DEBIAN) == DATA
    update, download = commands
    assert update[-1] == "update"
    assert download[-2:] == ["download", "thing-data=1.0-1"]
    for command in commands:
        assert any(word.startswith("Dir::State::Lists=") and ".partial-" in word for word in command)


def test_missing_apt_get_names_the_file_to_put_there(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    with pytest.raises(UserError, match="apt-get is not installed") as caught:
        fetch(DEBIAN)
    assert DEBIAN.filename in str(caught.value)


def test_apt_sources_without_the_version(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda _: "/usr/bin/apt-get")
    calls = iter([(0, ""), (100, "E: Version '1.0-1' for 'thing-data' was not found")])
    monkeypatch.setattr(module, "_watch", lambda *_: next(calls))
    with pytest.raises(UserError, match=r"offer no thing-data 1\.0-1"):
        fetch(DEBIAN)


def test_an_archive_out_of_reach_is_not_taken_for_a_missing_version(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda _: "/usr/bin/apt-get")
    calls = iter([(0, "W: Failed to fetch http://deb: no route"), (100, "E: Unable to locate package thing-data")])
    monkeypatch.setattr(module, "_watch", lambda *_: next(calls))
    with pytest.raises(TryAgain, match="no route"):
        fetch(DEBIAN)


def test_a_downloader_without_pip(monkeypatch):
    registry(monkeypatch, WHEEL, content=None, code=1, output="/x/python: No module named pip")
    with pytest.raises(UserError, match="has no pip"):
        fetch(WHEEL)


def test_the_real_pip_that_finds_nothing_says_try_again(monkeypatch, tmp_path):
    # An index that is an empty folder: pip runs, and nothing leaves the machine.
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    with pytest.raises(TryAgain, match=r"thing 1\.0"):
        fetch(WHEEL)


def test_a_downloader_is_stopped_with_us(monkeypatch, tmp_path):
    started = []
    popen = subprocess.Popen

    def start(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(module.subprocess, "Popen", start)
    monkeypatch.setattr(module, "ATTEMPT_SECONDS", 0)
    with pytest.raises(TryAgain, match="took over"):
        module._watch(["sleep", "60"], WHEEL, tmp_path)
    assert started[0].poll() is not None


def test_a_wheel_of_one_platform_is_fetched_whatever_runs_here(monkeypatch):
    name = "thing-1.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl"
    package = Package("pypi", "thing", "1.0", name, sha256_bytes(DATA), len(DATA))
    commands = registry(monkeypatch, package)
    assert fetch(package) == DATA
    line = " ".join(commands[0])
    assert "--implementation cp --python-version 311 --abi cp311" in line
    assert "--platform manylinux_2_24_x86_64 --platform manylinux_2_28_x86_64 thing==1.0" in line
