"""One step of our curation of texts over a Parquet file, as a library would be called; for curation_libraries.py.

STEP is ``decontaminate`` (16 words) or ``deduplicate`` (exact and near): what the stage does about words alone.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bare_package import ROOT  # noqa: F401  (makes the project importable)

from octomed_jax.curation.texts.exact import exact_keys, first_of_each
from octomed_jax.curation.texts.guards import all_guards, number_guard, text_guard
from octomed_jax.curation.texts.minhash import BANDS, band_keys
from octomed_jax.curation.texts.near_duplicates import near_duplicates
from octomed_jax.curation.texts.ngrams import NGRAM_WORDS, build_index
from octomed_jax.curation.texts.question_texts import QuestionTexts, question_texts

COLUMNS = ["question", "options", "answer"]
ROWS = 1000  # at a time: what is made of them is some 20 MB


def opened(path: Path) -> pq.ParquetFile:
    return pq.ParquetFile(path, pre_buffer=False)  # else it keeps some 300 bytes of each row that it has read


def batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    return file.iter_batches(ROWS, columns=COLUMNS, use_threads=False)


def texts_of(table: pa.Table | pa.RecordBatch) -> QuestionTexts:
    return question_texts(table["question"], table["options"])


def run(step: str, source: Path, evaluation: Path, output: Path) -> dict[str, np.ndarray]:
    """Do a step; return the rows that it removes."""
    file = opened(source)
    index = None
    if step == "decontaminate":
        index = build_index(map(texts_of, batches(opened(evaluation))), NGRAM_WORDS[-1])
    overlaps: list[int] = []
    exact: list[np.ndarray] = []
    row = 0
    with contextlib.ExitStack() as stack:
        bands = [stack.enter_context(path.open("wb")) for path in band_files(output)]
        for batch in batches(file):
            texts = texts_of(batch)
            if index:
                overlaps += [overlap.question + row for overlap in index.find(texts)]
            if step == "deduplicate":
                guard = all_guards(text_guard(batch["answer"]), number_guard(texts))
                exact.append(exact_keys(texts, guard))
                for band, keys in zip(bands, band_keys(texts, guard), strict=True):
                    band.write(keys.tobytes())
            row += len(batch)
    found = {"overlaps": np.array(overlaps, dtype=np.int64)}
    if exact:
        found["exact"] = np.flatnonzero(first_of_each(np.concatenate(exact)) != np.arange(row))
        exact.clear()
        near = near_duplicates(row, lambda band: np.fromfile(band_files(output)[band], np.uint64), reader(file))
        found["near"] = np.flatnonzero(near.first != np.arange(row))
    for path in band_files(output):
        path.unlink()
    return found


def band_files(output: Path) -> list[Path]:
    return [output.with_suffix(f".band-{band}") for band in range(BANDS)]


def reader(file: pq.ParquetFile) -> Callable[[np.ndarray], QuestionTexts]:
    """Return what reads the questions at some places again."""
    ends = np.cumsum([0, *(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))])

    def read(places: np.ndarray) -> QuestionTexts:
        pieces = []
        edges = np.searchsorted(places, ends)
        for group in np.flatnonzero(np.diff(edges)).tolist():
            table = file.read_row_group(group, COLUMNS[:2], use_threads=False)
            pieces.append(table.take(places[edges[group] : edges[group + 1]] - ends[group]))
        return texts_of(pa.concat_tables(pieces))

    return read
