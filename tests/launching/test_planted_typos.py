"""A mistake planted into each kind of rendered file is refused before anything is written, with its place."""

from pathlib import Path

import pytest

from octomed_jax import configuration
from octomed_jax.errors import UserError
from octomed_jax.launching.backends.table import BACKENDS
from octomed_jax.launching.read_spec import read_spec

ROOT = Path(__file__).resolve().parents[2]
SLICES, NODES, POD, TRACES = (
    "octomed_7b_v6e_256_2slices.py",
    "teacher_gpu.py:two_nodes",
    "octomed_7b_v5e_256.py",
    "distill_slurm.py",
)
# Back end, launch config, file; what stands there, and what is put there once.
PLANTED = [
    ("jobset", SLICES, "jobset.yaml", "terminationGracePeriodSeconds", "terminationGracePeriodSecond"),
    ("jobset", SLICES, "jobset.yaml", "onJobFailureReasons", "onJobFailureReason"),
    ("jobset", SLICES, "jobset.yaml", "RestartJobSetAndIgnoreMaxRestarts", "RestartJobsetAndIgnoreMaxRestarts"),
    ("jobset", SLICES, "jobset.yaml", "- PodFailurePolicy", "- PodFailurePolicyy"),
    ("jobset", SLICES, "jobset.yaml", "name: tryAgain", "name: try again"),
    ("jobset", SLICES, "jobset.yaml", "exclusive-topology", "exclusive-topologies"),
    ("jobset", SLICES, "jobset.yaml", "completionMode: Indexed", "completionMode: indexed"),
    ("jobset", SLICES, "jobset.yaml", "containerName: octomed", "containerName: octomedd"),
    ("jobset", SLICES, "jobset.yaml", "google.com/tpu: '4'", "google.com/tpu: four"),
    ("jobset", SLICES, "jobset.yaml", "gke-tpu-topology", "gke-tpu-topologie"),
    ("jobset", SLICES, "jobset.yaml", "tpu-v6e-slice", "tpu-v6-slice"),
    ("jobset", SLICES, "jobset.yaml", "volumes:\n            - csi:", "volumes:\n            - cis:"),
    ("jobset", SLICES, "jobset.yaml", "name: mount-0\n", "name: mount-9\n"),
    ("jobset", SLICES, "teacher.yaml", "kind: Service", "kind: service"),
    ("jobset", SLICES, "teacher.yaml", "apiVersion: apps/v1", "apiVersion: apps/v2"),
    ("jobset", SLICES, "teacher.yaml", "targetPort", "targetport"),
    ("jobset", SLICES, "teacher.yaml", "policyTypes", "policytypes"),
    ("jobset", SLICES, "teacher.yaml", "startupProbe", "startUpProbe"),
    ("jobset", SLICES, "teacher.yaml", "secretKeyRef", "secretRef"),
    ("jobset", SLICES, "teacher.yaml", "mountPath: /probe", "mountPath: /pro:be"),
    ("jobset", SLICES, "teacher.yaml", "nvidia-h100-80gb", "nvidia-h100"),
    ("jobset", NODES, "teacher.yaml", "leaderWorkerTemplate", "leaderWorkerTemplates"),
    ("jobset", NODES, "teacher.yaml", "RecreateGroupOnPodRestart", "RecreateGroup"),
    ("jobset", NODES, "teacher.yaml", "name: cache\n", "name: cash\n"),
    ("xpk", POD, "xpk.sh", "--num-slices", "--num-slice"),
    ("xpk", POD, "xpk.sh", "--zone=us-west4-a", "--zone=us-west4"),
    ("skypilot", POD, "sky.yaml", "use_spot", "use_spots"),
    ("skypilot", POD, "sky.yaml", "infra: gcp/", "infra: gpc/"),
    ("skypilot", POD, "sky.yaml", "v5litepod-256", "v5lite-256"),
    ("skypilot", POD, "sky.yaml", "v2-alpha-tpuv5-lite", "v2-alpha-tpu-v5"),
    ("skypilot", POD, "sky.yaml", "mode: MOUNT", "mode: MONT"),
    ("skypilot", POD, "sky.yaml", "esac", "esca"),
    ("queued_resources", POD, "supervise.sh", "--accelerator-type", "--acelerator-type"),
    ("queued_resources", POD, "supervise.sh", "v2-alpha-tpuv5-lite", "v2-alpha-tpu-v5"),
    ("queued_resources", POD, "startup.sh", "esac", "esca"),
    ("slurm", TRACES, "job.sbatch", "--gpus-per-node", "--gpus-per-nodes"),
    ("slurm", TRACES, "job.sbatch", "B:TERM", "TERM"),
    ("slurm", TRACES, "rank.sh", "\nfi\n", "\nif\n"),
    ("local", "demo_local.py", "run_local.sh", "esac", "esca"),
]


@pytest.mark.parametrize(("name", "config", "file", "right", "wrong"), PLANTED, ids=lambda text: text.strip()[:40])
def test_a_planted_typo_is_refused(name, config, file, right, wrong):
    spec = read_spec(configuration.load(str(ROOT / "configs/launch" / config)), roots=(ROOT,))
    files = dict(BACKENDS[name].files(spec))
    BACKENDS[name].check(files)
    assert right in files[file]
    with pytest.raises(UserError, match=file) as refused:
        BACKENDS[name].check({**files, file: files[file].replace(right, wrong, 1)})
    assert "\n" not in str(refused.value)
