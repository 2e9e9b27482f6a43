"""Which files of a data set are read: splits by name, one file, what is missing, what lies elsewhere."""

import dataclasses
import json
import zipfile

import pytest
from adapter_helpers import build, built, picture, refused, write_lines

from octomed_jax.questions import registry
from octomed_jax.questions.adapter import Adapter, PassedOver, Split
from octomed_jax.questions.reading.folder import Place
from octomed_jax.questions.reading.rows import clean_id


def cells(row, split):  # noqa: ARG001
    yield {"question": row["q"], "answer": row["a"], "image": row.get("image")}


QUIZ = Adapter(
    name="quiz",
    title="a quiz",
    kind="text",
    home="https://example.org/quiz",
    licence="CC0-1.0",
    citation="Nobody 2026",
    splits={
        "train": Split(("data/train-*.jsonl", "train.jsonl"), 2),
        "validation": Split(("data/validation-*.jsonl", "validation.jsonl"), chosen=False),
        "test": Split(("data/test-*.jsonl", "test.jsonl"), goes_to="test"),
        "hidden": Split(("hidden.jsonl",), goes_to="test", chosen=False, gold=False),
    },
    cells=cells,
    image_folders=("", "figures"),
    archives=("*.zip",),
)
ROWS = [{"q": "Which?", "a": "this"}, {"q": "What?", "a": "that"}]


@pytest.fixture(autouse=True)
def quiz(monkeypatch):
    monkeypatch.setitem(registry.ADAPTERS, "quiz", QUIZ)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "in"
    for number, row in enumerate(ROWS):
        write_lines(place / "data" / f"train-0000{number}.jsonl", [row])
    write_lines(place / "data" / "validation-00000.jsonl", [{"q": "How?", "a": "so"}])
    write_lines(place / "data" / "test-00000.jsonl", [{"q": "Where?", "a": "here"}])
    return place


def test_the_usual_splits_are_read_unless_others_are_named(folder, tmp_path):
    train, test, manifest = built("quiz", folder, tmp_path / "a")
    assert [(one.id, one.answer) for one in train] == [("quiz:train:0000000", "this"), ("quiz:train:0000001", "that")]
    assert [one.id for one in test] == ["quiz:test:0000000"]
    assert manifest.config["splits"] == ["test", "train"]
    train, test, _ = built("quiz", folder, tmp_path / "b", "--split=train,validation")
    assert [one.answer for one in train] == ["this", "that", "so"]
    assert test == []
    train, test, _ = built("quiz", folder, tmp_path / "c", "--limit=1")
    assert (len(train), len(test)) == (1, 1)


def test_a_split_that_is_not_there(folder, tmp_path, capsys):
    (folder / "data" / "test-00000.jsonl").unlink()
    train, test, _ = built("quiz", folder, tmp_path / "a")
    assert (len(train), len(test)) == (2, 0)
    assert "has no files of the split test (data/test-*.jsonl or test.jsonl); it is not read" in capsys.readouterr().err
    line = refused(capsys, "quiz", folder, tmp_path / "b", "--split=test")
    assert line == (
        f"{folder} has no files of the split test of quiz; it is published as data/test-*.jsonl or test.jsonl "
        "(https://example.org/quiz)"
    )
    (tmp_path / "empty").mkdir()
    assert "has no files of the split train of quiz" in refused(capsys, "quiz", tmp_path / "empty", tmp_path / "b")
    line = refused(capsys, "quiz", folder, tmp_path / "b", "--split=tran")
    assert line == "quiz has no split 'tran' (did you mean 'train'?); it has train, validation, test, hidden"
    line = refused(capsys, "quiz", folder, tmp_path / "b", "--split=hidden")
    assert line == "the split hidden of quiz has no gold answers; take train or validation or test"


def test_a_single_file_is_the_split_that_its_name_tells(folder, tmp_path, capsys):
    train, test, _ = built("quiz", folder / "data" / "test-00000.jsonl", tmp_path / "a")
    assert (train, [one.answer for one in test]) == ([], ["here"])
    other = write_lines(tmp_path / "other.jsonl", ROWS)
    line = refused(capsys, "quiz", other, tmp_path / "b")
    assert line == f"{other} may be of the split train or test; say which with --split"
    train, test, _ = built("quiz", other, tmp_path / "b", "--split=validation")
    assert (len(train), len(test)) == (2, 0)


def test_files_of_a_split_that_are_read_one_by_one_share_no_id(folder, tmp_path):
    shards = sorted((folder / "data").glob("train-*"))
    found = [built("quiz", shard, tmp_path / shard.stem)[0] for shard in shards]
    ids = [one.id for questions in found for one in questions]
    assert ids == ["quiz:train:train-00000.jsonl:0000000", "quiz:train:train-00001.jsonl:0000000"]
    renamed = shards[0].rename(tmp_path / "My own.jsonl")
    ((question,), _, _) = built("quiz", renamed, tmp_path / "c", "--split=train")
    assert question.id == f"quiz:train:{clean_id('My own.jsonl')}:0000000"


@pytest.mark.parametrize(
    "name", ["train.jsonl", "data/train-00000-of-00001.jsonl", "data/train-00000-of-00001-a1b2.jsonl"]
)
def test_a_file_that_is_a_whole_split_has_the_ids_of_its_folder(tmp_path, name):
    path = write_lines(tmp_path / "in" / name, ROWS)
    whole = built("quiz", tmp_path / "in", tmp_path / "a", "--split=train")[0]
    assert built("quiz", path, tmp_path / "b")[0] == whole
    assert [one.id for one in whole] == ["quiz:train:0000000", "quiz:train:0000001"]


def test_another_number_of_rows_than_is_published_is_said(folder, tmp_path, capsys):
    write_lines(folder / "data" / "train-00002.jsonl", ROWS)
    assert build("quiz", folder, tmp_path / "a") == 0
    assert "4 rows of the split train were read; 2 are published" in capsys.readouterr().err


def test_images_in_folders_and_archives_are_the_same(tmp_path, capsys):
    rows = [{"q": "What is it?", "a": "a film", "image": "a.png"}, {"q": "And this?", "a": "b", "image": "b/c.png"}]
    images = {"figures/a.png": picture(1), "b/c.png": picture(2)}
    for kind in ("loose", "packed"):
        write_lines(tmp_path / kind / "train.jsonl", rows)
    for name, data in images.items():
        (tmp_path / "loose" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "loose" / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / "packed" / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in images.items():
            archive.writestr(name, data)
    found = [built("quiz", tmp_path / kind, tmp_path / f"{kind}-out", "--split=train") for kind in ("loose", "packed")]
    assert found[0][0] == found[1][0]
    assert [one.images for one in found[0][0]] == [(picture(1),), (picture(2),)]
    # Another image of the same name is other work.
    (tmp_path / "loose" / "figures" / "a.png").write_bytes(picture(3))
    assert build("quiz", tmp_path / "loose", tmp_path / "loose-out", "--split=train") == 2
    assert "was made with other settings (images:" in capsys.readouterr().err
    (tmp_path / "packed" / "images.zip").unlink()
    with zipfile.ZipFile(tmp_path / "packed" / "images.zip", "w") as archive:
        archive.writestr("figures/a.png", picture(3))
        archive.writestr("b/c.png", picture(2))
    assert build("quiz", tmp_path / "packed", tmp_path / "packed-out", "--split=train") == 2
    assert "was made with other settings (images:" in capsys.readouterr().err


def hub_cache(place, files, name="datasets--owner--quiz"):
    """Lay files out as the hub's own library keeps them: a snapshot of links to blobs."""
    repository = place / name
    snapshot = repository / "snapshots" / ("0" * 40)
    (repository / "blobs").mkdir(parents=True)
    for number, (file, data) in enumerate(files.items()):
        (repository / "blobs" / f"{number:040x}").write_bytes(data)
        link = snapshot / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("../" * (2 + file.count("/")) + f"blobs/{number:040x}")
    return snapshot


def packed_images(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("figures/b.png", picture(2))
    return path.read_bytes()


def test_a_snapshot_in_the_hubs_cache_is_read_as_a_folder_of_files(tmp_path):
    rows = [{"q": "What is it?", "a": "a film", "image": "a.png"}, {"q": "And this?", "a": "b", "image": "b.png"}]
    files = {
        "data/train-00000.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        "test.jsonl": json.dumps({"q": "Where?", "a": "here"}).encode(),
        "figures/a.png": picture(1),
        "images.zip": packed_images(tmp_path / "packed.zip"),
    }
    snapshot = hub_cache(tmp_path / "hub", files)
    for name, data in files.items():
        (tmp_path / "plain" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / name).write_bytes(data)
    (tmp_path / "named").symlink_to(snapshot)
    found = {
        name: built("quiz", place, tmp_path / f"{name}-out")
        for name, place in (("plain", tmp_path / "plain"), ("hub", snapshot), ("named", tmp_path / "named"))
    }
    train, test, manifest = found["plain"]
    assert ([one.images for one in train], len(test)) == ([(picture(1),), (picture(2),)], 1)
    assert found["hub"][:2] == found["named"][:2] == (train, test)
    assert found["hub"][2].config == manifest.config
    _, test, _ = built("quiz", snapshot / "test.jsonl", tmp_path / "a")
    assert test == found["plain"][1]


@pytest.mark.parametrize("blob", ["outside", "another set", "a link", "a folder of links", "no cache"])
def test_a_snapshot_leads_to_no_file_but_its_own_blobs(tmp_path, capsys, blob):
    secret = tmp_path / "secret.jsonl"
    write_lines(secret, [{"q": "Secret?", "a": "yes"}])
    name = "datasets--owner--quiz" if blob != "no cache" else "datasets"
    snapshot = hub_cache(tmp_path / "hub", {"train.jsonl": secret.read_bytes()}, name)
    blobs, link = snapshot.parent.parent / "blobs", snapshot / "train.jsonl"
    if blob == "outside":
        link.unlink()
        link.symlink_to("/etc/passwd")
    elif blob == "another set":
        other = hub_cache(tmp_path / "hub", {"train.jsonl": secret.read_bytes()}, "datasets--owner--other")
        link.unlink()
        link.symlink_to((other / "train.jsonl").resolve())
    elif blob == "a link":
        (blobs / f"{0:040x}").unlink()
        (blobs / f"{0:040x}").symlink_to(secret)
    elif blob == "a folder of links":
        blobs.rename(tmp_path / "elsewhere")
        blobs.symlink_to(tmp_path / "elsewhere")
    line = refused(capsys, "quiz", snapshot, tmp_path / "out")
    assert line == f"'train.jsonl' leads out of {snapshot}; put the file itself there"


def test_rows_that_stand_in_no_table_belong_to_what_was_asked(tmp_path, monkeypatch, capsys):
    def places(folder, name, patterns):  # noqa: ARG001
        for number, line in enumerate(folder.path("all.txt").read_text().splitlines(), 1):
            yield Place("all.txt", number, "line", {"q": line, "a": "yes"})

    monkeypatch.setitem(
        registry.ADAPTERS, "quiz", Adapter(**{**vars(QUIZ), "places": places, "splits": {"all": Split()}})
    )
    (tmp_path / "in").mkdir()
    assert "has no file all.txt, which quiz has" in refused(capsys, "quiz", tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "all.txt").write_text("Is it?\nWas it?\n")
    train, _, _ = built("quiz", tmp_path / "in", tmp_path / "out")
    assert [one.question for one in train] == ["Is it?", "Was it?"]
    assert build("quiz", tmp_path / "in", tmp_path / "out") == 0
    (tmp_path / "in" / "all.txt").write_text("Is it?\nWas it so?\n")
    assert build("quiz", tmp_path / "in", tmp_path / "out") == 2
    assert "was made with other settings (rows:" in capsys.readouterr().err


def test_a_set_that_gives_no_question_is_refused_with_what_became_of_its_rows(tmp_path, monkeypatch, capsys):
    def picky(row, split):
        if row["a"] == "that":
            raise PassedOver("nobody asks that")
        yield from () if row["a"] == "this" else cells(row, split)

    monkeypatch.setitem(registry.ADAPTERS, "quiz", dataclasses.replace(QUIZ, cells=picky))
    write_lines(tmp_path / "in" / "train.jsonl", [*ROWS, *ROWS, {"q": "", "a": "so"}])
    line = refused(capsys, "quiz", tmp_path / "in", tmp_path / "out", "--most-left-out=1")
    assert line == (
        f"{tmp_path / 'in'} gives not one question: of 5 rows 1 are left out, 2 are passed over (nobody asks that); "
        "is it quiz?"
    )
    write_lines(tmp_path / "in" / "train.jsonl", ROWS[:1])
    assert "of 1 rows none asks anything; is it quiz?" in refused(capsys, "quiz", tmp_path / "in", tmp_path / "out")
    write_lines(tmp_path / "in" / "train.jsonl", [])
    assert "holds no row of the split train" in refused(capsys, "quiz", tmp_path / "in", tmp_path / "out")


def test_what_stands_in_both_published_splits_is_counted(tmp_path, capsys):
    write_lines(tmp_path / "in" / "train.jsonl", ROWS)
    write_lines(tmp_path / "in" / "test.jsonl", ROWS[:1])
    _, _, manifest = built("quiz", tmp_path / "in", tmp_path / "out")
    assert manifest.counts["in_both_splits"] == {"text": 1}
    assert "1 texts stand in train and in test, as published (the text of " in capsys.readouterr().err
    assert "In both splits" in (tmp_path / "out" / "card.md").read_text()


def test_a_published_folder_of_octomed(tmp_path):
    row = {"question": "Which?", "options": ["A: this", "B: that"], "answer": "B: that", "responses": ["\\boxed{B}"]}
    write_lines(tmp_path / "in" / "train.jsonl", [row])
    write_lines(tmp_path / "in" / "test.jsonl", [row | {"question": "Held out?"}])
    _, (held_out,), manifest = built("octomed", tmp_path / "in", tmp_path / "out")
    assert (held_out.question, held_out.answer, held_out.split) == ("Held out?", "that", "test")
    assert manifest.counts["published_splits"] == {"train": 1, "test": 1}


def test_a_file_that_is_another_split_by_its_name_is_refused(folder, tmp_path, capsys):
    test = folder / "data" / "test-00000.jsonl"
    line = refused(capsys, "quiz", test, tmp_path / "a", "--split=train")
    assert line == f"{test} is the split test by its name; say --split=test for that"


def test_two_rows_of_one_id_are_both_left_out(tmp_path, monkeypatch, capsys):
    def named(row, split):  # noqa: ARG001
        yield {"id": f"quiz:{row['id']}", "question": row["q"], "answer": row["a"]}

    monkeypatch.setitem(registry.ADAPTERS, "quiz", dataclasses.replace(QUIZ, cells=named))
    rows = [{"id": 1, "q": "Which?", "a": "this"}, {"id": 2, "q": "What?", "a": "that"}]
    write_lines(tmp_path / "in" / "train.jsonl", rows)
    write_lines(tmp_path / "in" / "test.jsonl", [{"id": 1, "q": "Where?", "a": "here"}])
    line = refused(capsys, "quiz", tmp_path / "in", tmp_path / "out")
    assert "train.jsonl line 1: the same id 'quiz:1' stands at test.jsonl line 1 with another" in line
    train, test, _ = built("quiz", tmp_path / "in", tmp_path / "out", "--most-left-out=1")
    assert ([one.id for one in train], test) == (["quiz:2"], [])


def test_an_adapter_that_meets_another_format_says_so_in_one_line(tmp_path, monkeypatch, capsys):
    def places(folder, name, patterns):  # noqa: ARG001
        yield Place("all.txt", 1, "line", {"q": {}["missing"]})

    monkeypatch.setitem(registry.ADAPTERS, "quiz", dataclasses.replace(QUIZ, places=places, splits={"all": Split()}))
    (tmp_path / "in").mkdir()
    line = refused(capsys, "quiz", tmp_path / "in", tmp_path / "out")
    assert line == f"{tmp_path / 'in'} is not as quiz is published (no column 'missing')"


def test_half_a_character_in_a_reason_is_spelt(tmp_path, capsys):
    source = write_lines(tmp_path / "own.jsonl", [])
    source.write_text('{"question": "Which?", "options": ["\\\\ud800x", "b"], "answer": "c"}\n')
    assert "answer 'c' is none of the options (\\ud800x; b)" in refused(capsys, "octomed", source, tmp_path / "out")


def test_a_row_that_moves_to_the_other_split_is_other_work(tmp_path, monkeypatch, capsys):
    def places(folder, name, patterns):  # noqa: ARG001
        for number, line in enumerate(folder.path(f"{name}.txt").read_text().splitlines(), 1):
            yield Place(f"{name}.txt", number, "line", {"q": line, "a": "yes"})

    splits = {"train": Split(), "test": Split(goes_to="test")}
    monkeypatch.setitem(registry.ADAPTERS, "quiz", dataclasses.replace(QUIZ, places=places, splits=splits))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "train.txt").write_text("Is it?\nWas it?\n")
    (tmp_path / "in" / "test.txt").write_text("Will it?\n")
    assert build("quiz", tmp_path / "in", tmp_path / "out") == 0
    (tmp_path / "in" / "train.txt").write_text("Is it?\n")
    (tmp_path / "in" / "test.txt").write_text("Was it?\nWill it?\n")
    assert build("quiz", tmp_path / "in", tmp_path / "out") == 2
    assert "was made with other settings (rows:" in capsys.readouterr().err
    (tmp_path / "in" / "train.txt").write_text("Is it?\nWas it?\n")
    (tmp_path / "in" / "test.txt").write_text("Will it?\n")
    assert build("quiz", tmp_path / "in", tmp_path / "out", "--most-left-out=0") == 2
    assert "was made with other settings (most_left_out:" in capsys.readouterr().err
