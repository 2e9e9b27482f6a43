"""Rendering beside shards: the same bytes however it is shared out, measured once, and refused where it is another."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from octomed_jax import executor, manifests
from octomed_jax.cli.main import main
from octomed_jax.configuration import apply_override
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.hf import rendering
from octomed_jax.hf.base import copy_side_files
from octomed_jax.hf.rendering import is_rendered, render, renderings, student_folder
from octomed_jax.inputs import render as measuring
from octomed_jax.inputs.index_files import COLUMNS, load_index, write_index
from octomed_jax.inputs.paper_mix import paper_mix
from octomed_jax.inputs.render import read_index, render_index
from octomed_jax.models.qwen2_5_vl.config import read_config
from octomed_jax.schema import Record
from octomed_jax.traces.shards import ShardReader
from tests.tiny import tiny_config, write_tiny_shards
from tests.traces.corpus import questions, row_of, write_rows, write_traces


@pytest.fixture
def config():
    return tiny_config()


@pytest.fixture(scope="module")
def made_shards(tmp_path_factory):
    """Shards with one rendering. Those of the session get more of them from tests that train in other ways."""
    return write_tiny_shards(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def shards(made_shards, tmp_path):
    """Shards of the small made corpus, to be changed."""
    return shutil.copytree(made_shards, tmp_path / "shards")


def bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_any_number_of_workers_gives_the_same_bytes(made_shards, shards, config, monkeypatch):
    """Processes start with no back end of JAX: with the platform that is asked for here, there is none to start."""
    [whole] = renderings(made_shards)
    shutil.rmtree(shards / "rendered")
    monkeypatch.setattr(rendering, "pieces_of", lambda *given: small_pieces(*given))
    monkeypatch.setenv("JAX_PLATFORMS", "none-such")
    render(config, shards, workers=2)
    [again] = renderings(shards)
    assert bytes_of(again) == bytes_of(whole)
    assert not list(again.glob("work*"))


def small_pieces(records, *given, size=7):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "PIECE_RECORDS", size)
        return measuring.pieces_of(records, *given)


@pytest.mark.integration
def test_ray_gives_the_same_bytes(made_shards, shards, config, monkeypatch):
    pytest.importorskip("ray")
    [whole] = renderings(made_shards)
    shutil.rmtree(shards / "rendered")
    monkeypatch.setattr(rendering, "pieces_of", lambda *given: small_pieces(*given))
    render(config, shards, engine="ray", workers=2)
    [again] = renderings(shards)
    assert bytes_of(again) == bytes_of(whole)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_ended_in_the_middle_it_measures_only_the_rest(after, made_shards, shards, config, monkeypatch):
    [whole] = renderings(made_shards)
    shutil.rmtree(shards / "rendered")
    monkeypatch.setattr(rendering, "pieces_of", lambda *given: small_pieces(*given))
    measured = []

    def ends(piece):
        if len(measured) == after:
            raise KeyboardInterrupt
        measured.append(piece.first)
        return measuring.measure_piece(piece)

    monkeypatch.setattr(rendering, "measure_piece", ends)
    with pytest.raises(KeyboardInterrupt):
        render(config, shards, workers=1)
    assert not renderings(shards)
    again = []

    def rest(piece):
        again.append(piece.first)
        return measuring.measure_piece(piece)

    monkeypatch.setattr(rendering, "measure_piece", rest)
    if after:
        monkeypatch.setattr(rendering, "write_student", lambda *_: pytest.fail("the vocabulary is there"))
    render(config, shards, workers=1)
    assert len(measured) == after
    assert sorted([*measured, *again]) == list(range(0, len(ShardReader(shards)), 7))
    assert bytes_of(renderings(shards)[0]) == bytes_of(whole)


KILLED = """
import os, signal, sys
from configs.demo import get_config
from octomed_jax.hf import rendering
from octomed_jax.inputs import render as measuring

measuring.PIECE_RECORDS = 7
measured = 0

def dies(piece):
    global measured
    if measured == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    measured += 1
    measuring.measure_piece(piece)

rendering.measure_piece = dies
config = get_config("tiny")
config.student.vocab_size = 300
rendering.render(config, sys.argv[1], workers=1)
"""


def test_killed_it_measures_only_the_rest(made_shards, shards, config, root, monkeypatch):
    [whole] = renderings(made_shards)
    shutil.rmtree(shards / "rendered")
    ran = subprocess.run([sys.executable, "-c", KILLED, shards], cwd=root, capture_output=True, timeout=100)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    again = []

    def rest(piece):
        again.append(piece.first)
        return measuring.measure_piece(piece)

    monkeypatch.setattr(rendering, "pieces_of", lambda *given: small_pieces(*given))
    monkeypatch.setattr(rendering, "measure_piece", rest)
    render(config, shards, workers=1)
    assert again == list(range(14, len(ShardReader(shards)), 7))
    assert bytes_of(renderings(shards)[0]) == bytes_of(whole)


def test_the_index_is_what_one_process_measures(made_shards, config):
    [folder] = renderings(made_shards)
    student = student_folder(config, made_shards)
    index, direct = read_index(folder, student, "boxed"), render_index(ShardReader(made_shards), student, "boxed")
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(index, name), getattr(direct, name))
    assert (index.sources, index.benchmarks) == (direct.sources, direct.benchmarks)
    questions = [record.question for record in ShardReader(made_shards)]
    assert [index.sources[n] for n in index.source] == [questions[n].source for n in index.record]
    assert [index.benchmarks[n] for n in index.benchmark] == [questions[n].benchmark for n in index.record]


def test_what_does_not_decide_the_rendering_is_not_part_of_it(shards, config, monkeypatch):
    """Another size: a student's folder of its own, and nothing is measured."""
    first = student_folder(config, shards)
    config.student.text.num_hidden_layers, config.student.vision.depth = 5, 4
    assert not is_rendered(config, shards)
    with pytest.raises(UserError, match="of other sizes with the same tokenizer; run `octomed shard` again"):
        student_folder(config, shards)
    monkeypatch.setattr(rendering, "run_pieces", lambda *_: pytest.fail("it was measured again"))
    render(config, shards)
    assert len(renderings(shards)) == 1
    second = student_folder(config, shards)
    assert [read_config(folder).text.num_hidden_layers for folder in (first, second)] == [3, 5]
    assert (second / "tokenizer.json").read_bytes() == (first / "tokenizer.json").read_bytes()
    config.mixture.weights = {"made": 1}
    config.seed = 9
    assert is_rendered(config, shards)


@pytest.mark.parametrize(
    "change",
    [
        "student.vocab_size=310",
        "student.vision.window_size=112",
        "shard.max_pixels=6272",
        "distill.answer_format=direct",
    ],
)
def test_what_decides_it_makes_another(change, shards, config):
    apply_override(config, change)
    with pytest.raises(UserError, match=r"was rendered for another student \(\S+: "):
        student_folder(config, shards)
    render(config, shards)
    assert len(renderings(shards)) == 2
    assert student_folder(config, shards).is_dir()


def test_bases_with_one_tokenizer_share_a_rendering(shards, config, tmp_path, monkeypatch):
    small, large = tmp_path / "small", tmp_path / "large"
    copy_side_files(student_folder(config, shards), small)
    config.student.text.num_hidden_layers = 5
    render(config, shards)
    copy_side_files(student_folder(config, shards), large)
    config.student.base = str(small)
    render(config, shards)
    assert len(renderings(shards)) == 2
    config.student.base = str(large)
    monkeypatch.setattr(rendering, "run_pieces", lambda *_: pytest.fail("it was measured again"))
    render(config, shards)
    assert read_config(student_folder(config, shards)).text.num_hidden_layers == 5
    tokenizer = large / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")  # other bytes
    assert not is_rendered(config, shards)


@pytest.mark.parametrize(
    ("words", "rendered"),
    [
        (["train", "--workdir={0}/run"], True),
        (["train", "--workdir={0}/run"], False),
        (["train", "--workdir={0}/run", "--config.held_out.every=2", "--config.held_out.records=2"], False),
        (["train", "--workdir={0}/run", "--dry-run"], True),
        (["data", "card", "--output={0}/card"], True),
        (["data", "card", "--output={0}/card"], False),
    ],
)
def test_other_traces_than_the_shards_hold_are_refused(shards, root, tmp_path, capsys, words, rendered):
    """Before it is looked at how they were rendered, which another number of traces would not have changed."""
    if not rendered:
        shutil.rmtree(shards / "rendered")
    given = [f"--config={root}/configs/demo.py:tiny", "--config.student.vocab_size=300", f"--shards={shards}"]
    words = [word.format(tmp_path) for word in words]
    assert main([*words, *given, "--config.traces.per_question=1"]) == 2
    told = f"config.traces.per_question=1, but {shards} was written with 2; give the config that it was made with"
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_shards_without_their_traces_are_measured_for_another_student(shards, root, tmp_path, capsys):
    """Copied, or mounted on another machine."""
    words = ["shard", f"--config={root}/configs/demo.py:tiny", f"--output={shards}", f"--traces={tmp_path}/none"]
    assert main([*words, "--config.student.vocab_size=310"]) == 0
    assert f"{tmp_path}/none is not here" in capsys.readouterr().err
    assert len(renderings(shards)) == 2
    assert main([*words, "--config.traces.choose=shortest"]) == 2
    assert "was made with other settings (traces.choose: 'first' -> 'shortest')" in capsys.readouterr().err


def test_an_index_of_another_tokenizer_is_refused_by_training(shards, config, root, monkeypatch, capsys, tmp_path):
    """One that was put there by hand, under the name of this one."""
    monkeypatch.chdir(root)
    config.student.vocab_size = 310
    render(config, shards)
    theirs = renderings(shards)
    config.student.vocab_size = 300
    ours = rendering.rendering(config, shards)
    [other] = [folder for folder in theirs if folder != ours]
    shutil.rmtree(ours / "index")
    shutil.copytree(other / "index", ours / "index")
    words = ["train", "--config=configs/demo.py:tiny", f"--shards={shards}", f"--workdir={tmp_path / 'run'}"]
    assert main([*words, "--dry-run", "--config.student.vocab_size=300"]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "was rendered with another tokenizer, template or pixel limit" in line
    assert not (tmp_path / "run").exists()


def damages():
    def flipped(place):
        data = bytearray((place / "tokens.npy").read_bytes())
        data[-5] ^= 1
        (place / "tokens.npy").write_bytes(data)

    def cut(place):
        (place / "cells.npy").write_bytes((place / "cells.npy").read_bytes()[:-8])

    def gone(place):
        (place / "source.npy").unlink()

    def swapped(place):
        (place / "index.json").write_text((place / "index.json").read_text().replace('"examples": ', '"examples": 1'))

    def torn(place):
        (place / "index.json").write_text((place / "index.json").read_text()[:40])

    return [flipped, cut, gone, swapped, torn]


@pytest.mark.parametrize("damage", damages(), ids=lambda damage: damage.__name__)
def test_a_damaged_index_stops_training(damage, shards, config, root, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(root)
    damage(rendering.rendering(config, shards) / "index")
    words = ["train", "--config=configs/demo.py:tiny", f"--shards={shards}", f"--workdir={tmp_path / 'run'}"]
    assert main([*words, "--dry-run", "--config.student.vocab_size=300"]) == 43
    [line] = capsys.readouterr().err.strip().splitlines()
    assert str(shards) in line


def test_a_missing_or_older_index_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no index in .*; make it with `octomed shard`"):
        load_index(tmp_path)
    write_index(tmp_path, paper_mix(20))
    (tmp_path / "index" / "index.json").write_text('{"version": 0}')
    with pytest.raises(UserError, match="is of another version; run `octomed shard` again"):
        load_index(tmp_path)


def test_an_index_without_examples_is_one(tmp_path):
    write_index(tmp_path, paper_mix(20).only(np.zeros(20, bool)))
    assert len(load_index(tmp_path)) == 0


def test_what_was_measured_of_a_piece_is_checked(shards, config, tmp_path):
    pieces = small_pieces(9, shards, student_folder(config, shards), "boxed", tmp_path)
    for piece, _ in executor.run_pieces(measuring.measure_piece, pieces, workers=1):
        assert piece.last - piece.first <= 7
    assert measuring.joined(pieces).record.max() == 8
    whole = (tmp_path / "7.npz").read_bytes()
    (tmp_path / "7.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StopAndLook, match=r"7.npz is damaged"):
        measuring.joined(pieces)


def test_shard_says_what_the_mixture_gives(root, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(root)
    write_traces(tmp_path / "traces")
    words = ["shard", "--config=configs/demo.py:tiny", "--config.student.vocab_size=300", "--workers=1"]
    words += [f"--traces={tmp_path / 'traces'}", f"--output={tmp_path / 'out'}", "--config.train.tokens_per_row=400"]
    assert main([*words, "--json", "--config.mixture.epochs=made=1.5"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    [row] = found["sources"]
    assert (row["source"], row["examples"], row["examples_an_epoch"]) == ("made", 48, 72)
    assert row["questions"] == found["records"]
    assert "of tokens" in told.err
    assert main([*words, "--config.mixture.weights=maed=1"]) == 2
    assert "unknown source 'maed' (did you mean 'made'?)" in capsys.readouterr().err
    assert manifests.is_finished(tmp_path / "out")


@pytest.mark.parametrize("output", ["{0}/out", "gs://no-such-bucket-of-ours/shards"])
def test_a_mixture_of_unknown_sources_is_refused_before_anything_is_written(
    root, monkeypatch, capsys, tmp_path, output
):
    rows = [row_of(Record(one, ("\\boxed{1}",), (), (0,))) for one in questions(3)]
    rows[2] |= {"source": "wrong"}
    rows[2]["verdicts"][0]["verdict"] = "wrong"
    write_rows(tmp_path / "traces", rows)
    monkeypatch.setattr("octomed_jax.cli.shard.shard", lambda *_: pytest.fail("shards were written"))
    monkeypatch.setattr("octomed_jax.traces.stage.manifests.is_finished", lambda _: False)
    words = ["shard", f"--config={root}/configs/demo.py:tiny", f"--traces={tmp_path / 'traces'}"]
    for weights, told in (("maed=1", "unknown source 'maed' (did you mean 'made'?)"), ("made=1,wrong=1", "'wrong'")):
        assert main([*words, f"--output={output.format(tmp_path)}", f"--config.mixture.weights={weights}"]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
