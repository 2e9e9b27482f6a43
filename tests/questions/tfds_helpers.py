"""What tests of sets of tensorflow-datasets share: tiny sets, prepared as that library does it."""

import io

import tensorflow_datasets as tfds


def prepare(folder, name, features, splits, config=None, file_format="array_record"):
    """Write a set as tensorflow-datasets prepares it; images are given as encoded bytes."""
    with tfds.core.registered.skip_registration():

        class Tiny(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("3.0.0")
            BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []

            def _info(self):
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

            def _split_generators(self, manager):  # noqa: ARG002
                return {split: self._generate_examples(rows) for split, rows in splits.items()}

            def _generate_examples(self, rows):
                for number, row in enumerate(rows):
                    yield number, {**row, "image": io.BytesIO(row["image"])}

    Tiny.name = name
    builder = Tiny(data_dir=str(folder), file_format=file_format)
    builder.download_and_prepare()
    return builder.data_path
