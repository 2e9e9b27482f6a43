"""Traces on Slurm, before the training: each GPU node serves a teacher and asks it its share of the questions.

Render it with ``octomed launch render --config=configs/launch/distill_slurm.py --backend=slurm --output=DIR``, into a
folder that all nodes see. ``distill_slurm.py:cpu`` asks endpoints that are there already, from nodes without GPUs.
What begins with YOUR_ is to be replaced, here or on the command line.
"""

from ml_collections import ConfigDict


def get_config(arg: str | None = None) -> ConfigDict:
    """Return the job; ``arg`` is empty or ``cpu``. A field's meaning: ``octomed_jax/launching/spec.py``."""
    if arg not in (None, "", "cpu"):
        raise ValueError(f"distill_slurm.py knows no variant {arg!r}; use distill_slurm.py or distill_slurm.py:cpu")
    config = ConfigDict()
    config.name = "octomed-traces"
    config.accelerator = "h100"
    config.topology = "4x8"  # four nodes of eight GPUs: four teachers, and each node does a quarter
    config.capacity = "on_demand"
    config.reservation = ""
    config.partition = ""  # empty: the cluster's default
    config.account = ""
    config.priority = ""  # quality of service
    # The project on a file system that all nodes see, with its environment in .venv and vLLM in .venv-vllm.
    config.bundle = "/YOUR_SHARED_FOLDER/octomed_jax"
    config.command = ConfigDict({"verb": "distill", "config": "configs/octomed_7b.py", "overrides": (), "options": ()})
    config.workdir = "/YOUR_SHARED_FOLDER/runs/octomed-7b"
    config.environment = ConfigDict()
    config.secrets = ConfigDict()
    config.retries = 10
    config.grace_seconds = 120  # what came back is written at once; this is for the responses under way
    config.hours = 24  # then the job goes back into the queue, and on where it was
    config.teacher = ConfigDict(
        {
            "model": "Qwen/Qwen2.5-VL-72B-Instruct",
            "revision": "",  # name a commit where attempts shall be repeatable
            "image": "us-docker.pkg.dev/YOUR_PROJECT/octomed/teacher:0.32.0",  # not on Slurm: vLLM is in the bundle
            "accelerator": "h100",
            "gpus": 8,
            "nodes": 1,
            "replicas": 1,  # on each node
            "max_model_len": 16384,
            "images": 10,
            "port": 8000,
            "extra": (),
            "secrets": {"HF_TOKEN": {"secret": "octomed", "key": "hf_token"}},
        }
    )
    if arg == "cpu":
        config.accelerator = "cpu"
        config.topology = "2"
        config.command.options = ("endpoint=http://YOUR_ENDPOINT:8000", "model=Qwen/Qwen2.5-VL-72B-Instruct")
        config.teacher = ConfigDict()
    return config
