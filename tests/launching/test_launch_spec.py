"""The job spec: what is read, and what is refused with one line that names the culprit."""

import json
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from octomed_jax import configuration
from octomed_jax.cli.main import VERBS, main
from octomed_jax.errors import UserError
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.spec import JobSpec, Secret
from octomed_jax.manifests import flatten
from octomed_jax.teacher.settings import check_settings

ROOT = Path(__file__).resolve().parents[2]
POD_CONFIG = str(ROOT / "configs/launch/octomed_7b_v5e_256.py:gke")
LOCAL_CONFIG = str(ROOT / "configs/launch/demo_local.py")


def spec_with(*overrides: str) -> JobSpec:
    return read_spec(configuration.load(POD_CONFIG, overrides), VERBS, roots=(ROOT,))


def test_the_pod_has_256_chips_on_64_hosts():
    spec = spec_with()
    assert (spec.chips, spec.hosts, spec.slices) == (256, 64, 1)
    assert spec.secrets == {"HF_TOKEN": Secret("octomed", "hf_token")}
    words = ["train", "--config=configs/octomed_7b.py", "--config.run=gs://YOUR_BUCKET/octomed-7b"]
    assert spec.words() == [*words, "--mesh=fsdp=64,sequence=4", "--shards=/mnt/shards"]


def test_the_pod_trains_with_the_papers_schedule():
    config = configuration.load(str(ROOT / "configs/octomed_7b.py"))
    train = config.train
    assert (train.steps, train.examples_per_step, train.peak_learning_rate) == (47435, 512, 5e-5)
    assert train.steps == -(-8_095_571 * 3 // train.examples_per_step)
    assert (config.distill.samples, config.traces.per_question, config.shard.max_pixels) == (16, 16, 262144)
    demo = configuration.load(str(ROOT / "configs/demo.py"))
    assert {name: teacher.takes for name, teacher in config.distill.teachers.items()} == {
        "text": "text",
        "images": "images",
    }
    for one in (config, demo):
        check_settings(one.distill)
        with one.unlocked():
            del one.distill.teachers  # each has its own
    assert flatten(configuration.plain(config)).keys() == flatten(configuration.plain(demo)).keys()


def test_the_local_config_runs_two_processes():
    spec = read_spec(configuration.load(LOCAL_CONFIG), VERBS, roots=(ROOT,))
    assert (spec.processes, spec.devices, spec.command.config) == (2, 1, "configs/demo.py")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("accelerator=v5", "did you mean 'v5e'"),
        ("topology=16x17", "did you mean '16x16'"),
        ("capacity=spots", "did you mean 'spot'"),
        ("capacity=reserved", "reservation"),
        ("name=Octomed", "no Kubernetes name"),
        ("name=7b", "a letter first"),
        ("name=" + "a" * 64, "at most 63"),
        ("priority=Not-A-Name", "priority="),
        ("slices=0", "slices=0"),
        ("grace_seconds=-1", "grace_seconds=-1"),
        ("workdir=", "workdir is empty"),
        ("command.verb=trian", "did you mean 'train'"),
        ("command.config=configs/none.py", "no such config file: configs/none.py"),
        ("command.config=../x.py", "inside the project"),
        ("command.config=/etc/x.py", "inside the project"),
        ("command.overrides=('train.step=3',)", "did you mean 'steps'"),
        ("command.overrides=('train.steps=many',)", "train.steps='many'"),
        ("command.overrides=('run=x',)", "set workdir instead"),
        ("command.options=('--shards',)", "must be name=value"),
        ("secrets.HF_TOKEN.key=two words", "no key of a Kubernetes secret"),
        ("secrets.HF_TOKEN.secret=", "no name of a Kubernetes secret"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(override, message):
    with pytest.raises(UserError) as caught:
        spec_with(override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_overrides_of_the_command_reach_the_command_line():
    words = spec_with("command.overrides=('train.steps=7',)", "command.options=('shards=gs://b/s',)").words()
    assert words[-2:] == ["--config.train.steps=7", "--shards=gs://b/s"]


def broken(**changes: object) -> ConfigDict:
    config = configuration.load(LOCAL_CONFIG).unlock()
    config.update(ConfigDict(changes))
    return config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proceses": 2}, "did you mean 'processes'"),
        ({"command": {"verbs": "train"}}, "did you mean 'verb'"),
        ({"environment": {"JAX_PROCESS_ID": "1"}}, "set by the back end"),
        ({"environment": {"lower": "1"}}, "'lower' is no name"),
        ({"environment": {"A": "x\ny"}}, "one line of text"),
        ({"environment": {"KEY": "x"}, "secrets": {"KEY": {"secret": "s", "key": "k"}}}, "keep it in secrets"),
        ({"secrets": {"KEY": {"secret": "s"}}}, "needs the field 'key'"),
        ({"accelerator": "h100", "topology": "2x8", "slices": 2}, "has no slices"),
    ],
)
def test_unknown_fields_and_wrong_environments_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        read_spec(broken(**changes), VERBS, roots=(ROOT,))


def test_a_secret_put_in_the_place_of_its_name_is_not_repeated():
    value = "hf_PlantedKeyPlantedKey/=="
    with pytest.raises(UserError) as caught:
        read_spec(broken(secrets={"HF_TOKEN": {"secret": "octomed", "key": value}}), VERBS, roots=(ROOT,))
    assert value not in str(caught.value)


def test_a_pods_job_says_how_to_plan_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = ["launch", "render", "--config=configs/launch/octomed_7b_v5e_256.py:gke", "--backend=jobset", "--json"]
    words += ["--config.image=image:1", "--config.slices=2", f"--output={tmp_path}", "--config.workdir=gs://bucket/run"]
    words += [
        "--config.environment.JAX_COMPILATION_CACHE_DIR=gs://bucket/cache",
        "--config.command.options=('mesh=auto',)",
    ]
    assert main(words) == 0
    out = capsys.readouterr()
    plan = "octomed plan --config=configs/octomed_7b.py --topology=v5e:16x16 --slices=2 --mesh=auto"
    assert json.loads(out.out)["plan"] == plan
    assert plan in out.err.replace("\n", "")


def test_the_command_line_ends_with_the_path(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the config file is found from anywhere
    words = ["launch", "render", f"--config={LOCAL_CONFIG}", "--backend=local", f"--output={tmp_path / 'out'}"]
    assert main(words) == 0
    assert str(tmp_path / "out" / "run_local.sh") in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert '"processes": 2' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backend=xpkk", "--output=o"], "unknown backend 'xpkk' (did you mean 'xpk'?); one of: jobset"),
        (["--backend=local", "--output=o", "--config.nam=x"], "did you mean 'name'"),
        (["--backend=jobset", "--output=o"], "image is empty"),
        (["--backend=local", "--outptu=o"], "unknown option '--outptu=o' (did you mean '--output'?)"),
        (["--backend=local"], "required: --output"),
        (["--output=o"], "required: --backend"),
    ],
)
def test_command_line_mistakes_exit_2_and_write_nothing(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["launch", "render", f"--config={LOCAL_CONFIG}", *words]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["launch", "render", "--help"])
    assert caught.value.code == 0
    assert "octomed launch render --config=configs/launch/" in capsys.readouterr().out
