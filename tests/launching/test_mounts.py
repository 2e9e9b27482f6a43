"""Folders of buckets that a job sees as its own: what may be named, and what each back end makes of it."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from octomed_jax import configuration
from octomed_jax.cli.main import VERBS
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.jobset import JOBSET
from octomed_jax.launching.backends.local import LOCAL
from octomed_jax.launching.backends.queued_resources import QUEUED_RESOURCES
from octomed_jax.launching.backends.skypilot import SKYPILOT
from octomed_jax.launching.backends.slurm_rank import render_rank
from octomed_jax.launching.backends.xpk import XPK, command_line
from octomed_jax.launching.mounts import Mount, mounts_of
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.spec import JobSpec, plan_words
from tests.launching.acted import Stage

ROOT = Path(__file__).resolve().parents[2]
SHARDS = {"/mnt/shards": "gs://bucket/run/shards/"}


def read(mounts: object, shards: str = "", config: str = "octomed_7b_v5e_256.py") -> JobSpec:
    loaded = configuration.load(str(ROOT / "configs/launch" / config)).unlock()
    del loaded.mounts  # which is a group, and cannot be given a text
    loaded.mounts = mounts
    if shards:
        loaded.command.options = ("mesh=fsdp=64,sequence=4", f"shards={shards}")
    return read_spec(loaded, VERBS, roots=(ROOT,))


@pytest.mark.parametrize(
    ("mounts", "message"),
    [
        ({"mnt/shards": "gs://b-1/x"}, "mounts.mnt/shards: the path must be absolute"),
        ({"/mnt/sha rds": "gs://b-1/x"}, "the path must be absolute"),
        ({"/mnt/shards/": "gs://b-1/x"}, "the path must be absolute"),
        ({"/": "gs://b-1/x"}, "the path must be absolute"),
        ({"/mnt/$(id)": "gs://b-1/x"}, "the path must be absolute"),
        ({"/usr/lib": "gs://b-1/x"}, "the machine's own files lie there"),
        ({"/mnt/shards": "s3://b-1/x"}, "mounts./mnt/shards='s3://b-1/x' is no folder of a bucket"),
        ({"/mnt/shards": "runs/shards"}, "is no folder of a bucket"),
        ({"/mnt/shards": "gs://"}, "is no folder of a bucket"),
        ({"/mnt/shards": "gs://Bucket/x"}, "is no folder of a bucket"),
        ({"/mnt/shards": "gs://b-1/x,rw"}, "a mounted folder has letters"),
        ({"/mnt/shards": "gs://b-1/x y"}, "a mounted folder has letters"),
        ({"/mnt/shards": "gs://b-1/../x"}, "a mounted folder has letters"),
        ({"/mnt/shards": 7}, "mounts./mnt/shards=7 must be one line of text"),
        ({"/mnt/a": "gs://b-1/x", "/mnt/a/b": "gs://b-1/y"}, "mounts./mnt/a/b lies in the mount /mnt/a"),
        ("gs://b-1/x", "mounts='gs://b-1/x' must be a group of fields"),
    ],
)
def test_a_mount_that_no_machine_could_make_is_refused(mounts, message):
    with pytest.raises(UserError) as caught:
        read(mounts)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mounts_are_read_in_the_order_of_their_paths():
    spec = read({"/mnt/shards2": "gs://YOUR_BUCKET", **SHARDS})
    assert mounts_of(spec) == [Mount("/mnt/shards", "bucket", "run/shards"), Mount("/mnt/shards2", "YOUR_BUCKET", "")]
    assert [mount.source for mount in mounts_of(spec)] == ["gs://bucket/run/shards", "gs://YOUR_BUCKET"]


def test_a_mount_can_be_named_on_the_command_line():
    override = "mounts./mnt/shards=gs://other/shards"
    config = configuration.load(str(ROOT / "configs/launch/octomed_7b_v5e_256.py"), (override,))
    assert read_spec(config, VERBS, roots=(ROOT,)).mounts == {"/mnt/shards": "gs://other/shards"}


@pytest.mark.parametrize("config", ["octomed_7b_v5e_256.py", "octomed_7b_v6e_256_2slices.py"])
def test_the_pods_of_the_samples_train_on_shards_of_a_mount(config):
    spec = read_spec(configuration.load(str(ROOT / "configs/launch" / config)), VERBS, roots=(ROOT,))
    [mount] = mounts_of(spec)
    assert f"--shards={mount.path}" in spec.words()
    assert mount.source.endswith("/octomed-7b/shards")


@pytest.mark.parametrize(
    ("shards", "planned"), [("/mnt/shards", False), ("/mnt/shards/a", False), ("/mnt/shards2", True)]
)
def test_the_plan_does_not_look_for_a_mount_on_this_machine(shards, planned):
    words = plan_words(read(SHARDS, shards))
    assert (f"--shards={shards}" in words) is planned
    assert "--mesh=fsdp=64,sequence=4" in words


def pod_of(spec: JobSpec) -> dict:
    files = JOBSET.files(spec)
    JOBSET.check(files)
    return yaml.safe_load(files["jobset.yaml"])["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]


def test_a_pod_has_a_read_only_volume_for_each_mount():
    pod = pod_of(read({"/mnt/whole": "gs://YOUR_BUCKET", **SHARDS}))
    annotations = pod["metadata"]["annotations"]
    assert annotations["gke-gcsfuse/volumes"] == "true"
    assert annotations["gke-gcsfuse/ephemeral-storage-limit"] == "46080Mi"  # two caches, and room
    assert [volume["csi"]["readOnly"] for volume in pod["spec"]["volumes"]] == [True, True]
    cache = "file-cache:max-size-mb:20480,file-cache:cache-file-for-range-read:true"
    assert [volume["csi"]["volumeAttributes"] for volume in pod["spec"]["volumes"]] == [
        {"bucketName": "bucket", "mountOptions": f"implicit-dirs,only-dir=run/shards,{cache}"},
        {"bucketName": "YOUR_BUCKET", "mountOptions": f"implicit-dirs,{cache}"},
    ]
    names = [volume["name"] for volume in pod["spec"]["volumes"]]
    assert pod["spec"]["containers"][0]["volumeMounts"] == [
        {"name": names[0], "mountPath": "/mnt/shards", "readOnly": True},
        {"name": names[1], "mountPath": "/mnt/whole", "readOnly": True},
    ]


def test_a_pod_without_mounts_has_no_sidecar():
    pod = pod_of(read({}))
    assert "annotations" not in pod["metadata"]
    assert "volumes" not in pod["spec"]
    assert "volumeMounts" not in pod["spec"]["containers"][0]


def test_a_misspelt_field_of_a_volume_is_refused():
    text = JOBSET.files(read(SHARDS))["jobset.yaml"]
    for name in ("volumeAttributes", "mountPath"):
        with pytest.raises(UserError, match=f"{name}z"):
            JOBSET.check({"jobset.yaml": text.replace(f"{name}:", f"{name}z:")})


def test_a_skypilot_task_mounts_folders_and_a_typo_is_refused():
    spec = read({"/mnt/whole": "gs://YOUR_BUCKET", **SHARDS})
    files = dict(SKYPILOT.files(spec))
    SKYPILOT.check(files)
    task = yaml.safe_load(files["sky.yaml"])
    assert task["file_mounts"] == {  # it refuses to mount a folder of a bucket
        "/octomed-buckets/YOUR_BUCKET": {"source": "gs://YOUR_BUCKET", "mode": "MOUNT"},
        "/octomed-buckets/bucket": {"source": "gs://bucket", "mode": "MOUNT"},
    }
    assert task["setup"].splitlines()[-4:] == [
        "sudo mkdir -p /mnt",
        "sudo ln -sfn /octomed-buckets/bucket/run/shards /mnt/shards",
        "sudo mkdir -p /mnt",
        "sudo ln -sfn /octomed-buckets/YOUR_BUCKET /mnt/whole",
    ]
    text = files["sky.yaml"].replace("mode: MOUNT", "mdoe: MOUNT")
    with pytest.raises(
        UserError, match=r"no field file_mounts./octomed-buckets/YOUR_BUCKET.mdoe \(did you mean 'mode'\?\)"
    ):
        SKYPILOT.check({"sky.yaml": text})
    assert "file_mounts" not in SKYPILOT.files(read({}))["sky.yaml"]
    assert "sudo" not in SKYPILOT.files(read({}))["sky.yaml"]


# What a machine has: nothing is mounted at first, nothing is really made, and `gcsfuse` comes with its installation.
PROGRAMS = {
    "gcloud": '[ "$1 $2" != "storage cat" ] || echo running',
    "docker": '[ "$1" = run ] || exit 0\necho "docker $*" >>"$ACTED/done"',
    "curl": "case $* in *agent-worker*) echo 0 ;; *endpoints) echo uid:0:10.0.0.2 ;; esac",
    "mkdir": 'case $* in *" /mnt"*) echo "mkdir $*" >>"$ACTED/done" ;; *) exec /bin/mkdir "$@" ;; esac',
    "mountpoint": 'exit "${MOUNTED:-1}"',
    "fusermount": 'echo "fusermount $*" >>"$ACTED/done"',
    "gcsfuse": 'echo "gcsfuse $*" >>"$ACTED/done"\n[ -z "${NO_MOUNT:-}" ]',
}


@pytest.fixture
def machine(tmp_path):
    """A machine of queued resources that ends with its container, at once."""
    stage = Stage(tmp_path)
    for name, text in PROGRAMS.items():
        stage.program(name, f"#!/bin/bash\n{text}\n")
    spec = read({"/mnt/whole": "gs://YOUR_BUCKET", **SHARDS})
    files = QUEUED_RESOURCES.files(spec)
    QUEUED_RESOURCES.check(files)
    (tmp_path / "startup.sh").write_text(files["startup.sh"])
    return stage


def done(stage: Stage, **environment: str) -> tuple[int, str, list[str]]:
    code, printed = stage.run(["bash", str(stage.folder / "startup.sh")], **environment)
    return code, printed, (stage.folder / "done").read_text().splitlines()


def test_a_queued_machine_mounts_before_its_container_starts(machine):
    _, _, lines = done(machine)
    assert [line.split()[0] for line in lines] == ["mkdir", "gcsfuse", "mkdir", "gcsfuse", "docker"]
    cache = "--file-cache-max-size-mb=20480 --file-cache-cache-file-for-range-read"
    first = f"gcsfuse -o ro -o allow_other --implicit-dirs --cache-dir=/var/cache/octomed/mnt/shards {cache}"
    assert lines[1] == f"{first} --only-dir=run/shards bucket /mnt/shards"
    assert lines[3].endswith(f"{cache} YOUR_BUCKET /mnt/whole")
    for path in ("/mnt/shards", "/mnt/whole"):
        assert f"--mount type=bind,source={path},target={path},readonly " in lines[4]


def test_a_queued_machine_mounts_again_what_was_mounted(machine):
    _, _, lines = done(machine, MOUNTED="0")
    assert lines[0] == "fusermount -u /mnt/shards"


def test_a_queued_machine_that_cannot_mount_ends_the_job(machine):
    code, printed, lines = done(machine, NO_MOUNT="1")
    assert code == 2
    assert "octomed launch: cannot mount bucket at /mnt/shards" in printed
    assert not any(line.startswith("docker") for line in lines)


def test_a_queued_machine_installs_what_mounts(machine):
    text = (machine.folder / "startup.sh").read_text()
    assert "command -v gcsfuse >/dev/null || install_mounter" in text
    assert "gcsfuse" not in QUEUED_RESOURCES.files(read({}))["startup.sh"]


# Where the back end mounts nothing, the job looks before it starts; what is not there no new try would mend.
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("backend", ["xpk", "local", "slurm"])
def test_where_nothing_is_mounted_the_job_looks_for_the_folder(backend, there, tmp_path):
    stage = Stage(tmp_path)
    stage.program("octomed", '#!/bin/bash\necho started >>"$ACTED/done"\n')
    spec = dataclasses.replace(read(SHARDS), processes=1, bundle=str(tmp_path))
    folder = tmp_path / "mnt/shards"
    if there:
        folder.mkdir(parents=True)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    if backend == "xpk":
        files = XPK.files(spec)
        XPK.check(files)
        script = command_line(spec)
    elif backend == "local":
        script = LOCAL.files(spec)["run_local.sh"]
    else:
        (tmp_path / "logs").mkdir()
        (tmp_path / ".venv").mkdir()
        (tmp_path / ".venv/bin").symlink_to(stage.programs)
        script = render_rank(spec)
    (tmp_path / "script.sh").write_text(script.replace("/mnt/shards", str(folder)))
    command = ["bash", str(tmp_path / "script.sh"), *([str(tmp_path), "first"] if backend == "slurm" else [])]
    code, printed = stage.run(command, SLURM_PROCID="0", SLURM_NTASKS="1")
    assert (tmp_path / "done").exists() is there, printed
    assert code == (0 if there else 2), printed
    if not there:
        assert f"octomed launch: no folder {folder} " in printed
        assert "gs://bucket/run/shards" in printed


def test_a_mount_of_a_config_is_left_out_on_the_command_line():
    """A group cannot be emptied there; an empty source is no mount."""
    path = str(ROOT / "configs/launch/octomed_7b_v5e_256.py")
    spec = read_spec(configuration.load(path, ("mounts./mnt/shards=",)), roots=(ROOT,))
    assert dict(spec.mounts) == {}
    assert "gcsfuse" not in QUEUED_RESOURCES.files(spec)["startup.sh"]
