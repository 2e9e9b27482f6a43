"""tensorflow-datasets reads the very same shards, with our builder and without any of our code, and no TensorFlow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from octomed_jax.errors import UserError
from octomed_jax.schema import Record
from octomed_jax.traces.shards import ShardReader
from octomed_jax.traces.stage import shard
from tests.traces.corpus import questions, write_records

ROOT = Path(__file__).parents[2]

# In a process of its own: TensorFlow cannot be imported, also where it is installed.
WITHOUT_TENSORFLOW = """
import importlib.machinery, json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name.split(".")[0] == "tensorflow" else None
    def create_module(self, spec):
        raise ImportError(f"no {spec.name} here")
    def exec_module(self, module):
        raise AssertionError

sys.meta_path.insert(0, Refuse())
import tensorflow_datasets as tfds

folder, by_name = sys.argv[1], sys.argv[2] == "name"
if by_name:
    import octomed_jax.traces.tfds_builder
    source = tfds.data_source("octomed", split="train", data_dir=folder)
else:
    source = tfds.builder_from_directory(folder).as_data_source("train")
    assert not any(name.startswith("octomed_jax") for name in sys.modules)

def plain(value):
    if isinstance(value, bytes):
        return value.hex()
    return [plain(one) for one in value] if isinstance(value, list) else int(value)

print(json.dumps([{name: plain(value) for name, value in element.items()} for element in source]))
"""


def elements(folder: Path, way: str) -> list[dict]:
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, str(folder), way]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "invalid version" not in ran.stderr
    return json.loads(ran.stdout)


def element_of(record: Record) -> dict:
    """Return what tensorflow-datasets gives of a record, bytes in hex."""
    question = record.question
    limits = {name: getattr(question, name) for name in ("lower_limit", "upper_limit")}
    texts = {
        name: getattr(question, name)
        for name in question.__dataclass_fields__
        if isinstance(getattr(question, name), str)
    }
    texts |= {name: "" if limit is None else repr(limit) for name, limit in limits.items()}
    lists = {name: getattr(question, name) for name in ("options", "aliases")}
    lists |= {"image_hash": question.image_hashes, "responses": record.responses}
    lists["option_orders"] = tuple(" ".join(map(str, order)) for order in record.option_orders)
    return (
        {name: text.encode().hex() for name, text in texts.items()}
        | {name: [text.encode().hex() for text in values] for name, values in lists.items()}
        | {"image": [image.hex() for image in question.images], "samples": list(record.samples)}
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shards with all that a record may hold."""
    import dataclasses

    made = []
    for number, one in enumerate(questions(9)):
        more = {"images": one.images * 2, "image_hashes": one.image_hashes * 2, "aliases": ("άξων",)}
        limits = {"lower_limit": 0.1 + number, "upper_limit": None if number % 2 else 1e-300}
        question = dataclasses.replace(one, **more, **limits, modality="MR", explanation="because")
        orders = ((1, 0), ()) if one.options else ()
        made.append(Record(question, ("<think>a</think>\n\n\\boxed{x}", "b"), orders, (3, 11)))
    place = tmp_path_factory.mktemp("corpus")
    config = ConfigDict({"traces": {"per_question": 2}, "shard": {"bytes": 150_000}})
    shard(config, write_records(place / "traces", made), place / "shards", workers=1)
    assert len(list((place / "shards").glob("octomed-train.array_record-*"))) == 3
    assert list(ShardReader(place / "shards")) == made
    return place / "shards"


@pytest.mark.parametrize("way", ["directory", "name"])
def test_every_element_is_our_record(folder, way):
    """Images byte for byte, texts and limits with all of their digits, in our order."""
    expected = [element_of(record) for record in ShardReader(folder)]
    assert elements(folder, way) == expected


def test_the_description_is_what_tensorflow_datasets_writes_itself(folder, tmp_path):
    import tensorflow_datasets as tfds

    from octomed_jax.traces.tfds_builder import Octomed

    builder = Octomed(data_dir=folder)
    builder.info.features.save_config(tmp_path)
    assert json.loads((tmp_path / "features.json").read_text()) == json.loads((folder / "features.json").read_text())
    builder.info.write_to_directory(tmp_path)
    written, ours = [json.loads((place / "dataset_info.json").read_text()) for place in (tmp_path, folder)]
    assert {name: written[name] for name in ours} == ours
    assert tfds.builder_cls("octomed") is Octomed


def test_a_folder_without_shards_is_named(tmp_path):
    from octomed_jax.traces.tfds_builder import Octomed

    with pytest.raises(UserError, match="holds no shards; give data_dir=DIR, what `octomed shard` wrote"):
        Octomed(data_dir=tmp_path)


@pytest.mark.parametrize("mode", ["REUSE_CACHE_IF_EXISTS", "FORCE_REDOWNLOAD", "UPDATE_DATASET_INFO"])
def test_shards_are_not_made_by_tensorflow_datasets(folder, mode):
    """Asked to write them again, it would remove them first."""
    import tensorflow_datasets as tfds

    from octomed_jax.traces.tfds_builder import Octomed

    builder, before = Octomed(data_dir=folder), sorted((path, path.read_bytes()) for path in folder.iterdir())
    builder.download_and_prepare()
    asked = tfds.download.DownloadConfig(download_mode=tfds.download.GenerateMode[mode])
    steps = (
        lambda: builder.download_and_prepare(download_config=asked),
        lambda: builder._split_generators(None),
        lambda: builder._generate_examples(),
    )
    for step in steps:
        with pytest.raises(UserError, match="shards are made by `octomed shard`; tensorflow-datasets only reads them"):
            step()
    assert sorted((path, path.read_bytes()) for path in folder.iterdir()) == before


def test_the_reader_is_light(tmp_path):
    """Worker processes read shards; tensorflow-datasets takes a second to import."""
    code = "import sys, octomed_jax.traces.shards; assert 'tensorflow_datasets' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})


def test_grain_takes_either_as_a_source(folder):
    import grain
    import tensorflow_datasets as tfds

    from octomed_jax.traces.record import unpack_record

    records = list(ShardReader(folder))
    files = sorted(map(str, folder.glob("octomed-train*")))
    assert list(grain.MapDataset.source(grain.sources.ArrayRecordDataSource(files)).map(unpack_record)) == records
    source = tfds.builder_from_directory(folder).as_data_source("train")
    found = list(grain.MapDataset.source(source).shuffle(seed=0))
    assert sorted(one["id"].decode() for one in found) == [record.question.id for record in records]
