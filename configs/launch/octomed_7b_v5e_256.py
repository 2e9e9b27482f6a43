"""The 7B student on one v5e slice of 256 chips: 64 hosts of 4 chips, spot capacity.

Render it with ``octomed launch render --config=configs/launch/octomed_7b_v5e_256.py --backend=jobset --output=DIR``;
``xpk``, ``skypilot``, ``queued_resources`` and ``local`` do it too. ``octomed_7b_v5e_256.py:gke`` names a service
account and a secret of Kubernetes besides, which is for ``jobset`` alone. What begins with YOUR_ or your- is to be
replaced, here or on the command line (``--config.image=...``).
"""

from ml_collections import ConfigDict


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the job; ``octomed_jax/launching/spec.py`` says what each field means. ``arg`` is empty or ``gke``."""
    if arg not in (None, "", "gke"):
        raise ValueError(f"octomed_7b_v5e_256.py knows no variant {arg!r}; use octomed_7b_v5e_256.py or :gke")
    config = ConfigDict()
    config.name = "octomed-7b"
    config.accelerator = "v5e"
    config.topology = "16x16"
    config.slices = 1
    config.capacity = "spot"
    config.reservation = ""
    config.image = "us-docker.pkg.dev/your-project/octomed/trainer:0.1.0"  # jobset, xpk, queued_resources
    config.bundle = "."  # skypilot sends this folder in place of an image
    # The mesh that `octomed plan --search` puts first for these chips; `octomed launch plan` says what it takes.
    config.command = ConfigDict(
        {
            "verb": "train",
            "config": "configs/octomed_7b.py",
            "overrides": (),
            "options": ("mesh=fsdp=64,sequence=4", "shards=/mnt/shards"),
        }
    )
    config.workdir = "gs://YOUR_BUCKET/octomed-7b"
    # Training reads its shards from a disk: what `octomed shard` has written and measured, read only. For xpk they are
    # attached to the cluster before (docs/launch-xpk.md); local looks whether the folder is there.
    config.mounts = ConfigDict({"/mnt/shards": "gs://YOUR_BUCKET/octomed-7b/shards"})
    # Plain settings. A compile cache in the bucket saves the compilation after every restart.
    config.environment = ConfigDict({"JAX_COMPILATION_CACHE_DIR": "gs://YOUR_BUCKET/jax-cache"})
    config.secrets = ConfigDict()
    config.service_account = ""
    config.retries = 10  # for crashes; a spot machine that is taken away is not counted
    config.grace_seconds = 600  # ours, to be measured: longer than saving 7B parameters and their moments takes
    config.priority = ""
    # Where: namespace of the cluster that kubectl looks at; the others are for back ends that ask the cloud.
    config.namespace = "default"
    config.project = "your-project"
    config.zone = "us-west4-a"
    config.cluster = "your-cluster"
    config.hours = 40  # `octomed plan` estimates 25 to 36 for the 47,435 steps; the cost is reckoned with these
    # For --backend=local, a rehearsal of the command on this machine:
    config.processes = 2
    config.devices = 4
    config.port = 12421
    if arg == "gke":
        # Names of Kubernetes secrets, never values: kubectl create secret generic octomed --from-literal=hf_token=...
        config.secrets = ConfigDict({"HF_TOKEN": {"secret": "octomed", "key": "hf_token"}})
        config.service_account = "octomed"  # may read and write the bucket (workload identity)
    return config
