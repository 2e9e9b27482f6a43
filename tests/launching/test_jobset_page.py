"""docs/launch-jobset.md: every command that it prints is run, or dry-run where it would need a cluster."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from octomed_jax import configuration
from octomed_jax.cli import launch_plan
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.base import LogOptions
from octomed_jax.launching.backends.jobset import JOBSET
from octomed_jax.launching.read_spec import read_spec
from tests.launching.printed_commands import Printed, missing_from, printed

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/launch-jobset.md"
COMMANDS = printed(PAGE)
BOGUS = "--octomed-no-such-flag"
NOWHERE = "--server=http://127.0.0.1:1"  # nothing listens there


def of(*tools: str) -> list[Printed]:
    return [one for one in COMMANDS if one.words[0] in tools]


def compiles(one: Printed) -> bool:
    return "plan" in one.words and "octomed_7b" in one.line


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder like the root of the project, in which a command may write."""
    for name in ("configs", "launch"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "secrets.env").write_text("hf_token=made-up\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_ours(one: Printed, capsys, numbers: bool = True) -> None:
    assert main(one.words[1:]) == 0, one.line
    told = capsys.readouterr()
    assert missing_from(one.output, told.err + told.out, numbers) == [], told.err + told.out


def test_every_command_is_one_that_a_test_here_knows():
    assert {one.words[0] for one in COMMANDS} == {"octomed", "kubectl", "gcloud", "docker"}
    assert len(of("octomed")) == 4
    assert all(one.output for one in of("octomed"))
    assert not any(one.output for one in of("kubectl", "gcloud", "docker"))


def test_our_own_commands_print_what_the_page_says(project, capsys):
    for one in of("octomed"):
        if not compiles(one):
            run_ours(one, capsys)
    assert {path.name for path in (project / "runs/traces").iterdir()} == {"jobset.yaml", "teacher.yaml"}


@pytest.mark.usefixtures("project")
def test_without_figures_the_plan_says_the_rest_of_what_the_page_says(capsys):
    [one] = [one for one in of("octomed") if compiles(one)]
    rest = tuple(line for line in one.output if not re.match("mesh|memory|time|.*run as planned", line))
    run_ours(Printed(f"{one.line} --training=none", rest), capsys)


@pytest.mark.integration
@pytest.mark.usefixtures("project")
@pytest.mark.timeout(1200)  # XLA compiles for 256 chips
def test_the_plan_prints_the_figures_of_the_compiler(capsys):
    try:
        launch_plan.libtpu()
    except UserError as error:
        pytest.skip(str(error))
    [one] = [one for one in of("octomed") if compiles(one)]
    run_ours(one, capsys, numbers=False)


def test_the_printed_commands_of_a_job_are_those_that_we_run():
    spec = read_spec(configuration.load(str(ROOT / "configs/launch/octomed_7b_v5e_256.py:gke")), roots=(ROOT,))
    folder = Path("runs/launch")
    ours = [*JOBSET.up(spec, folder), *JOBSET.status(spec, folder)]
    ours += [*JOBSET.logs(spec, folder, LogOptions(rank=0, follow=True))]
    ours += [*JOBSET.stop(spec, folder), *JOBSET.down(spec, folder)]
    on_page = [one.words for one in of("kubectl")]
    start = on_page.index(list(ours[0]))
    assert on_page[start : start + len(ours)] == [list(words) for words in ours]
    spec = read_spec(configuration.load(str(ROOT / "configs/launch/teacher_gpu.py")), roots=(ROOT,))
    for words in JOBSET.up(spec, Path("runs/traces")):
        assert list(words) in on_page


def replaced(words: list[str]) -> list[str]:
    """The words with somebody's names in place of what is to be replaced: the tools want them in small letters."""
    return [re.sub(r"YOUR_([A-Z]+)(_NUMBER)?", lambda name: f"my-{name[1].lower()}", word) for word in words]


def ended(words: list[str]) -> tuple[int, str]:
    result = subprocess.run(words, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    return result.returncode, result.stdout + result.stderr


def needs(tool: str) -> None:
    if not shutil.which(tool):
        pytest.skip(f"no {tool} on PATH: its commands on the page are not tried")


def offline(words: list[str], project: Path) -> list[str]:
    """The words with local files in place of the releases of the internet."""
    local = project / "release.yaml"
    local.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
    return [f"--filename={local}" if word.startswith("--filename=https://") else word for word in words]


@pytest.mark.integration
@pytest.mark.parametrize("one", of("kubectl"), ids=lambda one: " ".join(one.words[1:4]))
def test_kubectl_takes_its_commands(one, project):
    needs("kubectl")
    for render in of("octomed"):
        if "render" in render.words:
            assert main(render.words[1:]) == 0
    words = offline(one.words, project)
    if "create" in words:
        code, told = ended([*words, "--dry-run=client", "--output=yaml"])
        assert code == 0, told
        assert "kind: " in told
    else:
        code, told = ended([words[0], NOWHERE, *words[1:]])
        assert code != 0
        assert "127.0.0.1:1" in told, told  # it got as far as asking the server
    code, told = ended([words[0], NOWHERE, *words[1:], BOGUS])
    assert f"unknown flag: {BOGUS}" in told, told


@pytest.mark.integration
@pytest.mark.parametrize("one", of("gcloud"), ids=lambda one: " ".join(one.words[1:4]))
def test_gclouds_parser_takes_its_commands(one):
    needs("gcloud")
    # gcloud names all that it does not know before it does anything.
    code, told = ended([*replaced(one.words), BOGUS])
    assert code == 2, told
    assert re.search(rf"unrecognized arguments: ?\s*{BOGUS}\s*(\n|$)", told), told


@pytest.mark.integration
@pytest.mark.parametrize("one", of("docker"), ids=lambda one: " ".join(one.words[1:3]))
def test_docker_takes_its_commands(one):
    needs("docker")
    _, told = ended([*replaced(one.words), BOGUS])
    assert f"unknown flag: {BOGUS}" in told, told
    for word in one.words:
        if word.startswith("--file="):
            assert (ROOT / word.partition("=")[2]).is_file()


@pytest.mark.parametrize(
    ("output", "real", "lost"),
    [
        (("a 1", "...", "c"), "a  1\nb\nc\n", []),
        (("a 1", "b ..."), "a 1 b much more", []),
        (("a 2",), "a 1", ["a 2"]),
        (("c", "a"), "a c", ["a"]),
    ],
)
def test_a_page_that_says_something_else_is_caught(output, real, lost):
    assert missing_from(output, real) == lost
    assert missing_from(("a 2 b",), "a 1 b", numbers=False) == []
