"""The pages of Slurm, xpk, SkyPilot and queued resources: every command that they print is run or dry-run."""

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from octomed_jax import configuration
from octomed_jax.cli.main import main
from octomed_jax.launching.backends.base import LogOptions
from octomed_jax.launching.backends.table import BACKENDS
from octomed_jax.launching.mounts import mounts_of
from octomed_jax.launching.read_spec import read_spec
from tests.launching.printed_commands import Printed, missing_from, printed

ROOT = Path(__file__).resolve().parents[2]
BOGUS = "--octomed-no-such-flag"
PAGES = {
    name: ROOT / f"docs/launch-{name.replace('_', '-')}.md" for name in ("slurm", "xpk", "skypilot", "queued_resources")
}
COMMANDS = {name: printed(page) for name, page in PAGES.items()}
CONFIGS = {"slurm": "distill_slurm.py"}
FOLDERS = {"slurm": "runs/traces"}
LOGS = {
    "slurm": LogOptions(rank=0, tail=20, follow=True),
    "xpk": LogOptions(rank=0, tail=20, follow=True),
    "skypilot": LogOptions(tail=20, follow=True),
    "queued_resources": LogOptions(rank=0, tail=20),
}
# Tools that only Slurm's page has, and how they are tried.
HERE = ("make", "python3", ".venv-vllm/bin/pip", ".tools/bin/uv", "mkdir", "chmod", "bash")


def ours(name: str) -> list[list[str]]:
    """The commands of all verbs, in the order in which a page has them."""
    config = CONFIGS.get(name, "octomed_7b_v5e_256.py")
    spec = read_spec(configuration.load(str(ROOT / "configs/launch" / config)), roots=(ROOT,))
    place, folder = BACKENDS[name], Path(FOLDERS.get(name, "runs/launch"))
    found = [*place.up(spec, folder), *place.status(spec, folder), *place.logs(spec, folder, LOGS[name])]
    return [list(words) for words in (*found, *place.stop(spec, folder), *place.down(spec, folder))]


def others(*tools: str) -> list:
    """The commands that are neither `octomed` nor those of a verb, of these tools."""
    found = []
    for name, commands in COMMANDS.items():
        known = ours(name)
        for one in commands:
            if one.words[0] in tools and one.words not in known:
                found.append(pytest.param(one, id=f"{name}: {' '.join(one.words[:4])}"))
    return found


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder like the root of the project, in which a command may write."""
    for name in ("configs", "launch", "Makefile"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PAGES)
def test_every_command_is_tried_by_a_test_here(name):
    known = ours(name)
    tools = {one.words[0] for one in COMMANDS[name] if one.words not in known}
    assert tools <= {"octomed", "gcloud", "docker", "xpk", "sky", *HERE}, tools


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("launch*.md")), ids=lambda page: page.stem)
def test_no_command_stands_where_no_test_tries_it(page):
    """But for what test_launch_page.py runs too."""
    outside = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    tools = r"octomed|gcloud|kubectl|docker|xpk|sky|sbatch|make|pip|bash|sh|\S+/bin/\w+"
    lines = re.findall(rf"^(?: {{4}}|`*\$ )((?:{tools}) .*)$", outside, flags=re.MULTILINE)
    assert [line for line in lines if not line.startswith("octomed launch doctor ")] == []
    assert re.findall(r"^```(?!console$).+$", page.read_text(), flags=re.MULTILINE) == []


@pytest.mark.parametrize("name", PAGES)
def test_our_own_commands_print_what_the_page_says(name, project, capsys):
    of_octomed = [one for one in COMMANDS[name] if one.words[0] == "octomed"]
    assert of_octomed
    for one in of_octomed:
        refused = one.output[0].startswith("octomed: ")
        assert main(one.words[1:]) == (2 if refused else 0), one.line
        told = capsys.readouterr()
        assert missing_from(one.output, told.err + told.out) == [], told.err + told.out
    # What other commands of the page name is there now.
    for one in COMMANDS[name]:
        for word in one.words[1:] if one.words[0] != "octomed" else ():
            path = word.rpartition("=")[2]
            if path.startswith("runs/") and "/logs/" not in path:
                assert (project / path).exists(), word


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_the_verbs_are_those_that_we_run(name):
    on_page = [one.words for one in COMMANDS[name]]
    wanted = ours(name)
    if name == "xpk":  # `stop` is the same as `down`
        wanted = wanted[:-1]
    start = on_page.index(wanted[0])
    assert on_page[start : start + len(wanted)] == wanted


def ended(words: list[str], folder: Path, **environment: str) -> tuple[int, str]:
    away = {"HOME": str(folder), "CLOUDSDK_CONFIG": str(folder / "gcloud"), "KUBECONFIG": str(folder / "none")}
    away |= {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false", **environment}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDSDK", "PYTHONPATH"))}
    done = subprocess.run(
        words, env={**kept, **away}, capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("one", others("mkdir", "chmod"))
def test_folders_can_be_made(one, project):
    (project / ".config/octomed/secrets").mkdir(parents=True)
    assert ended(["bash", "-c", one.line], project) == (0, "")


@pytest.mark.parametrize("one", others("bash"))
def test_scripts_that_are_run_are_rendered(one, project):
    words = "launch render --config=configs/launch/octomed_7b_v5e_256.py --backend=queued_resources"
    assert main([*words.split(), "--output=runs/launch"]) == 0
    assert ended(["bash", "-n", *one.words[1:]], project) == (0, "")


@pytest.mark.parametrize("one", others("make", "python3", ".venv-vllm/bin/pip", ".tools/bin/uv"))
def test_environments_can_be_made(one, project):
    text = (ROOT / "Makefile").read_text()
    if one.words[0] == "make":
        code, told = ended(["make", "--dry-run", f"--directory={ROOT}", *one.words[1:]], project)
        assert code == 0, told
    elif one.words[0] == "python3":
        assert ended(["python3", *one.words[1:-1], "--help"], project)[0] == 0
    elif one.words[0] == ".tools/bin/uv":  # as the image is made, without its extra for buckets
        told = [word for word in one.words[1:] if word not in ("--python", ".venv")]
        assert told == ["pip", "install", "--constraint", "requirements.lock", ".[gpu]"]
        made = (ROOT / "launch/trainer.Dockerfile").read_text()
        assert 'uv pip install --constraint requirements.lock ".[${EXTRA},gcs]"' in made
    else:
        version = re.search(r"^VLLM_VERSION := (.*)$", text, re.MULTILINE)[1]
        assert one.words[1:] == ["install", f"vllm=={version}"]


def test_the_versions_of_the_pages_are_those_that_are_tested():
    text = (ROOT / "Makefile").read_text()
    for name, variable, package in (("xpk", "XPK", "xpk=="), ("skypilot", "SKYPILOT", "skypilot[gcp]==")):
        version = re.search(rf"^{variable}_VERSION := (.*)$", text, re.MULTILINE)[1]
        assert f"{package}{version}" in PAGES[name].read_text()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_each_code_leads_to(name):
    text = PAGES[name].read_text()
    rows = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    for code in ("0", "1, 2, 43, 126, 127", "42"):
        assert code in rows


def needs(tool: str) -> None:
    if not shutil.which(tool):
        pytest.skip(f"no {tool} on PATH: its commands on the pages are not tried")


@pytest.mark.integration
@pytest.mark.parametrize("one", others("gcloud"))
def test_gclouds_parser_takes_the_commands_before_a_job(one, tmp_path):
    needs("gcloud")
    # gcloud names all that it does not know before it does anything.
    words = [word.replace("YOUR_BUCKET", "your-bucket") for word in one.words]
    code, told = ended([*words, BOGUS], tmp_path)
    assert code == 2, told
    assert re.search(rf"unrecognized arguments: ?\s*{BOGUS}\s*(\n|$)", told), told


@pytest.mark.integration
@pytest.mark.parametrize("one", others("docker"))
def test_docker_takes_its_commands(one, tmp_path):
    needs("docker")
    _, told = ended([*one.words, BOGUS], tmp_path)
    assert f"unknown flag: {BOGUS}" in told, told


@pytest.mark.integration
@pytest.mark.parametrize("one", others("xpk"))
def test_xpk_takes_the_commands_before_a_job(one, tmp_path):
    programs = ROOT / ".venv-xpk/bin"
    if not (programs.parent / ".ready").exists():
        pytest.skip("no xpk here (make .venv-xpk/.ready)")
    needs("gcloud")
    needs("kubectl")
    words, path = [str(programs / one.words[0]), *one.words[1:]], f"{programs}:{os.environ['PATH']}"
    code, told = ended([*words, BOGUS], tmp_path, PATH=path)
    assert (code, f"unrecognized arguments: {BOGUS}" in told) == (2, True), told
    if one.words[1:3] == ["storage", "attach"]:  # its dry run asks the cluster
        assert_it_attaches_what_the_config_mounts(one.words, programs / "python", tmp_path)
        return
    code, told = ended([*words, "--dry-run", "--skip-validation"], tmp_path, PATH=path)
    assert code == 0, told
    assert "Exiting XPK cleanly" in told


def assert_it_attaches_what_the_config_mounts(words: list[str], python: Path, folder: Path) -> None:
    """By what xpk itself makes of the options."""
    option = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
    make = "import sys; from xpk.core.gcsfuse import manifest; print(manifest(*sys.argv[1:5], False)[0])"
    made = [words[3], option["bucket"], option["size"], option["mount-options"]]
    code, told = ended([str(python), "-c", make, *made], folder)
    assert code == 0, told
    volume = ast.literal_eval(told)["spec"]
    spec = read_spec(configuration.load(str(ROOT / "configs/launch/octomed_7b_v5e_256.py")), roots=(ROOT,))
    [mount] = mounts_of(spec)
    assert option["mount-point"] == mount.path
    assert volume["csi"]["volumeHandle"] == mount.bucket
    assert f"only-dir={mount.folder}" in volume["mountOptions"]


@pytest.mark.integration
@pytest.mark.parametrize("one", others("sky"))
def test_skypilot_takes_the_commands_before_a_job(one, tmp_path):
    python = ROOT / ".venv-sky/bin/python"
    if not (python.parents[1] / ".ready").exists():
        pytest.skip("no SkyPilot here (make .venv-sky/.ready)")
    parse = (
        "import sys; from sky.client.cli.command import cli; cli.commands[sys.argv[1]].make_context('x', sys.argv[2:])"
    )
    assert ended([str(python), "-c", parse, *one.words[1:]], tmp_path)[0] == 0
    assert BOGUS in ended([str(python), "-c", parse, *one.words[1:], BOGUS], tmp_path)[1]


def test_the_page_is_read_as_it_is_written():
    assert COMMANDS["slurm"][0] == Printed(
        "octomed launch render --config=configs/launch/octomed_7b_v5e_256.py --backend=slurm --output=runs/launch",
        ("octomed: accelerator='v5e': Slurm has no TPUs; h100 or cpu, or another --backend",),
    )
