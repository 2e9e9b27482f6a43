"""The shards as a data set of tensorflow-datasets; importing this module registers it as ``octomed``.

    import tensorflow_datasets as tfds
    import octomed_jax.traces.tfds_builder
    source = tfds.data_source("octomed", split="train", data_dir="runs/demo/shards")

Without this module, ``tfds.builder_from_directory("runs/demo/shards").as_data_source("train")`` reads the same: the
folder describes itself. TensorFlow is needed for neither.
"""

import os
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from octomed_jax.errors import UserError
from octomed_jax.traces import tfds_files
from octomed_jax.traces.record import LIMITS, LISTS, NUMBERS, TEXTS

ONLY_READ = "shards are made by `octomed shard`; tensorflow-datasets only reads them"


class Octomed(tfds.core.GeneratorBasedBuilder):
    """Medical questions with their images and accepted responses, a record a question."""

    name = tfds_files.NAME
    VERSION = tfds.core.Version(tfds_files.VERSION)

    def _build_data_dir(self, given_data_dir: str | None) -> tuple[str, str]:
        """Take the folder of the shards as it is, without folders for the name and the version in it."""
        folder = os.fspath(given_data_dir or ".")
        if not (epath.Path(folder) / tfds_files.INFO_FILE).exists():
            raise UserError(f"{folder} holds no shards; give data_dir=DIR, what `octomed shard` wrote")
        return folder, folder

    def is_prepared(self) -> bool:
        """Return True: the folder was looked at, and is not named after a version, which would be warned of."""
        return True

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text
        features: dict[str, Any] = {name: text() for name in (*TEXTS, *LIMITS)}
        features |= {name: tfds.features.Sequence(text()) for name in LISTS}
        features |= {name: tfds.features.Sequence(np.int64) for name in NUMBERS}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def download_and_prepare(self, *, download_config: Any = None, **_given: Any) -> None:
        """Do nothing, as there is nothing to prepare.

        Raises:
            UserError: the folder is to be written: tensorflow-datasets would remove the shards to make them again.
        """
        if download_config and download_config.download_mode != tfds.download.GenerateMode.REUSE_DATASET_IF_EXISTS:
            raise UserError(ONLY_READ)

    def _split_generators(self, _manager: Any) -> dict[str, Any]:
        raise UserError(ONLY_READ)

    def _generate_examples(self) -> Any:
        raise UserError(ONLY_READ)
