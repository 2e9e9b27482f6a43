"""datatrove's n-gram decontamination or MinHash, one process on one core; runs in an environment of its own.

    python curation_datatrove.py STEP WORDS QUESTIONS EVALUATION OUTPUT

STEP is ``decontaminate`` or ``deduplicate``. WORDS is ``spacy``, the tokenizer that it takes for English by itself,
or ``split``: words between spaces, the fastest that there can be. QUESTIONS and EVALUATION are folders of Parquet with
text and id. The index is made of its own indexer's hashes; only the reading of lighteval's tasks around them is left
out. What is removed goes to OUTPUT as JSON lines.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import JsonlWriter

NGRAM_WORDS = 16


class Split:
    """In place of a tokenizer."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()


def reader(folder: Path) -> ParquetReader:
    return ParquetReader(str(folder), text_key="text", id_key="id", read_metadata=False)


def execute(output: Path, name: str, steps: list, tasks: int = 1) -> None:
    LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir=str(output / "logs" / name)).run()


def removed(output: Path) -> JsonlWriter:
    return JsonlWriter(str(output / "removed"), compression=None)


def decontaminate(words: str, questions: Path, evaluation: Path, output: Path) -> None:
    config = NGramsDecontConfig(n_grams=NGRAM_WORDS)
    check = NGramsDecontFilter(str(output / "index"), config, removed(output))
    if words == "split":
        check.tokenizer = Split()
    indexer = object.__new__(NGramsDecontIndexer)  # not made the usual way, which asks for lighteval
    indexer.config, indexer.tokenizer, indexer.hash_func = config, check.tokenizer, check.hash_func
    hashes = set()
    for path in sorted(evaluation.glob("*.parquet")):
        for text in pq.read_table(path, columns=["text"])["text"].to_pylist():
            hashes.update(indexer.compute_hashes(text))
    (output / "index").mkdir()
    np.array(list(hashes), dtype=config.hash_config.np_descr).tofile(output / "index" / "evaluation.index.hashes")
    execute(output, "check", [reader(questions), check])


def deduplicate(words: str, questions: Path, _: Path, output: Path) -> None:
    config = MinhashConfig()
    names = [str(output / name) for name in ("signatures", "buckets", "clusters")]
    sign = MinhashDedupSignature(names[0], config)
    if words == "split":
        sign.word_tokenizer = Split()
    execute(output, "sign", [reader(questions), sign])
    buckets = MinhashDedupBuckets(names[0], names[1], config=config)
    execute(output, "buckets", [buckets], tasks=config.num_buckets)
    execute(output, "clusters", [MinhashDedupCluster(names[1], names[2], config=config)])
    execute(output, "filter", [reader(questions), MinhashDedupFilter(names[2], exclusion_writer=removed(output))])


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    step, words, *paths = sys.argv[1:]
    questions, evaluation, output = map(Path, paths)
    output.mkdir(parents=True)
    {"decontaminate": decontaminate, "deduplicate": deduplicate}[step](words, questions, evaluation, output)
    print(Path("/proc/self/status").read_text())  # with the peak of its memory


if __name__ == "__main__":
    main()
