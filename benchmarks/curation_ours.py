"""One step of our curation of texts over a Parquet file, in one process on one core; benchmarks/curation.py starts it.

    python benchmarks/curation_ours.py STEP QUESTIONS EVALUATION OUTPUT

STEP is ``decontaminate`` (16 words), ``deduplicate`` (exact and near), or ``both``, as a stage does it: texts are put
in their normal form once for both. The numbers of removed rows go to OUTPUT as an array for each way, with the seconds.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bare_package import ROOT  # noqa: F401  (makes the project importable)

from octomed_jax.curation.exact import exact_keys, first_of_each
from octomed_jax.curation.guards import all_guards, number_guard, text_guard
from octomed_jax.curation.minhash import BANDS, band_keys
from octomed_jax.curation.near_duplicates import near_duplicates
from octomed_jax.curation.ngrams import NGRAM_WORDS, build_index
from octomed_jax.curation.question_texts import QuestionTexts, question_texts

COLUMNS = ["question", "options", "answer"]
ROWS = 2000  # at a time: what is made of them is some 30 MB


def batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    return file.iter_batches(ROWS, columns=COLUMNS, use_threads=False)


def texts_of(table: pa.Table | pa.RecordBatch) -> QuestionTexts:
    return question_texts(table["question"], table["options"])


def run(step: str, source: Path, evaluation: Path, output: Path) -> dict[str, np.ndarray]:
    """Do a step; return the rows that it removes, and its seconds."""
    begin = time.perf_counter()
    index = None
    if step != "deduplicate":
        index = build_index(map(texts_of, batches(pq.ParquetFile(evaluation))), NGRAM_WORDS[-1])
    file = pq.ParquetFile(source)
    ends = np.cumsum([0, *(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))])
    bands = exact = None
    if step != "decontaminate":
        path = output.with_suffix(".bands")
        bands = np.memmap(path, np.uint64, "w+", shape=(BANDS, ends[-1]))
        exact = np.empty((ends[-1], 2), dtype=np.uint64)
    overlaps: list[int] = []
    start = 0
    for batch in batches(file):
        texts, end = texts_of(batch), start + len(batch)
        if index:
            overlaps += [overlap.question + start for overlap in index.find(texts)]
        if bands is not None and exact is not None:
            guard = all_guards(text_guard(batch["answer"]), number_guard(texts))
            exact[start:end] = exact_keys(texts, guard)
            bands[:, start:end] = band_keys(texts, guard)
        start = end
    features = time.perf_counter()
    found = {"overlaps": np.array(overlaps, dtype=np.int64)}
    if bands is not None and exact is not None:
        rows = np.arange(ends[-1])
        found["exact"] = np.flatnonzero(first_of_each(exact) != rows)
        del exact

        def read(places: np.ndarray) -> QuestionTexts:
            pieces = []
            edges = np.searchsorted(places, ends)
            for group in np.flatnonzero(np.diff(edges)).tolist():
                table = file.read_row_group(group, COLUMNS[:2], use_threads=False)
                pieces.append(table.take(places[edges[group] : edges[group + 1]] - ends[group]))
            return texts_of(pa.concat_tables(pieces))

        near = near_duplicates(int(ends[-1]), bands.__getitem__, read)
        found["near"] = np.flatnonzero(near.first != rows)
        found["compared"] = np.array(near.compared)
        path.unlink()
    end = time.perf_counter()
    return found | {"seconds": np.array([features - begin, end - features])}


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    step, *paths = sys.argv[1:]
    source, evaluation, output = map(Path, paths)
    np.savez(output, **run(step, source, evaluation, output))
    print(Path("/proc/self/status").read_text())  # with the peak of its memory


if __name__ == "__main__":
    main()
