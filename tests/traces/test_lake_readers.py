"""The lake as pandas, DuckDB and datasets read it, and the snippets of docs/lake.md."""

import io
import json
import os
import re
import subprocess
import sys

import datasets
import duckdb
import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
from PIL import Image

from octomed_jax.schema import QUESTION_SCHEMA
from octomed_jax.traces.features import with_features
from octomed_jax.traces.grouped import LAKE_SCHEMA, iterate_lake
from octomed_jax.traces.published import schema
from tests.traces.corpus import write_traces


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake") / "runs" / "demo"
    write_traces(folder / "traces", 6)
    return folder


def test_pandas_reads_the_rows(run):
    frame = pandas.read_parquet(run / "traces" / "lake")
    rows = list(iterate_lake(run / "traces"))
    assert list(frame.columns) == LAKE_SCHEMA.names
    assert list(frame.columns)[:6] == list(schema(several_images=True).names)[:6]  # those of OctoMed's published sets
    assert sorted(frame.columns) == sorted([*QUESTION_SCHEMA.names, "responses", "attempts", "verdicts"])
    assert list(frame["id"]) == [row["id"] for row in rows]
    assert [list(texts) for texts in frame["responses"]] == [row["responses"] for row in rows]
    assert frame["verdicts"][1][0]["extracted"] == "axial"
    assert frame["image"][1][0]["bytes"] == rows[1]["image"][0]["bytes"]
    assert np.isnan(frame["lower_limit"][0])


def test_duckdb_reads_the_rows(run):
    rows = list(iterate_lake(run / "traces"))
    found = duckdb.sql(
        f"SELECT id, len(responses), responses[1], attempts[2].sample_index, verdicts[1].judge, lower_limit, "
        f"octet_length(image[1].bytes) FROM '{run}/traces/lake/*.parquet' ORDER BY id"
    ).fetchall()
    assert found == [
        (row["id"], 2, row["responses"][0], 1, False, None, len(row["image"][0]["bytes"]) if row["image"] else None)
        for row in rows
    ]


def test_datasets_reads_the_rows_with_images_as_images(run, tmp_path):
    files = str(run / "traces" / "lake" / "*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    for read, row in zip(loaded, iterate_lake(run / "traces"), strict=True):
        images = [Image.open(io.BytesIO(image["bytes"])) for image in row["image"]]
        assert [np.array(image).tolist() for image in read.pop("image")] == [np.array(i).tolist() for i in images]
        row.pop("image")
        assert read == row  # lists of structs as they are, not as structs of lists
    assert loaded.features["options"].feature.dtype == "string"
    assert loaded.features["image"].feature == datasets.Image()


def test_the_files_describe_every_column_as_older_versions_know_it_too(run):
    schema = pq.read_schema(next((run / "traces" / "lake").glob("*.parquet")))
    described = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(described) == LAKE_SCHEMA.names
    assert described["image"] == {"feature": {"_type": "Image"}, "_type": "Sequence"}
    assert isinstance(described["attempts"], list)
    assert '"List"' not in json.dumps(described)
    assert with_features(LAKE_SCHEMA).equals(LAKE_SCHEMA, check_metadata=True)


def snippets(root):
    return re.findall(r"```python\n(.*?)```", (root / "docs" / "lake.md").read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("number", "prints"), [(0, r"t\s+1\.0"), (1, r"made\s+│\s+6\s+│\s+0"), (2, r"\(84, 112\) <think>")]
)
def test_the_snippets_of_the_docs_run(run, root, tmp_path, number, prints):
    found = snippets(root)
    assert len(found) == 3
    env = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", found[number]], cwd=run.parents[1], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert re.search(prints, done.stdout), done.stdout
