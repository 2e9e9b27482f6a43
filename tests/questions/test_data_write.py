"""``octomed data write``: what is written in OctoMed's schema reads back as the same questions and responses."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from adapter_helpers import TURNING, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from octomed_jax import manifests, storage
from octomed_jax.cli.main import main
from octomed_jax.errors import StopAndLook
from octomed_jax.prompts import LETTERS
from octomed_jax.questions.reading.request import Request
from octomed_jax.questions.sources.octomed import OWN
from octomed_jax.schema import Question, Record, with_option_order
from octomed_jax.teacher.imported import import_attempts
from octomed_jax.traces import grouped, lake, publish
from octomed_jax.traces.grouped import write_lake
from octomed_jax.traces.publish import write_data
from octomed_jax.verification.check import check_response
from octomed_jax.verification.text import plain_name
from octomed_jax.verification.verify import verify
from tests.traces.corpus import iterate_records, row_of

PICTURES = [picture(seed) for seed in range(4)] + [picture(4, "JPEG")]


def ask(number, split="train", images=(), **fields):
    """Return a question as a finished folder holds it."""
    asked = {"task": "mcq", "options": ("axial", "coronal", "sagittal"), "answer": "coronal", "licence": "CC-BY-4.0"}
    return Question(
        id=f"made:{split}:{number:03d}",
        **{"source": "made", "benchmark": "plane", "cluster": f"{split}-{number}", "question": f"Plane {number}?"}
        | asked
        | fields,
        split=split,
        images=tuple(images),
        image_hashes=tuple(map(storage.sha256_bytes, images)),
    )


def write_traces(folder, records, **manifest):
    write_lake(folder, map(row_of, sorted(records, key=lambda record: record.question.id)))
    teachers = [{"model": "gpt-4o", "terms": "", "programmatic": False}]
    files = manifests.hash_files(folder)
    fields = {"stage": "verify", "config": {}, "extra": {"teachers": teachers}, "files": files} | manifest
    manifests.write_manifest(folder, manifests.Manifest(**fields))
    return folder


def write_questions(folder, train=(), test=()):
    lake.write_questions(folder / "questions.parquet", train)
    lake.write_questions(folder / "heldout.parquet", test)
    manifests.write_manifest(folder, manifests.Manifest(stage="questions", config={}))
    return folder


def read_back(data, run):
    """Return the rows of the traces that come of a written set."""
    import_attempts(Request(OWN, data), run / "questions", run / "attempts", "gpt-4o")
    verify(run / "attempts", run / "traces")
    return list(iterate_records(run / "traces"))


def data_write(*words):
    return main(["data", "write", *map(str, words)])


def rows_in(path):
    return pq.read_table(path).to_pylist()


# Texts that look like letters, like other options, or like nothing a table should hold.
tricky = st.sampled_from(
    ["A: left", "B. right", "(C) both", "yes", "no", "x", "A", "b", "1.5", " padded", "ü 漢", '["a"]']
)
letter = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters=TURNING)
words = st.text(letter, min_size=1, max_size=12)
options = st.lists(tricky | words, min_size=2, max_size=5, unique_by=plain_name).filter(
    lambda texts: all(map(plain_name, texts))
)


@st.composite
def records(draw, number):
    """Return a question with responses that the verifier accepts, in one or more orders of its options."""
    task = draw(st.sampled_from(["mcq", "mcq", "classification", "numeric", "yes_no", "short_answer"]))
    images = draw(st.lists(st.sampled_from(PICTURES), max_size=2, unique=True))
    fields = {"task": task, "options": (), "question": f"{draw(words)} {number}?"}
    if task in ("mcq", "classification"):
        fields["options"] = tuple(draw(options))
        fields["answer"] = draw(st.sampled_from(fields["options"]))
    elif task == "numeric":
        middle = draw(st.integers(-50, 50))
        limits = draw(st.booleans()) and {"lower_limit": middle - 0.5, "upper_limit": middle + 0.5}
        fields |= {"answer": str(middle), **(limits or {})}
    elif task == "yes_no":
        fields |= {
            "answer": draw(st.sampled_from(["yes", "no"])),
            "options": draw(st.sampled_from([(), ("yes", "no")])),
        }
    else:
        fields |= {"answer": "aortic stenosis", "aliases": ("AS", "stenosis of the aortic valve")}
    question = ask(number, images=images, access=draw(st.sampled_from(["open", "credentialed"])), **fields)
    orders = [()]
    if task == "mcq":
        seeds = draw(st.lists(st.integers(0, 9), max_size=3))
        orders += [tuple(map(int, np.random.default_rng(seed).permutation(len(question.options)))) for seed in seeds]
        orders = [order for order in orders if order != tuple(range(len(order)))] or [()]
    kept = []
    for place, order in enumerate(orders):
        shown = with_option_order(question, order)
        gold = LETTERS[shown.options.index(shown.answer)] if task == "mcq" else shown.answer
        texts = [f"<think>{draw(words).strip()} {place}</think>\n\n\\boxed{{{gold}}}", f"The answer is {gold}."]
        kept += [(text, order) for text in texts if check_response(shown, text, "stop").verdict == "correct"]
    used = tuple(order for _, order in kept)
    return Record(question, tuple(text for text, _ in kept), used if any(used) else ())


def by_order(record):
    """Return a question and its responses by the order of its options, since those of one order come together."""
    orders = record.option_orders or ((),) * len(record.responses)
    return record.question, sorted(zip(orders, record.responses, strict=True), key=lambda pair: pair[0])


@settings(max_examples=16, deadline=None)  # of a folder with several questions each: folders take the time
@given(st.data())
def test_what_is_written_reads_back_the_same(data):
    made = [data.draw(records(number)) for number in range(data.draw(st.integers(1, 12)))]
    made = [record for record in made if record.responses]
    if not made:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        traces = write_traces(folder / "traces", made)
        write_data(folder / "data", traces, credentialed=True)
        found = read_back(folder / "data", folder / "back")
        expected = list(iterate_records(traces))
        assert list(map(by_order, found)) == list(map(by_order, expected))


def test_a_missing_part_of_the_lake_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(grouped, "PART_BYTES", 1)
    traces = write_traces(tmp_path / "traces", [Record(ask(number), ("\\boxed{B}",)) for number in range(3)])
    (traces / "lake" / "part-00002.parquet").unlink()
    with pytest.raises(StopAndLook, match=r"part-00002.parquet is missing"):
        write_data(tmp_path / "data", traces)
    assert not (tmp_path / "data").exists()


def test_a_published_set(tmp_path, capsys):
    """Columns as OctoMed publishes them, ours behind them, and the letters of each row are of that row."""
    train = [ask(0, images=PICTURES[:1]), ask(1)]
    texts = ("<think>a</think>\n\n\\boxed{A}", "<think>b</think>\n\n\\boxed{B}", "<think>c</think>\n\n\\boxed{A}")
    made = [Record(train[0], texts, ((1, 0, 2), (), (1, 2, 0))), Record(train[1], texts[1:2])]
    traces = write_traces(tmp_path / "traces", made)
    questions = write_questions(tmp_path / "questions", train, [ask(7, "test", images=PICTURES[4:])])
    place = tmp_path / "data"
    assert data_write(f"--traces={traces}", f"--questions={questions}", f"--output={place}") == 0
    assert capsys.readouterr().out == (
        "4 rows of the split train and 1 rows of the split test, with 4 responses, "
        f"lie in {place} (see README.md there)\n"
    )
    names = ["data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"]
    manifest = manifests.read_manifest(place, "data")
    assert sorted(manifest.files) == ["README.md", *names]
    assert manifest.files == manifests.hash_files(place)
    rows = rows_in(place / names[1])
    assert list(rows[0])[:6] == ["image", "image_hash", "question", "options", "answer", "responses"]
    assert [(row["options"], row["answer"], row["responses"], row["option_order"]) for row in rows] == [
        (["A: coronal", "B: axial", "C: sagittal"], "A: coronal", [texts[0]], [1, 0, 2]),
        (["A: axial", "B: coronal", "C: sagittal"], "B: coronal", [texts[1]], [0, 1, 2]),
        (["A: coronal", "B: sagittal", "C: axial"], "A: coronal", [texts[2]], [1, 2, 0]),
        (["A: axial", "B: coronal", "C: sagittal"], "B: coronal", [texts[1]], []),
    ]
    digest = storage.sha256_bytes(PICTURES[0])
    assert (rows[0]["image"], rows[0]["image_hash"]) == ({"bytes": PICTURES[0], "path": f"{digest}.png"}, digest)
    assert (rows[3]["image"], rows[3]["image_hash"]) == (None, None)
    (held_out,) = rows_in(place / names[0])
    assert (held_out["split"], held_out["responses"]) == ("test", [])
    assert held_out["image"]["path"].endswith(".jpg")
    found = read_back(place, tmp_path / "back")
    counts = manifests.read_manifest(tmp_path / "back" / "questions", "questions").counts
    assert (counts["rows"], counts["train"], counts["test"], counts["twice"]) == (5, 2, 1, 0)
    assert found == list(iterate_records(traces))
    for name in ("questions.parquet", "heldout.parquet"):
        back = list(lake.iterate_rows(tmp_path / "back" / "questions" / name))
        assert back == list(lake.iterate_rows(questions / name))


def test_what_the_datasets_library_reads(tmp_path):
    """As datasets 3.6 and 5.2 were seen to read it: lists are Sequence, which both know."""
    for several, shown in ((False, {"_type": "Image"}), (True, {"feature": {"_type": "Image"}, "_type": "Sequence"})):
        images = PICTURES[:2] if several else PICTURES[:1]
        folder = tmp_path / str(several)
        questions = write_questions(folder / "questions", [ask(0, images=images)])
        write_data(folder / "data", questions=questions)
        schema = pq.read_schema(folder / "data" / "data" / "train-00000-of-00001.parquet")
        described = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        assert list(described) == schema.names
        assert described["image"] == shown
        assert described["options"] == {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"}
        assert described["lower_limit"] == {"dtype": "float64", "_type": "Value"}
        (row,) = rows_in(folder / "data" / "data" / "train-00000-of-00001.parquet")
        held = row["image"] if several else [row["image"]]
        assert [one["bytes"] for one in held] == images


def front_matter(folder):
    text = (folder / "README.md").read_text()
    return yaml.safe_load(text.split("---\n")[1]), text


def test_the_card(tmp_path):
    train = [ask(0), ask(1, licence="Odd | licence"), ask(2, source="medqa")]
    traces = write_traces(tmp_path / "traces", [Record(one, ("\\boxed{B}",)) for one in train])
    questions = write_questions(tmp_path / "questions", train, [ask(3, "test")])
    write_data(tmp_path / "data", traces, questions)
    head, text = front_matter(tmp_path / "data")
    assert (head["license"], head["license_name"]) == (["cc-by-4.0", "other"], "see-card")
    assert head["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": name, "path": f"data/{name}-*"} for name in ("train", "test")],
        }
    ]
    assert [(one["name"], one["num_examples"]) for one in head["dataset_info"]["splits"]] == [("train", 3), ("test", 1)]
    assert {one["name"] for one in head["dataset_info"]["features"]} >= {"image", "responses", "option_order"}
    assert "| made | 2 | 1 | 2 | CC-BY-4.0 (2), Odd licence (1) | open |" in text
    assert "Jin et al. 2021" in text  # who made medqa
    assert "- gpt-4o; terms: not stated" in text
    assert "Access class: open." in text
    write_data(tmp_path / "plain", questions=questions)
    _, text = front_matter(tmp_path / "plain")
    assert "# Medical questions\n" in text
    assert "accepted" not in text
    assert "Who wrote" not in text


def test_credentialed_rows_are_refused_unless_it_is_said(tmp_path, capsys):
    made = [Record(ask(0), ("\\boxed{B}",)), Record(ask(1, source="wards", access="credentialed"), ("\\boxed{B}",))]
    traces = write_traces(tmp_path / "traces", made)
    place = tmp_path / "data"
    assert data_write(f"--traces={traces}", f"--output={place}") == 2
    assert "question made:train:001 in " in capsys.readouterr().err
    assert not place.exists()
    assert data_write(f"--traces={traces}", f"--output={place}", "--credentialed") == 0
    assert manifests.read_manifest(place, "data").access == "credentialed"
    head, text = front_matter(place)
    assert "credentialed" in head["tags"]
    assert "**Access class: credentialed.** Rows of wards are bound by a data use agreement." in text
    assert [row["access"] for row in rows_in(place / "data" / "train-00000-of-00001.parquet")] == [
        "open",
        "credentialed",
    ]


def test_what_allows_no_derivatives_is_refused_unless_the_set_stays_where_it_is(tmp_path, capsys):
    made = [Record(ask(0), ("\\boxed{B}",)), Record(ask(1, source="atlas", licence="CC BY-NC-ND 4.0"), ("\\boxed{B}",))]
    traces = write_traces(tmp_path / "traces", made)
    place = tmp_path / "data"
    assert data_write(f"--traces={traces}", f"--output={place}") == 2
    line = "is of atlas under CC BY-NC-ND 4.0, which allows no derivatives; give --not-for-release"
    assert line in capsys.readouterr().err
    assert not place.exists()
    assert data_write(f"--traces={traces}", f"--output={place}", "--not-for-release") == 0
    head, text = front_matter(place)
    assert "not-for-release" in head["tags"]
    assert "**Not for release.**" in text
    assert "- No derivatives: CC BY-NC-ND 4.0 (atlas). Nothing that is made of them may be passed on." in text
    assert manifests.read_manifest(place, "data").config["not_for_release"] is True


def test_the_card_says_what_licences_ask(tmp_path):
    train = [ask(0), ask(1, source="pmc_vqa", licence="CC-BY-SA-4.0"), ask(2, source="mine", licence="unknown")]
    write_data(tmp_path / "data", questions=write_questions(tmp_path / "questions", train))
    head, text = front_matter(tmp_path / "data")
    assert "- Share-alike: CC-BY-SA-4.0 (pmc_vqa). What is made of them may have to be passed on under the same" in text
    assert "- Licence unknown: unknown (mine)." in text
    assert "Not for release" not in text
    assert "not-for-release" not in head["tags"]
    write_data(tmp_path / "free", questions=write_questions(tmp_path / "open", train[:1]))
    assert "What the licences ask" not in front_matter(tmp_path / "free")[1]


def test_large_sets_are_written_in_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "FILE_BYTES", 600)
    monkeypatch.setattr(lake, "GROUP_BYTES", 300)
    train = [ask(number, images=PICTURES[number % 4 : number % 4 + 1]) for number in range(20)]
    traces = write_traces(tmp_path / "traces", [Record(one, ("\\boxed{B}",)) for one in train])
    write_data(tmp_path / "data", traces)
    names = sorted(path.name for path in (tmp_path / "data" / "data").iterdir())
    assert len(names) > 3
    assert names == [f"train-{number:05d}-of-{len(names):05d}.parquet" for number in range(len(names))]
    rows = [row for name in names for row in rows_in(tmp_path / "data" / "data" / name)]
    assert [row["id"] for row in rows] == [question.id for question in train]
    assert read_back(tmp_path / "data", tmp_path / "back") == list(iterate_records(traces))


def test_what_cannot_be_written(tmp_path, capsys):
    traces = write_traces(tmp_path / "traces", [Record(ask(0), ("\\boxed{B}",))])
    empty = write_traces(tmp_path / "empty", [])
    other = write_questions(tmp_path / "other", [], [ask(0, "test"), ask(1, "test")])
    mixed = write_questions(tmp_path / "mixed", [ask(0, "test")])
    shared = write_questions(tmp_path / "shared", [], [ask(1, "test"), Question(**vars(ask(0)) | {"split": "test"})])
    cases = [
        ([], "nothing to write; give --traces=DIR, --questions=DIR, or both"),
        ([f"--traces={empty}"], "holds no row to write"),
        ([f"--traces={tmp_path}/none"], "does not exist; make it first with `octomed verify`"),
        ([f"--traces={other}"], "holds the result of `octomed questions`, not of `octomed verify`"),
        ([f"--questions={mixed}"], "is of the split test; build the folder again"),
        ([f"--traces={traces}", f"--questions={shared}"], "question made:train:000 of "),
        ([f"--traces={traces}", "--config.run=x"], "overrides a config, and this command has none"),
    ]
    for words, expected in cases:
        assert data_write(*words, f"--output={tmp_path}/data") == 2
        assert expected in capsys.readouterr().err
        assert not (tmp_path / "data").exists()
    assert data_write(f"--traces={traces}", f"--output={tmp_path}/data") == 0
    before = (tmp_path / "data" / "manifest.json").read_bytes()
    assert data_write(f"--traces={traces}", f"--output={tmp_path}/data") == 0
    assert data_write(f"--traces={traces}", f"--output={tmp_path}/data", "--credentialed") == 2
    assert "was made with other settings (credentialed: False -> True)" in capsys.readouterr().err
    assert (tmp_path / "data" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("choices", "gold", "written"),
    [
        (("x", "A: x"), "x", (["x", "A: x"], "x")),
        (("A: x", "B: y"), "B: y", (["A: A: x", "B: B: y"], "B: B: y")),
        ((" x", "y"), " x", ([" x", "y"], " x")),
    ],
)
def test_options_that_look_like_letters(tmp_path, choices, gold, written):
    questions = write_questions(tmp_path / "questions", [ask(0, options=choices, answer=gold)])
    write_data(tmp_path / "data", questions=questions)
    (row,) = rows_in(tmp_path / "data" / "data" / "train-00000-of-00001.parquet")
    assert (row["options"], row["answer"]) == written
