"""Folders of buckets that a job sees as its own: what may be named, and what each back end makes of it."""

from pathlib import Path

import pytest
import yaml

from octomed_jax import configuration
from octomed_jax.cli.main import VERBS
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.jobset import JOBSET
from octomed_jax.launching.mounts import Mount, mounts_of
from octomed_jax.launching.read_spec import read_spec
from octomed_jax.launching.spec import JobSpec, plan_words

ROOT = Path(__file__).resolve().parents[2]
SHARDS = {"/mnt/shards": "gs://bucket/run/shards/"}


def read(mounts: object, shards: str = "", config: str = "octomed_7b_v5e_256.py") -> JobSpec:
    loaded = configuration.load(str(ROOT / "configs/launch" / config)).unlock()
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
