"""The 7B student on one v5e slice of 256 chips, for back ends that have no secrets and service accounts of Kubernetes.

Render it with ``octomed launch render --config=configs/launch/octomed_7b_v5e_256_plain.py --backend=xpk --output=DIR``;
``skypilot`` and ``queued_resources`` do it too. What begins with YOUR_ or your- is to be replaced, here or on the
command line.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Return the job; ``octomed_jax/launching/spec.py`` says what each field means."""
    config = ConfigDict()
    config.name = "octomed-7b"
    config.accelerator = "v5e"
    config.topology = "16x16"
    config.slices = 1
    config.capacity = "spot"
    config.reservation = ""
    config.project = "your-project"
    config.zone = "us-west4-a"
    config.cluster = "your-cluster"  # xpk
    config.namespace = "default"  # xpk
    config.image = "us-docker.pkg.dev/your-project/octomed/trainer:0.1.0"  # xpk, queued_resources
    config.bundle = "."  # skypilot sends this folder in place of an image
    # The mesh that `octomed plan --search` puts first for these chips.
    config.command = ConfigDict(
        {
            "verb": "train",
            "config": "configs/octomed_7b.py",
            "overrides": (),
            "options": ("mesh=fsdp=64,sequence=4",),
        }
    )
    config.workdir = "gs://YOUR_BUCKET/octomed-7b"
    # Plain settings. A compile cache in the bucket saves the compilation after every restart.
    config.environment = ConfigDict({"JAX_COMPILATION_CACHE_DIR": "gs://YOUR_BUCKET/jax-cache"})
    config.secrets = ConfigDict()
    config.service_account = ""
    config.retries = 10
    config.grace_seconds = 600  # ours, to be measured: longer than saving 7B parameters and their moments takes
    config.priority = ""
    config.hours = 40
    return config
