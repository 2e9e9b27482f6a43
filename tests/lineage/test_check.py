"""``octomed data check``: an untouched chain holds, and each kind of damage is found by a line of its own."""

import json
import re
import shutil
from pathlib import Path

import pytest
from lineage_chain import copy_of, edit_table, forge, make_chain, picture, settings

from octomed_jax import manifests, storage
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.hf.rendering import render
from octomed_jax.lineage.check import check
from octomed_jax.lineage.folders import open_folders
from octomed_jax.traces.grouped import accepted

LAKE, ATTEMPTS = "lake/part-00000.parquet", "attempts/part-00000.parquet"


def problems(*places, quick=False):
    return check(places, quick).problems


@pytest.fixture
def run(chain, tmp_path):
    return copy_of(chain, tmp_path)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another run, of other questions."""
    return make_chain(tmp_path_factory.mktemp("other") / "run", first=100)


def shard_of(run, number=0):
    names = sorted(name for name in manifests.read_manifest(run / "shards", "shard").files if "array_record" in name)
    return run / "shards" / names[number]


def rendering_of(run) -> Path:
    [path] = (run / "shards" / "rendered").iterdir()
    return path


def name_of(run, path):
    return str(path.relative_to(run))


def identity_of(folder):
    [found] = [one for one in open_folders([folder]).all if str(one.folder) == str(folder)]
    return found.manifest.identity


def flip(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x40
    path.write_bytes(data)


def test_an_untouched_chain_holds(chain):
    checked = check([chain])
    assert not checked.problems
    assert not checked.unfinished
    stages = [one.found.stage for one in checked.folders]
    assert stages[:6] == ["questions", "curate", "distill", "verify", "shard", "render"]
    for one in checked.folders:
        assert one.proven[0] == f"{len(one.found.manifest.files)} files hashed"
        assert one.bytes == sum((one.found.folder / name).stat().length for name in one.found.manifest.files)
    assert not problems(chain, quick=True)


def files_of(run):
    """All files of all manifests."""
    for path in sorted(run.rglob(manifests.MANIFEST)):
        for name in storage.read_json(path)["files"]:
            yield path.parent / name


@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_a_flipped_byte_in_any_file(run, place):
    for path in [one for one in files_of(run) if not one.name.endswith(manifests.EDITED)]:
        before = path.read_bytes()
        flip(path, place)
        found = problems(path.parent if (path.parent / manifests.MANIFEST).exists() else run)
        assert [line for line in found if line.startswith(f"{path} is not as it was written")], path
        path.write_bytes(before)
    assert not problems(run)


def test_a_card_may_be_written_on(run):
    (run / "curated" / "card.md").write_text("Mine.")
    assert not problems(run)


def test_a_missing_file_is_the_only_problem(run):
    for path in (shard_of(run, 1), run / "traces" / LAKE, run / "attempts" / "questions.parquet"):
        before = path.read_bytes()
        path.unlink()
        for quick in (False, True):
            [line] = problems(run, quick=quick)
            assert line.startswith(f"{path} is missing; put it back as it was, or move {run}/")
        path.write_bytes(before)


def test_a_half_written_shard(run):
    path = shard_of(run)
    for part in (0.1, 0.5, 0.99):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * part)])
        found = problems(run)
        assert found[0].startswith(f"{path} is not as it was written")
        assert all("rendered" not in line for line in found)  # what was made from it is not blamed
        path.write_bytes(whole)


def test_a_folder_of_another_run(run, other):
    mine = {name: storage.read_json(run / name / manifests.MANIFEST) for name in ("attempts", "traces", "shards")}
    for folder, after in (("curated", "attempts"), ("attempts", "traces"), ("traces", "shards")):
        shutil.move(run / folder, run.parent / "kept")
        shutil.copytree(other / folder, run / folder)
        [identity] = mine[after]["inputs"].values()
        found = [line for line in problems(run, quick=True) if line.startswith(f"{run / after} was made from")]
        assert len(found) == 1
        assert f"of identity {identity}, and {run}/" in found[0]
        assert f"{run / folder} has {identity_of(run / folder)}" in found[0]
        assert "put the one back that belongs there" in found[0]
        shutil.rmtree(run / folder)
        shutil.move(run.parent / "kept", run / folder)


@pytest.mark.parametrize(
    ("folder", "count"),
    [
        ("questions", "train"),
        ("questions", "test"),
        ("curated", "train"),
        ("attempts", "questions"),
        ("attempts", "attempts"),
        ("attempts", "requests"),
        ("traces", "asked"),
        ("traces", "kept"),
        ("shards", "records"),
        ("shards", "examples"),
        ("shards", "images"),
        ("rendered", "examples"),
        ("rendered", "tokens"),
    ],
)
def test_a_changed_count_in_a_manifest(run, folder, count):
    where = rendering_of(run) if folder == "rendered" else run / folder

    def change(fields):
        fields["counts"][count] += 1
        change.said = fields["counts"][count]

    forge(run, name_of(run, where), change)
    [line] = problems(run)
    assert line.startswith(str(where))
    assert str(change.said) in line


def test_a_changed_count_breaks_the_link_after_it(run):
    path = run / "traces" / manifests.MANIFEST
    path.write_text(path.read_text().replace('"kept": ', '"kept": 1'))
    found = problems(run)
    assert any("kept are" in line for line in found)
    assert any(line.startswith(f"{run}/shards was made from a folder (verify) of identity") for line in found)


def test_a_dropped_attempt(run):
    def drop(rows):
        drop.row = rows.pop(2)
        return rows

    edit_table(run / "attempts" / ATTEMPTS, drop)
    name = f"{drop.row['question_id']}:{drop.row['sample_index']}"
    found = problems(run)
    assert any(line.startswith(f"{run}/attempts/{ATTEMPTS} is not as it was written") for line in found)
    assert any(f"holds {name}, which is not among the attempts" in line for line in found)
    forge(run, "attempts")
    found = problems(run)
    assert any("attempts are" in line and "and the manifest says" in line for line in found)
    assert any(f"of the samples 0 to 3 of {drop.row['question_id']} there are only 3" in line for line in found)
    assert any(f"lake/part-00000.parquet holds {name}, which is not among the attempts" in line for line in found)


def test_attempts_at_an_unknown_question(run):
    def rename(rows):
        return [{**row, "question_id": "own:000x"} if row["question_id"] == "own:000" else row for row in rows]

    edit_table(run / "attempts" / ATTEMPTS, rename)
    forge(run, "attempts")
    assert any("holds attempts at the unknown question 'own:000x'" in line for line in problems(run))


def test_a_changed_response(run):
    def change(rows):
        rows[0]["response"] = "<think>x</think>\n\n\\boxed{A}"
        return rows

    edit_table(run / "attempts" / ATTEMPTS, change)
    forge(run, "attempts")
    assert any(re.search(r"lake/part-00000.parquet: response of own:000:0 is ", line) for line in problems(run))


def test_a_changed_verdict(run):
    def change(rows):
        row = next(row for row in rows if accepted(row))
        place = accepted(row)[0]
        row["verdicts"][place]["verdict"] = "wrong"
        change.name = f"{row['id']}:{row['attempts'][place]['sample_index']}"
        return rows

    edit_table(run / "traces" / LAKE, change)
    forge(run, "traces")
    found = problems(run)
    assert any(f"verdict of {change.name} is 'wrong', and 'correct' among verdicts.parquet" in line for line in found)
    assert any("kept are" in line for line in found)
    assert any("funnel.json has other counts than the lake" in line for line in found)
    assert any(line.startswith(f"{run}/shards: record 0 (own:000) has other") for line in found)


def test_a_changed_table_of_verdicts(run):
    def change(rows):
        rows[0]["reason"] = "length"
        return rows

    edit_table(run / "traces" / "verdicts.parquet", change)
    forge(run, "traces")
    [line] = problems(run)
    assert "reason of own:000:0 is " in line
    assert "and 'length' among verdicts.parquet" in line


def test_a_dropped_question_of_the_lake(run):
    def drop(rows):
        drop.name = rows.pop(next(place for place, row in enumerate(rows) if accepted(row)))["id"]
        return rows

    edit_table(run / "traces" / LAKE, drop)
    forge(run, "traces")
    found = problems(run)
    assert any(f"lacks {drop.name}, which is among questions" in line for line in found)
    assert any(f"shards: the lake gives no record 0 ({drop.name})" in line for line in found)


def test_a_question_that_the_shards_lack(run):
    def add(rows):
        row = next(row for row in rows if not accepted(row))
        row["verdicts"][0] |= {"verdict": "correct", "reason": "match"}
        add.name = row["id"]
        return rows

    edit_table(run / "traces" / LAKE, add)
    forge(run, "traces")
    assert any(f"{run}/shards lacks question {add.name}, which the lake gives" in line for line in problems(run))


@pytest.mark.parametrize("folder", ["questions", "curated", "traces"])
def test_a_changed_image(run, folder):
    path = run / folder / (LAKE if folder == "traces" else "questions.parquet")

    def change(rows):
        row = next(row for row in rows if row["image"])
        row["image"][0]["bytes"] = picture(999)
        change.name = row["id"]
        return rows

    edit_table(path, change)
    forge(run, folder)
    found = problems(run)
    line = f"{path}: question {change.name} has an image 0 that is not the one of its image_hash"
    assert any(one.startswith(line) for one in found)


def test_a_question_that_curation_did_not_take_out(run):
    def drop(rows):
        return rows[1:]

    def fewer(fields):
        fields["counts"]["train"] -= 1
        fields["counts"]["benchmarks"]["name"]["train"] -= 1

    edit_table(run / "curated" / "questions.parquet", drop)
    forge(run, "curated", fewer)
    found = problems(run)
    assert any(
        "curated/questions.parquet lacks question own:000, which is not named as removed" in one for one in found
    )
    assert any("attempts/questions.parquet is another file than that of" in one for one in found)


def test_a_question_that_curation_has_changed(run):
    def change(rows):
        rows[1]["answer"] = "7"
        return rows

    edit_table(run / "curated" / "questions.parquet", change)
    forge(run, "curated")
    assert any("question own:001 has another answer than before" in line for line in problems(run))


def test_a_removed_row_that_is_not_counted(run):
    edit_table(run / "curated" / "removed.parquet", lambda rows: [row for row in rows if row["id"] != "own:copy"])
    forge(run, "curated")
    found = problems(run)
    assert any("names 0 of deduplicate same, the manifest 1" in line for line in found)
    assert any("lacks question own:copy, which is not named as removed" in line for line in found)


def test_licences_and_access(run):
    forge(run, "questions", lambda fields: fields.update(licences=["MIT"]))
    assert any("have the licences ['CC0-1.0', 'MIT'], its manifest others" in line for line in problems(run))


def test_an_index_of_another_rendering(run):
    config = settings()
    config.shard.max_pixels = 3136 * 2
    mine = rendering_of(run)
    render(config, run / "shards")
    [another] = [path for path in (run / "shards" / "rendered").iterdir() if path != mine]
    for name in [name for name in storage.read_json(mine / manifests.MANIFEST)["files"] if name.startswith("index")]:
        shutil.copyfile(another / name, mine / name)
    shutil.rmtree(another)
    forge(run, name_of(run, mine))
    found = [line for line in problems(run) if "rendered with another tokenizer, template or pixel limit" in line]
    assert len(found) == 1
    assert str(mine) in found[0]


def test_an_index_of_other_shards(run, other):
    mine, another = rendering_of(run), rendering_of(other)
    for name in [name for name in storage.read_json(mine / manifests.MANIFEST)["files"] if name.startswith("index")]:
        (mine / name).unlink()
    for name in storage.read_json(another / manifests.MANIFEST)["files"]:
        (mine / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copyfile(another / name, mine / name)
    path = mine / manifests.MANIFEST
    fields = storage.read_json(another / manifests.MANIFEST)
    storage.write_json(path, {**fields, "inputs": storage.read_json(path)["inputs"]})
    assert any(str(mine) in line for line in problems(run))


def test_a_shard_that_does_not_belong_there(run):
    path = shard_of(run)
    copy = path.with_name(path.name.replace("00000", "00007", 1))
    shutil.copyfile(path, copy)
    assert any(line.startswith(f"{copy} is no file of this folder's manifest; move") for line in problems(run))


def test_a_manifest_that_is_none(run):
    path = run / "traces" / manifests.MANIFEST
    for text in ("{", "[]", '{"format_version": 1}'):
        path.write_text(text)
        found = problems(run)
        assert any(str(path) in line for line in found)
        assert any(line.startswith(f"{run}/shards was made from a folder (verify)") for line in found)


def test_an_input_that_is_not_at_hand(run, tmp_path):
    elsewhere = Path(shutil.move(run / "questions", tmp_path / "elsewhere"))
    [line] = problems(run, quick=True)
    assert re.match(
        rf"{run}/curated was made from a folder \(questions 1\) of identity \w+, which is not at hand", line
    )
    assert not problems(run, elsewhere, quick=True)


def test_a_folder_by_itself(run, tmp_path):
    assert [one.found.stage for one in check([run / "shards"]).folders][:2] == ["shard", "render"]
    alone = Path(shutil.copytree(run / "shards", tmp_path / "alone" / "shards"))
    checked = check([alone])
    assert not checked.problems
    assert any("which is not at hand" in text for text in checked.folders[0].proven)


def test_a_folder_without_a_manifest_is_named(run):
    (run / "shards" / manifests.MANIFEST).unlink()
    for path in [path for path in (run / "shards").iterdir() if path.is_dir()]:
        shutil.rmtree(path)
    checked = check([run])
    assert not checked.problems
    assert checked.unfinished == [str(run / "shards")]


def test_many_problems_of_a_kind_are_counted(run):
    def change(rows):
        return [{**row, "teacher": "nobody"} for row in rows]

    edit_table(run / "attempts" / ATTEMPTS, change)
    forge(run, "attempts")
    found = problems(run)
    lines = [line for line in found if "teacher of own:" in line]
    assert len(lines) == 5
    assert any("more of this kind (attempts)" in line for line in found)


def test_the_command(run, capsys):
    assert main(["data", "check", str(run)]) == 0
    shown = capsys.readouterr()
    assert "hold what their manifests say" in shown.out
    assert "What was proven" in shown.err
    flip(run / "traces" / LAKE)
    assert main(["data", "check", str(run), "--json"]) == 43
    told = json.loads(capsys.readouterr().out)
    assert not told["holds"]
    assert any("is not as it was written" in line for line in told["problems"])
    assert main(["data", "check", str(run)]) == 43
    shown = capsys.readouterr().err
    assert f"{run}/traces/{LAKE} is not as it was written" in shown.replace("\n", "")
    assert re.search(r"\d+ problems?, named above", shown)


def test_folders_that_are_none(tmp_path, capsys):
    with pytest.raises(UserError, match="no such folder"):
        check([tmp_path / "none"])
    assert main(["data", "check", str(tmp_path)]) == 2
    assert "holds no finished stage" in capsys.readouterr().err
