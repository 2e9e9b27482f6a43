"""``octomed data trace``: from a training row to its source, and why a row is not there."""

import json
import re
import shutil

import pyarrow.parquet as pq
import pytest
from lineage_chain import copy_of

from octomed_jax import manifests
from octomed_jax.cli.main import main
from octomed_jax.errors import UserError
from octomed_jax.lineage.walk import trace
from octomed_jax.traces import lake
from octomed_jax.traces.grouped import accepted, iterate_lake
from octomed_jax.traces.shards import ShardReader

STAGES = ["render", "shard", "verify", "distill", "curate", "questions"]


def stage(walk, name):
    [found] = [one for one in walk.stages if one["stage"] == name]
    return found


def attempts_of(run, question):
    return [
        row
        for path in sorted((run / "attempts" / "attempts").glob("*.parquet"))
        for row in lake.iterate_rows(path)
        if row["question_id"] == question
    ]


def test_a_row_of_the_shards_is_followed_to_its_source(chain):
    reader = ShardReader(chain / "shards")
    for number, record in enumerate(reader):
        for response, sample in enumerate(record.samples):
            walk = trace(f"{record.question.id}:{sample}", [chain])
            [row] = walk.rows
            assert (row["became"], row["response"]) == ("in the shards", response)
            assert (
                walk.answer
                == f"{record.question.id}:{sample} is in the shards {chain}/shards: record {number}, "
                + (f"response {response}")
            )
            [told] = [one for one in attempts_of(chain, record.question.id) if one["sample_index"] == sample]
            assert row["attempt"] == {name: told[name] for name in row["attempt"]}
            assert stage(walk, "shard")["row"]["record"] == number
            assert str(response) in stage(walk, "render")["row"]["examples"]
            assert not walk.missing
            # By its place in the shards it is the same row.
            assert trace(f"{number}/{response}", [chain]) == walk


def test_each_stage_is_told_with_what_made_it(chain):
    walk = trace("own:003", [chain])
    assert [one["stage"] for one in walk.stages] == STAGES
    folders = {"curate": "curated", "distill": "attempts", "verify": "traces", "shard": "shards"}
    for name, folder in folders.items():
        manifest = manifests.read_manifest(chain / folder, name)
        told = stage(walk, name)
        assert told["folder"] == str(chain / folder)
        assert told["identity"] == manifest.identity
        assert told["config"] == dict(manifest.config)
        assert (told["code_version"], told["code_commit"]) == (manifest.code_version, manifest.code_commit)
        # The one question to learn from under MIT was taken out; the held-out one is in no shard.
        assert (told["access"], told["licences"]) == ("open", ["CC0-1.0"] if name == "shard" else ["CC0-1.0", "MIT"])
    source = stage(walk, "questions")["row"]
    assert source["adapter"] == "octomed"
    assert list(source["input"]) == ["own.jsonl"]
    assert "not recorded" in source["source_row"]


def test_the_shard_and_the_record_in_it(chain):
    reader = ShardReader(chain / "shards")
    firsts = {}
    for number, record in enumerate(reader):
        row = stage(trace(record.question.id, [chain]), "shard")["row"]
        firsts.setdefault(row["file"], number)
        assert row["record_in_file"] == number - firsts[row["file"]]
    assert set(firsts) == {
        name for name in manifests.read_manifest(chain / "shards", "shard").files if "array_record" in name
    }


def test_attempts_that_are_not_in_the_shards(chain):
    reasons = set()
    for row in iterate_lake(chain / "traces"):
        right = {row["attempts"][place]["sample_index"] for place in accepted(row)}
        for place, attempt in enumerate(row["attempts"]):
            walk = trace(f"{row['id']}:{attempt['sample_index']}", [chain])
            [told] = walk.rows
            if "response" in told:
                continue
            assert "is not in the shards" in walk.answer
            verdict = row["verdicts"][place]
            if attempt["sample_index"] in right:
                assert told["became"] == "not chosen"
                assert "traces.per_question=2" in walk.answer
            else:
                assert told["became"] == "rejected"
                assert f"{verdict['verdict']} ({verdict['reason']})" in walk.answer
            reasons.add((told["became"], verdict["verdict"]))
    assert {("not chosen", "correct"), ("rejected", "wrong"), ("rejected", "truncated")} <= reasons


def test_option_orders_and_teachers(chain):
    walk = trace("own:003", [chain])
    assert {row["attempt"]["teacher"] for row in walk.rows} == {"big-1", "small-1"}
    assert stage(walk, "distill")["row"]["teachers"] == ["big-1", "small-1"]
    assert [one["name"] for one in stage(walk, "distill")["teachers"]] == ["big", "small"]
    shown = {tuple(row["options"]) for row in walk.rows}
    assert len(shown) == 2
    assert all(sorted(options) == [f"Disease {number}" for number in (3, 4, 5, 6)] for options in shown)
    # Questions with images go to one of the teachers only.
    assert {row["attempt"]["teacher"] for row in trace("own:002", [chain]).rows} == {"big-1"}


def test_what_curation_has_done(chain):
    copy = trace("own:copy", [chain])
    assert copy.answer == "own:copy is not in the shards: taken out by curation, step deduplicate (same), like own:000"
    assert stage(copy, "curate")["row"]["removed"]["match"] == "own:000"
    shared = trace("own:shared", [chain])
    assert "step decontaminate (words), like own:test" in shared.answer
    assert stage(trace("own:002", [chain]), "curate")["row"]["images_changed"] is True
    assert stage(trace("own:005", [chain]), "curate")["row"]["images_changed"] is False
    for walk in (copy, shared):
        assert not any(stage(walk, name)["row"] for name in ("shard", "verify", "distill"))
        assert stage(walk, "questions")["row"]["id"] == walk.question


def test_a_held_out_question(chain):
    walk = trace("own:test", [chain])
    assert walk.answer == (
        "own:test is not in the shards: held out: a question of the split test is evaluated with and never learned from"
    )
    assert stage(walk, "curate")["row"]["file"] == "heldout.parquet"


def test_a_question_that_was_never_answered_rightly(chain):
    name = next(row["id"] for row in iterate_lake(chain / "traces") if not accepted(row))
    walk = trace(name, [chain])
    assert walk.answer == f"{name} is not in the shards: of its attempts {len(walk.rows)} rejected"
    assert stage(walk, "verify")["row"]["accepted"] == 0


def test_a_folder_that_is_not_at_hand_is_named(chain, tmp_path):
    run = copy_of(chain, tmp_path)
    curated = manifests.read_manifest(run / "curated", "curate").identity
    shutil.move(run / "curated", tmp_path / "elsewhere")
    walk = trace("own:000", [run])
    assert [one["stage"] for one in walk.stages] == STAGES[:4]
    assert walk.missing == [f"not at hand: questions folder of identity {curated}, of which {run}/attempts is made"]
    assert [one["stage"] for one in trace("own:000", [run, tmp_path / "elsewhere"]).stages] == STAGES
    shutil.rmtree(run / "traces")
    walk = trace("own:000", [run], run / "shards")
    assert [one["stage"] for one in walk.stages] == ["render", "shard"]
    assert walk.missing[0].startswith("not at hand: traces folder of identity")
    assert "record 0, 2 responses" in walk.answer


def test_the_walk_begins_where_the_run_has_come_to(chain, tmp_path):
    run = copy_of(chain, tmp_path)
    shutil.rmtree(run / "shards")
    assert trace("own:000:0", [run]).rows[0]["became"] == "accepted"
    shutil.rmtree(run / "traces")
    assert stage(trace("own:000", [run]), "distill")["row"]["attempts"] == 8
    shutil.rmtree(run / "attempts")
    assert "step deduplicate" in trace("own:copy", [run]).answer


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("own:none", "no question or row 'own:none' in "),
        ("own:000:99", "question own:000 has no attempt 99; its attempts are 0, 1, 2, 3, 4, 5, 6, 7"),
        ("999/0", "has 17 records, no number 999"),
        ("0/77", "has 2 responses, no number 77"),
    ],
)
def test_rows_that_are_not_there(chain, row, message):
    count = len(ShardReader(chain / "shards"))
    with pytest.raises(UserError, match=re.escape(message.replace("17", str(count)))):
        trace(row, [chain])


def test_several_folders_of_shards(chain, tmp_path):
    run = copy_of(chain, tmp_path)
    shutil.copytree(run / "shards", run / "shards-direct")
    with pytest.raises(UserError, match="name one with --shards"):
        trace("own:000", [run])
    assert stage(trace("own:000", [run], run / "shards-direct"), "shard")["folder"] == str(run / "shards-direct")


def test_a_folder_by_another_name(chain, monkeypatch):
    monkeypatch.chdir(chain.parent)
    walk = trace("own:000", [chain], "run/shards/")
    assert [one["stage"] for one in walk.stages] == STAGES


def test_no_image_is_read(chain, monkeypatch):
    read = pq.ParquetFile.read_row_group
    columns = []

    def watched(file, group, columns_=None, **more):
        columns.append(more.get("columns", columns_))
        return read(file, group, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    trace("own:002", [chain])
    assert columns
    assert all(one and "image" not in one for one in columns)


def test_the_command(chain, capsys):
    assert main(["data", "trace", "own:000:0", f"--run={chain}"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == f"own:000:0 is in the shards {chain}/shards: record 0, response 0"
    for part in ("traces", "attempts", "curated questions", "commit", "identity", "seed", "big-1", "CC0-1.0"):
        assert part in shown
    assert main(["data", "trace", "own:000", f"--shards={chain / 'shards'}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["stage"] for one in told["stages"]] == STAGES
    assert main(["data", "trace", "own:000"]) == 2
    assert "give --run=DIR" in capsys.readouterr().err
