"""What tensorflow-datasets wants of a folder: how shards are named, and the two files that describe them.

Written as plain JSON, so that nothing here imports that package. A test holds that it writes the same features itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from octomed_jax import storage
from octomed_jax.storage import PathLike
from octomed_jax.traces.record import LIMITS, LISTS, NUMBERS, RECORD_VERSION, TEXTS

NAME, SPLIT = "octomed", "train"
VERSION = f"{RECORD_VERSION}.0.0"
INFO_FILE, FEATURES_FILE = "dataset_info.json", "features.json"
BUILDER = "octomed_jax.traces.tfds_builder"  # the module that registers the builder

_FEATURES = "tensorflow_datasets.core.features"
_TEXT = {"pythonClassName": f"{_FEATURES}.text_feature.Text", "text": {}}
_NUMBER = {
    "pythonClassName": f"{_FEATURES}.tensor_feature.Tensor",
    "tensor": {"dtype": "int64", "encoding": "none", "shape": {}},
}


def shard_name(number: int, total: int) -> str:
    """Return the file name of a shard."""
    return f"{NAME}-{SPLIT}.array_record-{number:05d}-of-{total:05d}"


def write_description(folder: PathLike, records: Sequence[int], size: int, licences: Sequence[str]) -> None:
    """Write ``dataset_info.json`` and ``features.json``.

    Args:
        folder: of the shards.
        records: in each shard.
        size: bytes of all records.
        licences: of what is in them.
    """
    split = {
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "name": SPLIT,
        "numBytes": str(size),
        "shardLengths": [str(count) for count in records],
    }
    info = {
        "description": "Medical questions with their images and accepted responses, a record a question.",
        "fileFormat": "array_record",
        "moduleName": BUILDER,
        "name": NAME,
        "redistributionInfo": {"license": "; ".join(licences)},
        "splits": [split],
        "version": VERSION,
    }
    storage.write_json(epath.Path(folder) / INFO_FILE, info)
    storage.write_json(epath.Path(folder) / FEATURES_FILE, _features())


def _features() -> Mapping[str, Any]:
    features: dict[str, Any] = dict.fromkeys((*TEXTS, *LIMITS), _TEXT)
    # Images are encoded files: tensorflow-datasets cannot leave a list of its own images undecoded.
    features |= {name: _sequence(_TEXT) for name in LISTS}
    features |= {name: _sequence(_NUMBER) for name in NUMBERS}
    return {
        "featuresDict": {"features": dict(sorted(features.items()))},
        "pythonClassName": f"{_FEATURES}.features_dict.FeaturesDict",
    }


def _sequence(feature: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pythonClassName": f"{_FEATURES}.sequence_feature.Sequence",
        "sequence": {"feature": feature, "length": "-1"},
    }
