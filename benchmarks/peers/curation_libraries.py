"""What libraries make of one task of curation, one process on one core; runs in an environment of its own.

    python curation_libraries.py LIBRARY TASK INPUT EVALUATION OUTPUT

Words are those between spaces of a text in lower case, without accents, and with spaces for all that is no letter or
digit: done by the library where it can. Seconds of the processor are printed, from reading to the result, and the peak
of memory; what is found goes to OUTPUT as an array.
"""

import json
import os
import re
import sys
import time
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.environ["POLARS_MAX_THREADS"] = "1"

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

NGRAM, SHINGLE, BANDS, ROWS, ROWS_AT_ONCE = 16, 5, 24, 6, 5000


def words_of(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"[^\W_]+", "".join(letter for letter in plain if not unicodedata.combining(letter)))


def datasketch_near(
    source: Path,
    _: Path,
    cut: Callable[[str], list[str]] = words_of,
    hashfunc: Callable[[bytes], int] | None = None,
) -> np.ndarray:
    """MinHash and LSH with as many bands and rows as ours; candidates count as alike, as the library leaves them."""
    from datasketch import MinHash, MinHashLSH

    how = {"hashfunc": hashfunc} if hashfunc else {}
    table = pq.read_table(source, columns=["question", "options"])
    sketch = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    removed = []
    for row, (question, options) in enumerate(zip(*table.to_pydict().values(), strict=True)):
        shingles = set()
        for text in (question, *options):
            words = cut(text)
            length = min(SHINGLE, len(words))
            shingles |= {" ".join(words[at : at + length]).encode() for at in range(len(words) - length + 1)}
        one = MinHash(num_perm=BANDS * ROWS, **how)
        one.update_batch(list(shingles))
        if sketch.query(one):
            removed.append(row)
        else:
            sketch.insert(row, one)
    return np.array(removed)


def datasketch_near_bare(source: Path, evaluation: Path) -> np.ndarray:
    """The same with the cheapest words and the cheapest hash that there are."""
    return datasketch_near(source, evaluation, str.split, zlib.crc32)


def normal(column: Any) -> Any:
    """Return a column of polars in the normal form."""
    plain = column.str.normalize("NFKD").str.to_lowercase().str.replace_all(r"\p{M}", "")
    return plain.str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()


def polars_runs(frame: Any) -> Any:
    """Return the hash of each run of NGRAM words, with its row."""
    import polars as pl

    text = normal(pl.col("question") + " " + pl.col("options").list.join(" "))
    words = frame.select(pl.col("row"), text.str.split(" ").alias("word")).explode("word")
    words = words.with_columns(pl.col("word").hash())
    runs = pl.struct([pl.col("word").shift(-at).alias(str(at)) for at in range(NGRAM)]).hash()
    return words.select("row", runs.alias("run"), whole=pl.col("row").shift(1 - NGRAM) == pl.col("row")).filter("whole")


def polars_overlaps(source: Path, evaluation: Path) -> np.ndarray:
    import polars as pl

    held_out = polars_runs(pl.read_parquet(evaluation, columns=["question", "options"]).with_row_index("row"))
    index = held_out.select("run").unique()
    found = []
    file = pq.ParquetFile(source)
    first = 0
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=["question", "options"]):
        frame = pl.from_arrow(batch).with_row_index("row", offset=first)
        found.append(polars_runs(frame).join(index, on="run", how="semi")["row"].unique().to_numpy())
        first += len(batch)
    return np.concatenate(found)


DUCKDB_NORMAL = r"trim(regexp_replace(lower(strip_accents({})), '[^\p{{L}}\p{{N}}]+', ' ', 'g'))"


def duckdb_connection() -> Any:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    return connection


def duckdb_overlaps(source: Path, evaluation: Path) -> np.ndarray:
    text = DUCKDB_NORMAL.format("question || ' ' || array_to_string(options, ' ')")
    runs = f"""SELECT row, unnest([hash(words[i : i + {NGRAM - 1}]) for i in range(1, len(words) - {NGRAM - 2})]) AS run
        FROM (SELECT file_row_number AS row, string_split({text}, ' ') AS words
        FROM read_parquet('PATH', file_row_number = true))"""
    query = f"""WITH held_out AS (SELECT DISTINCT run FROM ({runs.replace("PATH", str(evaluation))}))
        SELECT DISTINCT row FROM ({runs.replace("PATH", str(source))}) SEMI JOIN held_out USING (run)"""
    return np.asarray(duckdb_connection().execute(query).fetchnumpy()["row"])


def polars_exact(source: Path, _: Path) -> np.ndarray:
    import polars as pl

    frame = pl.read_parquet(source, columns=["question", "options"]).with_row_index("row")
    options = pl.col("options").list.eval(normal(pl.element())).list.sort().list.join("|")
    frame = frame.select("row", normal(pl.col("question")).alias("question"), options)
    first = frame.select("row", first=pl.col("row").min().over("question", "options"))
    return first.filter(pl.col("row") != pl.col("first"))["row"].to_numpy()


def duckdb_exact(source: Path, _: Path) -> np.ndarray:
    query = f"""SELECT row FROM (SELECT row, min(row) OVER (PARTITION BY q, o) AS first FROM (
        SELECT file_row_number AS row, {DUCKDB_NORMAL.format("question")} AS q,
        list_sort([{DUCKDB_NORMAL.format("x")} FOR x IN options]) AS o
        FROM read_parquet('{source}', file_row_number = true))) WHERE row != first"""
    return np.asarray(duckdb_connection().execute(query).fetchnumpy()["row"])


def polars_groups(source: Path, _: Path) -> np.ndarray:
    """Return the first row of each row's group, by two columns of numbers."""
    import polars as pl

    frame = pl.read_parquet(source).with_row_index("row")
    return frame.select(pl.col("row").min().over("high", "low"))["row"].to_numpy()


def duckdb_groups(source: Path, _: Path) -> np.ndarray:
    query = f"""SELECT min(row) OVER (PARTITION BY high, low) AS first FROM (
        SELECT file_row_number AS row, * FROM read_parquet('{source}', file_row_number = true)) ORDER BY row"""
    return np.asarray(duckdb_connection().execute(query).fetchnumpy()["first"])


def rapidfuzz_pairs(source: Path, _: Path, scorer: str = "ratio") -> np.ndarray:
    """Return the likeness of each pair, 0 to 100."""
    from rapidfuzz import fuzz

    score = getattr(fuzz, scorer)
    pairs = [pq.read_table(source)[side].to_pylist() for side in ("one", "other")]
    return np.array([score(*map(" ".join, map(words_of, pair))) for pair in zip(*pairs, strict=True)])


def rapidfuzz_pairs_sorted(source: Path, evaluation: Path) -> np.ndarray:
    return rapidfuzz_pairs(source, evaluation, "token_sort_ratio")


def rapidfuzz_pairs_set(source: Path, evaluation: Path) -> np.ndarray:
    return rapidfuzz_pairs(source, evaluation, "token_set_ratio")


def imagehash_images(source: Path, _: Path) -> np.ndarray:
    import imagehash
    from PIL import Image

    return np.stack([imagehash.phash(Image.open(path)).hash.ravel() for path in sorted(source.iterdir())])


def main() -> None:
    library, task, source, evaluation, output = sys.argv[1:]
    work = globals()[f"{library}_{task}"]
    __import__(library)  # before the clock
    if library == "imagehash":
        __import__("scipy.fftpack")  # which it imports when it first hashes
    begin = time.process_time()
    found = work(Path(source), Path(evaluation))
    seconds = time.process_time() - begin
    np.save(output, found)
    print(Path("/proc/self/status").read_text())  # with the peak of its memory
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
