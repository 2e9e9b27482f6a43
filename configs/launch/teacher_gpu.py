"""Traces made before the training, the default: a teacher on GPUs, asked by hosts without chips, into a bucket.

``octomed launch render --config=configs/launch/teacher_gpu.py --backend=jobset --output=DIR`` gives two manifests: the
teacher, and four hosts of which each asks a quarter of the questions (``octomed distill --shard=I/4``). Killed at any
moment, the job goes on where it was. Then ``octomed verify`` and ``octomed shard`` read the bucket, and the trainer
their shards; the GPUs are given back with ``octomed launch down``.

``teacher_gpu.py:two_nodes`` serves a copy of a model that one node cannot hold on two nodes (LeaderWorkerSet).
"""

from ml_collections import ConfigDict


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the job; ``arg`` is empty or ``two_nodes``. A field's meaning: ``octomed_jax/launching/spec.py``."""
    if arg not in (None, "", "two_nodes"):
        raise ValueError(f"teacher_gpu.py knows no variant {arg!r}; use teacher_gpu.py or teacher_gpu.py:two_nodes")
    config = ConfigDict()
    config.name = "octomed-traces"
    config.accelerator = "cpu"
    config.topology = "4"
    config.capacity = "on_demand"
    config.reservation = ""
    config.image = "us-docker.pkg.dev/YOUR_PROJECT/octomed/trainer:0.1.0"
    config.command = ConfigDict(
        {"verb": "distill", "config": "configs/recipes/octomed_7b_one_teacher.py", "overrides": (), "options": ()}
    )
    config.workdir = "gs://YOUR_BUCKET/octomed-7b"
    config.environment = ConfigDict()
    config.secrets = ConfigDict()
    config.service_account = "octomed"  # may read and write the bucket (workload identity)
    config.retries = 10
    config.grace_seconds = 120
    config.priority = ""
    config.namespace = "default"
    config.project = ""
    config.zone = ""
    config.cluster = ""
    config.bundle = ""
    config.hours = 72
    config.teacher = ConfigDict(
        {
            "model": "Qwen/Qwen2.5-VL-72B-Instruct",
            "revision": "",  # name a commit where attempts shall be repeatable
            "image": "us-docker.pkg.dev/YOUR_PROJECT/octomed/teacher:0.32.0",  # launch/teacher.Dockerfile makes it
            "accelerator": "h100",
            "gpus": 8,
            "nodes": 1,
            "replicas": 4,
            "max_model_len": 16384,
            "images": 10,
            "port": 8000,
            "extra": (),
            "secrets": {"HF_TOKEN": {"secret": "octomed", "key": "hf_token"}},
        }
    )
    if arg == "two_nodes":
        config.teacher.update({"nodes": 2, "replicas": 2})
    config.processes = 1
    config.devices = 1
    config.port = 12421
    return config
