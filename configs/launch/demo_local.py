"""Two processes on this machine train the demo's student together, as two hosts would.

It trains on the shards of the demo, so run ``octomed demo`` first (or its stages as far as ``shard``).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Return the job; ``octomed_jax/launching/spec.py`` says what each field means."""
    config = ConfigDict()
    config.name = "demo-local"
    config.command = ConfigDict(
        {"verb": "train", "config": "configs/demo.py", "overrides": (), "options": ("shards=runs/demo/shards",)}
    )
    config.workdir = "runs/demo_local"
    config.environment = ConfigDict()
    config.secrets = ConfigDict()
    config.grace_seconds = 60
    config.processes = 2
    config.devices = 1
    config.port = 12421
    return config
