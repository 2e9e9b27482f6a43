"""``octomed questions show``: which questions are shown, what of them, and that nothing in them is read as HTML."""

import base64
import io
import json
import re
from collections import Counter

import pytest
from PIL import Image
from questions_folder import BENCHMARKS, make_questions, picture, questions

from octomed_jax.cli.main import main
from octomed_jax.evaluation import questions_page
from octomed_jax.evaluation.questions_page import Choice, small_copy, write_questions_page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_questions(tmp_path_factory.mktemp("page") / "several")


def show(folder, tmp_path, *more):
    page = tmp_path / "page.html"
    assert main(["questions", "show", str(folder), f"--output={page}", *more]) == 0
    return page.read_text()


def ids(page):
    return re.findall(r"<h3>([^<]+)</h3>", page)


def images(page):
    found = re.findall(r'<img src="data:image/(?:png|jpeg);base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def refused(capsys, *words):
    assert main(["questions", "show", *map(str, words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("octomed: ")


def test_the_last_line_says_where_it_is_and_what_is_left_out(folder, capsys):
    assert main(["questions", "show", str(folder)]) == 0
    printed = capsys.readouterr()
    assert printed.out == (
        f"40 of 48 questions are in {folder}/questions.html; "
        "8 credentialed ones are left out, --credentialed shows them\n"
    )
    first = (folder / "questions.html").read_bytes()
    assert main(["questions", "show", str(folder), "--json", "--credentialed"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table == {
        "page": f"{folder}/questions.html",
        "shown": 48,
        "questions": 48,
        "credentialed_left_out": 0,
        "benchmarks": dict.fromkeys(sorted(BENCHMARKS), 8),
    }
    assert main(["questions", "show", str(folder)]) == 0
    assert (folder / "questions.html").read_bytes() == first


def test_few_are_spread_over_benchmarks_and_do_not_depend_on_others(folder, tmp_path):
    page = show(folder, tmp_path, "--count=11")
    assert sorted(Counter(name.split(":")[0] for name in ids(page)).values()) == [2, 2, 2, 2, 3]
    assert ids(page) == sorted(ids(page), key=lambda name: name.split(":")[0])
    assert set(ids(show(folder, tmp_path, "--count=5"))) < set(ids(page)) < set(ids(show(folder, tmp_path)))
    fewer = make_questions(tmp_path / "fewer", [one for one in questions() if one.benchmark != "slides"])
    assert set(ids(show(fewer, tmp_path, "--count=4"))) <= set(ids(page))


def test_credentialed_questions_are_shown_only_where_asked_for(folder, tmp_path):
    page = show(folder, tmp_path)
    assert "wards" not in page
    assert "gout" not in page
    assert "<strong>8 questions are left out</strong> because they are credentialed" in page
    page = show(folder, tmp_path, "--credentialed")
    assert {name for name in ids(page) if name.startswith("wards")} == {f"wards:{number:03d}" for number in range(8)}
    assert "8 of these questions are credentialed." in page
    assert "left out" not in page
    assert "podagra" in page


def test_a_split_and_a_single_question(folder, tmp_path):
    page = show(folder, tmp_path, "--split=test")
    assert {name.split(":")[1] for name in ids(page)} == {"003", "007"}
    assert "to learn from (train)" not in page
    page = show(folder, tmp_path, "--id=slides:002")
    assert ids(page) == ["slides:002"]
    assert len(images(page)) == 3


def test_what_is_shown_of_a_question(folder, tmp_path):
    page = show(folder, tmp_path, "--id=exam:001")
    assert [re.sub(r"<[^>]+>", "", option) for option in re.findall(r"<li.*?</li>", page)] == [
        "A. Atrophy", "B. Fibrosis ✓ gold", "C. Necrosis"
    ]  # fmt: skip
    for words in ("CC-BY-4.0 &lt;b&gt;", "abdomen", "<dd>CT</dd>", "<dd>open</dd>", "<dd>mcq</dd>", "<dd>several</dd>"):
        assert words in page
    page = show(folder, tmp_path, "--id=findings:001")
    assert page.count("✓ gold") == 2
    assert 'class="gold">effusion' in page
    assert 'class="gold">mass' in page
    page = show(folder, tmp_path, "--id=scores:001")
    assert '<p class="gold-answer">4.5 ' in page
    assert "<dd>from 4.0 to 5.25</dd>" in page
    page = show(folder, tmp_path, "--id=with:001")
    assert len(images(page)) == questions_page.MOST_IMAGES
    assert "(and 3 more images)" in page


def test_nothing_in_a_question_is_read_as_html(folder, tmp_path):
    page = show(folder, tmp_path)
    assert "<script" not in page
    assert "<img src=x" not in page
    assert page.count("&lt;script&gt;") == 80
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_a_page_of_large_images_stays_small(tmp_path, monkeypatch):
    assert questions_page.IMAGE_BYTES * 4 / 3 < 9.5e6
    monkeypatch.setattr(questions_page, "IMAGE_BYTES", 500_000)
    given = [one for one in questions(2, size=(400, 300)) if one.images]
    page = show(make_questions(tmp_path / "large", given), tmp_path, "--credentialed")
    assert len(images(page)) == 2 * (1 + 3 + 1 + 6)
    assert len(page) < 700_000
    assert {max(image.size) for image in images(page)} <= {160, 256}
    single = show(tmp_path / "large", tmp_path, "--id=findings:001")
    assert [image.size for image in images(single)] == [(400, 300)]


@pytest.mark.parametrize(
    ("data", "size", "kind"),
    [
        (picture(1, (300, 200)), (300, 200), "PNG"),
        (picture(1, (300, 200), "JPEG"), (300, 200), "JPEG"),
        (picture(1, (2000, 500)), (768, 192), "JPEG"),
        (picture(1, (28, 28)), (168, 168), "PNG"),
    ],
)
def test_copies_have_a_sensible_size(data, size, kind):
    (image,) = images(f'<img src="{small_copy(data, 200_000)}"')
    assert (image.size, image.format) == (size, kind)


@pytest.mark.parametrize("data", [b"", b"<svg onload=alert(1)>", picture(1, (30, 30))[:200], picture(1, (9, 9), "GIF")])
def test_what_is_no_image_is_not_embedded(data):
    assert small_copy(data, 10**6) == ""


def test_long_texts_are_cut(tmp_path):
    long = [one for one in questions(1) if one.benchmark == "exam"]
    long = [type(one)(**{**vars(one), "question": "word " * 2000}) for one in long]
    page = show(make_questions(tmp_path / "long", long), tmp_path)
    assert "(cut here; 10,000 characters in all)" in page
    assert page.count("word") < 1000


def test_mistakes_are_one_line_and_write_nothing(folder, tmp_path, capsys):
    page = tmp_path / "page.html"
    out = f"--output={page}"
    wanted = [
        (["/nothing/there", out], "make it first with `octomed questions build"),
        ([folder, out, "--id=exam:0001"], "has no question 'exam:0001' (did you mean 'exam:001'?)"),
        ([folder, out, "--id=wards:001"], "question 'wards:001' is credentialed; --credentialed shows it"),
        ([folder, out, "--id=exam:001", "--split=test"], "(split test) has no question 'exam:001'"),
        ([folder, out, "--count=0"], "--count=0 shows no question"),
        ([folder, out, "--splt=test"], "did you mean '--split'"),
        ([folder, f"--output={folder}/questions.parquet"], "is no name of a page; end it with .html"),
        ([folder, out, "--config.seed=1"], "overrides a config"),
    ]
    for words, said in wanted:
        assert said in refused(capsys, *words)
    closed = make_questions(tmp_path / "closed", [one for one in questions() if one.access != "open"])
    assert "all 8 questions of" in refused(capsys, closed, out)
    assert "holds no questions" in refused(capsys, make_questions(tmp_path / "empty", []), out)
    assert not page.exists()


def test_a_damaged_folder_is_said_to_be_so(tmp_path, capsys):
    folder = make_questions(tmp_path / "damaged")
    (folder / "heldout.parquet").write_bytes(b"PAR1")
    assert main(["questions", "show", str(folder)]) == 43
    assert "heldout.parquet is missing or damaged" in capsys.readouterr().err
    assert not (folder / "questions.html").exists()


def test_memory_holds_a_few_of_each_benchmark_only(folder, monkeypatch):
    pushed = []
    push = questions_page.heapq.heappush
    monkeypatch.setattr(questions_page.heapq, "heappush", lambda heap, item: pushed.append(item) or push(heap, item))
    path, counts = write_questions_page(folder, folder.parent / "few.html", Choice(count=1))
    assert counts["shown"] == 1
    assert len(pushed) == 5  # one a benchmark; all others push one out
    assert path.exists()
