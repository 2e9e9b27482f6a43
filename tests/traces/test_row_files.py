"""Files of rows of every kind give the same rows, and name what cannot be read by its line or row."""

import gzip
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.traces import json_stream, row_files
from octomed_jax.traces.json_stream import json_rows
from octomed_jax.traces.row_files import RowFile

ROWS = [{"a": "x", "b": 'Ä 漢, "q"'}, {"a": "y\nz", "b": "1"}, {"a": "", "b": "2"}]


def entries(path, columns=("a", "b")):
    return [
        (entry.number, entry.row if entry.row is not None else entry.problem)
        for entry in RowFile(path).entries(columns)
    ]


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_kind_gives_the_same_rows(tmp_path):
    write(tmp_path / "r.jsonl", "\n\n".join(map(json.dumps, ROWS)))
    write(tmp_path / "lines.json", "\n".join(map(json.dumps, ROWS)))
    write(tmp_path / "r.json", "\ufeff \n" + json.dumps(ROWS))
    write(tmp_path / "r.csv", '\ufeffa,b,\r\nx,"Ä 漢, ""q""",\r\n"y\nz",1,\r\n,2,\r\n')
    write(tmp_path / "r.tsv", 'a\tb\nx\t"Ä 漢, ""q"""\n"y\nz"\t1\n\n\t2\n')
    pq.write_table(pa.Table.from_pylist([row | {"c": 1} for row in ROWS]), tmp_path / "r.parquet", row_group_size=2)
    for name, numbers, counts in (
        ("r.jsonl", [1, 3, 5], "line"),
        ("lines.json", [1, 2, 3], "line"),
        ("r.json", [1, 2, 3], "row"),
        ("r.csv", [2, 3, 5], "line"),
        ("r.tsv", [2, 3, 6], "line"),
        ("r.parquet", [1, 2, 3], "row"),
    ):
        assert entries(tmp_path / name) == list(zip(numbers, ROWS, strict=True)), name
        file = RowFile(tmp_path / name)
        assert file.counts == counts
        assert list(file.entries(("a",)))[-1].position == file.total, name
    assert RowFile(tmp_path / "r.parquet").names == ("a", "b", "c")


def test_a_line_that_holds_no_row_is_named_and_the_next_one_is_read(tmp_path):
    path = write(tmp_path / "r.jsonl", b'{"a": 1}\n{\n[1]\n"\xff"\n' + b"[" * 100_000 + b'\n{"a": 2}')
    found = entries(path)
    assert (found[0], found[-1]) == ((1, {"a": 1}), (6, {"a": 2}))
    assert [number for number, _ in found] == [1, 2, 3, 4, 5, 6]
    assert found[1][1].startswith("is no JSON (")
    assert found[2][1] == "is no row but list"
    assert found[3][1].startswith("is no JSON (")
    assert found[4][1].startswith("is no JSON (")
    assert entries(write(tmp_path / "r.json", '[{"a": 1}, 3]')) == [(1, {"a": 1}), (2, "is no row but int")]
    found = entries(write(tmp_path / "r.csv", 'a,b\n1\n1,2\n"x"y,3\n4,5\n"open,6'))
    assert found[0] == (2, "has 1 cells, but 2 columns have names")
    assert (found[1], found[3]) == ((3, {"a": "1", "b": "2"}), (5, {"a": "4", "b": "5"}))
    assert [(number, text[:15]) for number, text in (found[2], found[4])] == [
        (4, "cannot be read "),
        (6, "cannot be read "),
    ]


def test_a_line_over_the_limit_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(row_files, "LINE_BYTES", 20)
    path = write(tmp_path / "r.jsonl", '{"a": 1}\n{"a": "' + "x" * 90 + '"}\n{"a": 2}\n{"a": "' + "x" * 11 + '"}')
    found = entries(path)
    assert found[:3] == [(1, {"a": 1}), (2, "is longer than 256 MiB"), (3, {"a": 2})]
    assert found[3] == (4, {"a": "x" * 11})  # 20 bytes, and no more


TEXT = st.text(st.characters(codec="utf-8"))
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e300, 1e300) | TEXT
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


@given(st.lists(TREES, max_size=5) | st.dictionaries(TEXT, TREES, max_size=5))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_read_as_the_standard_library_reads_it(tmp_path, tree):
    path = write(tmp_path / "tree.json", json.dumps(tree, ensure_ascii=False, indent=1))
    for piece in (1, 7, 2**20):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(json_stream, "PIECE", piece)
            found = [(key, value) for key, value, _ in json_rows(path)]
        assert found == ([("", value) for value in tree] if isinstance(tree, list) else list(tree.items()))


def test_what_only_the_standard_library_takes_is_taken(tmp_path):
    path = write(tmp_path / "r.json", '[{"a": NaN, "b": 1e999, "c": 123456789012345678901234567890, "d": "x\\ud800"}]')
    ((_, row, _),) = json_rows(path)
    assert (row["b"], row["c"], row["d"]) == (float("inf"), 123456789012345678901234567890, "x\ud800")


def test_a_json_list_is_read_a_row_at_a_time(tmp_path, monkeypatch):
    path = write(tmp_path / "r.json", json.dumps([{"a": index, "b": 0.5, "c": "ü漢"} for index in range(50_000)]))
    monkeypatch.setattr(json_stream, "PIECE", 4096)
    first = next(RowFile(path).entries(()))
    assert (first.row, first.number) == ({"a": 0, "b": 0.5, "c": "ü漢"}, 1)
    assert first.position < path.stat().st_size // 4
    found = entries(path)
    assert [row["a"] for _, row in found] == list(range(50_000))
    monkeypatch.setattr(json_stream, "ROW_BYTES", 200_000)  # a row may be so long, not all of them together
    assert entries(path) == found
    path = write(tmp_path / "large.json", json.dumps([{"a": 1}, {"a": "x" * 400_000}]))
    with pytest.raises(UserError, match=r"large\.json is JSON with a row of over 200000 bytes; write it as"):
        entries(path)
    for broken in ("[{", '[{"a": 1}', '[{"a": 1}{"a": 2}]', "[1] 2", '["\\x"]', "[1,]", "[tru]"):
        with pytest.raises(UserError, match=r"r\.json is no JSON \(.*\); mend it"):
            entries(write(tmp_path / "r.json", broken))


def test_a_text_that_is_no_utf_8_spoils_its_own_row_only(tmp_path):
    texts = pa.array([b"x", b"\xff\xfe", b"z"]).view(pa.string())
    pq.write_table(pa.table({"a": texts}), tmp_path / "r.parquet")
    assert entries(tmp_path / "r.parquet", ["a"]) == [
        (1, {"a": "x"}),
        (2, "holds a text that is no UTF-8"),
        (3, {"a": "z"}),
    ]
    with pytest.raises(UserError, match=r"r\.csv line 2 is no UTF-8; save the file as UTF-8"):
        entries(write(tmp_path / "r.csv", b"a,b\n\xff,1\n"))


def test_heavy_rows_are_read_fewer_at_once(tmp_path):
    table = pa.table({"a": [bytes([number]) * 2**20 for number in range(12)], "b": range(12)})
    pq.write_table(table, tmp_path / "r.parquet", row_group_size=12, use_dictionary=False, compression="none")
    group = pq.ParquetFile(tmp_path / "r.parquet").metadata.row_group(0)
    assert row_files._rows_at_once(group) == 63
    pq.write_table(table.select(["b"]), tmp_path / "b.parquet")
    assert row_files._rows_at_once(pq.ParquetFile(tmp_path / "b.parquet").metadata.row_group(0)) == row_files.BATCH
    assert [row["b"] for _, row in entries(tmp_path / "r.parquet")] == list(range(12))


def test_files_that_cannot_be_read_at_all(tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "two.parquet")
    for path, words in (
        (tmp_path / "no.jsonl", "no such file"),
        (tmp_path, "is none of .jsonl, .json, .parquet, .csv, .tsv"),
        (write(tmp_path / "r.parquet", "no"), "is no Parquet file"),
        (tmp_path / "two.parquet", "two columns of one name"),
        (write(tmp_path / "r.json", "[1,"), "is no JSON"),
        (write(tmp_path / "r.csv", "a,b,a\n1,2,3\n"), "two columns 'a'"),
        (write(tmp_path / "q.csv", '"a"x,b\n1,2\n'), "its first line names no columns"),
    ):
        with pytest.raises(UserError, match=words.replace(".", r"\.")):
            entries(path)


def test_a_damaged_parquet_file_is_named(tmp_path):
    table = pa.table({"a": [str(number) for number in range(5000)], "b": range(5000)})
    pq.write_table(table, tmp_path / "r.parquet", compression="zstd", use_dictionary=False)
    data = (tmp_path / "r.parquet").read_bytes()
    with pytest.raises(StopAndLook, match=r"r\.parquet is damaged"):
        entries(write(tmp_path / "r.parquet", data[:500] + bytes(400) + data[900:]))
    with pytest.raises(UserError, match=r"r\.parquet is no Parquet file"):
        entries(write(tmp_path / "r.parquet", data[:-200] + bytes(150) + data[-50:]))


def test_a_file_without_rows_has_none(tmp_path):
    for name, text in (("r.jsonl", ""), ("r.csv", ""), ("r.tsv", "a\tb\n"), ("r.json", "[]")):
        assert entries(write(tmp_path / name, text)) == []


def test_packed_files_give_the_same_rows(tmp_path):
    for name, text, numbers in (
        ("r.jsonl.gz", "\n\n".join(map(json.dumps, ROWS)), [1, 3, 5]),
        ("r.csv.gz", '\ufeffa,b\r\nx,"Ä 漢, ""q"""\r\n"y\nz",1\r\n,2\r\n', [2, 3, 5]),
        ("R.TSV.GZ", 'a\tb\nx\t"Ä 漢, ""q"""\n"y\nz"\t1\n\n\t2\n', [2, 3, 6]),
    ):
        path = write(tmp_path / name, gzip.compress(text.encode()))
        assert entries(path) == list(zip(numbers, ROWS, strict=True)), name
        file = RowFile(path)
        assert (file.counts, file.unit, file.total) == ("line", "bytes", path.stat().st_size)
        assert list(file.entries(()))[-1].position == file.total, name
    two = gzip.compress(b'{"a": 1}\n') + gzip.compress(b'{"a": 2}\n')  # members one after the other are one file
    assert entries(write(tmp_path / "two.jsonl.gz", two)) == [(1, {"a": 1}), (2, {"a": 2})]
    assert entries(write(tmp_path / "none.csv.gz", gzip.compress(b""))) == []


def test_a_packed_file_that_is_none_or_damaged_is_named(tmp_path):
    with pytest.raises(UserError, match=r"r\.csv\.gz is no gzip file"):
        entries(write(tmp_path / "r.csv.gz", "a,b\n1,2\n"))
    with pytest.raises(UserError, match=r"r\.csv\.gz is no gzip file"):
        entries(write(tmp_path / "r.csv.gz", ""))
    for name in ("r.json.gz", "r.parquet.gz", "r.gz", "r.txt.gz"):
        with pytest.raises(UserError, match=r"its ending tells what it holds"):
            entries(write(tmp_path / name, gzip.compress(b"[]")))
    whole = gzip.compress(("a,b\n" + "".join(f"{one},{one * 7919 % 10007}\n" for one in range(9000))).encode())
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 0xFF
    for data in (whole[: len(whole) // 2], bytes(spoilt), whole[:-8] + bytes(8), whole + b"rest"):
        with pytest.raises(StopAndLook, match=r"r\.csv\.gz is damaged \(.*\); get it again"):
            entries(write(tmp_path / "r.csv.gz", data))


def test_what_a_small_packed_file_unpacks_to_never_lies_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(row_files, "LINE_BYTES", 2**18)
    size = 16 * 2**20
    bomb = gzip.compress(b"a,b\n1,2\n" + b"x" * size + b"\n3,4\n", 1)
    quoted = gzip.compress(b'a,b\n1,"' + b"\n" * size + b'"\n', 1)  # a row of many lines
    cells = gzip.compress(b"a,b\n" + b'"\n",' * (size // 4), 1)
    lines = gzip.compress(b'{"a": 1}\n' + b" " * size + b'\n{"a": 2}\n', 1)
    assert max(map(len, (bomb, quoted, cells, lines))) < size // 20
    tracemalloc.start()
    try:
        assert entries(write(tmp_path / "r.jsonl.gz", lines)) == [
            (1, {"a": 1}),
            (2, "is longer than 256 MiB"),
            (3, {"a": 2}),
        ]
        for data in (bomb, quoted, cells):
            with pytest.raises(UserError, match=r"r\.csv\.gz line \d+ belongs to a row of over 262144 bytes"):
                entries(write(tmp_path / "r.csv.gz", data))
        assert tracemalloc.get_traced_memory()[1] < size // 2
    finally:
        tracemalloc.stop()
