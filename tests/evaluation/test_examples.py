import base64
import io
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from etils import epath
from PIL import Image
from report_run import picture

from octomed_jax.evaluation.examples import LARGEST_SIDE, data_url, student_examples, teacher_examples
from octomed_jax.schema import ATTEMPT_SCHEMA


def decoded(url):
    head, _, body = url.partition(";base64,")
    assert head in ("data:image/png", "data:image/jpeg")
    return base64.b64decode(body)


def test_a_small_image_is_embedded_as_it_is():
    data = picture(1)
    assert decoded(data_url(data)) == data


def test_a_large_image_is_made_smaller():
    url = data_url(picture(1, side=1400))
    assert max(Image.open(io.BytesIO(decoded(url))).size) == LARGEST_SIDE


@pytest.mark.parametrize("data", [b"", b"<svg onload=alert(1)>", b"GIF89a....", picture(1)[:200], b"\x89PNG\r\n\x1a\n"])
def test_what_cannot_be_shown_is_left_out(data):
    assert data_url(data) == ""


def test_student_examples_are_right_and_wrong_of_different_benchmarks(finished_run):
    from report_run import BENCHMARKS

    items = student_examples(finished_run, BENCHMARKS)
    verdicts = [item["verdict"] == "correct" for item in items]
    assert verdicts == [True] * 4 + [False] * 4
    assert len({item["benchmark"] for item in items[:4]}) == 4
    assert any(item["images"] for item in items[:4])
    assert any(not item["images"] for item in items[:4])
    assert items == student_examples(finished_run, BENCHMARKS)


def test_teacher_examples_show_an_accepted_attempt_and_rejected_ones(finished_run):
    assert [item["verdict"] for item in teacher_examples(finished_run)] == ["correct", "wrong", "unparsed", "truncated"]


def test_a_thought_is_shown_once(finished_run, tmp_path):
    """The response holds the thought, as the column ``reasoning`` does once more."""
    run = shutil.copytree(finished_run, tmp_path / "demo")
    path = run / "attempts" / "attempts" / "part-00000.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        row["reasoning"] = "Stroke +2."
        row["response"] = "<think>Stroke +2.</think>\n\n\\boxed{2}"
    pq.write_table(pa.Table.from_pylist(rows, ATTEMPT_SCHEMA), path)
    for item in teacher_examples(epath.Path(run)):
        assert (item["thinking"], item["final"]) == ("Stroke +2.", "\\boxed{2}")
