"""The 7B student on two v6e slices of 256 chips, with a teacher of 72B on GPUs beside it (all in one GKE cluster).

Render it with ``octomed launch render --config=configs/launch/octomed_7b_v6e_256_2slices.py --backend=jobset
--output=DIR``. The job finds the teacher in OCTOMED_TEACHER_MODEL and OCTOMED_TEACHER_ENDPOINTS. Most recipes do not
need this: traces are made before, by ``teacher_gpu.py``, and the trainer reads them from the bucket.
What begins with YOUR_ is to be replaced, here or on the command line (``--config.image=...``).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Return the job; ``octomed_jax/launching/spec.py`` says what each field means."""
    config = ConfigDict()
    config.name = "octomed-7b-v6e"
    config.accelerator = "v6e"
    config.topology = "16x16"
    config.slices = 2
    config.capacity = "reserved"
    config.reservation = "YOUR_RESERVATION"
    config.image = "us-docker.pkg.dev/YOUR_PROJECT/octomed/trainer:0.1.0"
    # The mesh that `octomed plan --search` puts first for these chips; `octomed launch plan` says what it takes.
    config.command = ConfigDict(
        {
            "verb": "train",
            "config": "configs/octomed_7b.py",
            "overrides": (),
            "options": ("mesh=data=2,fsdp=64,sequence=4", "shards=/mnt/shards"),
        }
    )
    config.workdir = "gs://YOUR_BUCKET/octomed-7b-v6e"
    # Training reads its shards from a disk: what `octomed shard` has written and measured, to be read only.
    config.mounts = ConfigDict({"/mnt/shards": "gs://YOUR_BUCKET/octomed-7b/shards"})
    # Plain settings. A compile cache in the bucket saves the compilation after every restart.
    config.environment = ConfigDict({"JAX_COMPILATION_CACHE_DIR": "gs://YOUR_BUCKET/jax-cache"})
    # Names of Kubernetes secrets, never values: kubectl create secret generic octomed --from-literal=hf_token=...
    config.secrets = ConfigDict({"HF_TOKEN": {"secret": "octomed", "key": "hf_token"}})
    config.service_account = "octomed"  # may read and write the bucket (workload identity)
    config.retries = 10  # for crashes; a spot machine that is taken away is not counted
    config.grace_seconds = 600  # ours, to be measured: longer than saving 7B parameters and their moments takes
    config.priority = ""
    # Where: namespace of the cluster that kubectl looks at; the others are for back ends that ask the cloud.
    config.namespace = "default"
    config.project = ""
    config.zone = ""
    config.cluster = ""
    config.bundle = ""
    config.hours = 10  # `octomed plan` estimates 4 to 6 for the 47,435 steps; the cost is reckoned with these
    config.teacher = ConfigDict(
        {
            "model": "Qwen/Qwen2.5-VL-72B-Instruct",
            "revision": "",  # name a commit where attempts shall be repeatable
            "image": "us-docker.pkg.dev/YOUR_PROJECT/octomed/teacher:0.32.0",  # launch/teacher.Dockerfile makes it
            "accelerator": "h100",
            "gpus": 8,
            "nodes": 1,
            "replicas": 2,
            "max_model_len": 16384,
            "images": 10,
            "port": 8000,
            "extra": (),
            "secrets": {"HF_TOKEN": {"secret": "octomed", "key": "hf_token"}},
        }
    )
    # For --backend=local, a rehearsal of the command on this machine:
    config.processes = 2
    config.devices = 4
    config.port = 12421
    return config
