"""What the fixture configs beside it import, as big_vision's import their `bvcc`: arguments as text, and a config."""

from ml_collections import ConfigDict

DEFAULTS = {"res": 224, "freeze": True}


def parse_arg(arg):
    """Return the options that an argument such as ``res=448,freeze=False`` sets, with the defaults of the others."""
    words = dict(word.split("=") for word in (arg or "").split(",") if word)
    unknown = set(words) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"unknown arguments: {sorted(unknown)}")
    read = {"res": int(words["res"])} if "res" in words else {}
    return {**DEFAULTS, **read, **({"freeze": words["freeze"] == "True"} if "freeze" in words else {})}


def arg(**words):
    """Return the words packed as an argument, and once more as fields."""
    return {"config_arg": ",".join(f"{name}={value}" for name, value in words.items()), **words}


def config():
    """Return a config of the shape of ours."""
    return ConfigDict(
        {
            "run": "runs/x",
            "name": "small",
            "seed": 0,
            "rate": 0.5,
            "sizes": (1, 2),
            "rows": "apart",
            "shuffle": False,
            "free": None,
            "train": {"steps": 10, "epochs": 0, "seed": None, "optimizer": {"b1": 0.9, "b2": 0.95}},
            "traces": {"per_question": 2},
        }
    )
