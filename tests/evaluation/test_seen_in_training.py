"""What of an evaluation was seen in training: found by brute force, in every kind of folder that can be named."""

import io
import json
import random
import re

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from octomed_jax import manifests, storage
from octomed_jax.cli.main import main
from octomed_jax.curation.curate import curate
from octomed_jax.curation.pictures.image_sources import SOURCES_FILE, SOURCES_SCHEMA
from octomed_jax.curation.settings import defaults
from octomed_jax.errors import UserError
from octomed_jax.evaluation.seen_in_training import accuracy_by_seen, read_seen, seen_in_training, write_seen
from octomed_jax.schema import QUESTION_SCHEMA, Question, Record, question_to_row
from octomed_jax.traces import lake
from octomed_jax.traces.stage import shard_records

RUN = [f"word{number}" for number in range(40)]


def text(seed, count=24):
    draw = random.Random(seed)
    return " ".join(f"{draw.choice('bcdfg')}{draw.randrange(10**6)}" for _ in range(count))


def picture(seed, **how):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 24), dtype=np.uint8)
    Image.fromarray(pixels).save(file, format="PNG", **how)
    return file.getvalue()


def ask(name, question, split, images=(), options=(), **fields):
    hashes = tuple(map(storage.sha256_bytes, images))
    plain = {"id": f"made:{name}", "source": "made", "benchmark": "medqa", "split": split, "answer": "this"}
    plain |= {"task": "short_answer", "question": question, "options": tuple(options)}
    return Question(**{**plain, "images": tuple(images), "image_hashes": hashes, **fields})


def train(name, question, *images, **fields):
    return ask(name, question, "train", images, **fields)


def held(name, question, *images, **fields):
    return ask(name, question, "test", images, **fields)


def write_folder(folder, questions, row_group=3):
    for split, file in (("train", "questions.parquet"), ("test", "heldout.parquet")):
        some = sorted((one for one in questions if one.split == split), key=lambda one: one.id)
        lake.write_rows(folder / file, map(question_to_row, some), QUESTION_SCHEMA, row_group)
    counts = {split: sum(one.split == split for one in questions) for split in ("train", "test")}
    files = manifests.hash_files(folder)
    manifests.write_manifest(folder, manifests.Manifest("questions", {}, counts=counts, files=files))
    return folder


def looked_up(tmp_path, questions, trained, **how):
    scratch = tmp_path / "scratch"
    scratch.mkdir(parents=True)
    rows, told = seen_in_training(questions, [trained] if not isinstance(trained, list) else trained, scratch, **how)
    return {row["id"].removeprefix("made:"): row for row in rows}, told


def normal(question):
    return re.findall(r"\w+", " ".join([question.question, *question.options]).lower())


def runs(question):
    words = normal(question)
    return {tuple(words[first : first + 16]) for first in range(len(words) - 15)}


def test_words_by_brute_force(tmp_path):
    draw = random.Random(0)
    stock = [text(seed, 9).split() for seed in range(12)]
    questions = []
    for number in range(90):
        words = [word for _ in range(3) for word in draw.choice(stock)] + text(1000 + number, 4).split()
        options = [" ".join(draw.choice(stock)[:4]) for _ in range(draw.randrange(3))]
        split = "test" if number % 3 else "train"
        questions.append(ask(f"{number:03d}", " ".join(words), split, options=options))
    folder = write_folder(tmp_path / "questions", questions)
    learnt = [one for one in questions if one.split == "train"]
    for most in (0, 2):
        common = [run for run in set().union(*map(runs, learnt)) if sum(run in runs(one) for one in learnt) > most]
        ignored = set(common) if most else set()
        expected = {
            one.id.removeprefix("made:"): any(runs(one) & runs(other) - ignored for other in learnt)
            for one in questions
            if one.split == "test"
        }
        rows, told = looked_up(tmp_path / str(most), folder, folder, ignore_common=most)
        assert {name: row["seen"] for name, row in rows.items()} == expected
        assert 0 < told["seen"] == sum(expected.values()) < told["n"] == len(expected)
        by_id = {one.id: one for one in questions}
        for name, row in rows.items():
            if row["seen"]:  # the run that is named is in both
                run = tuple(row["shared"].split())
                assert run in runs(by_id[f"made:{name}"]) & runs(by_id[row["trained_on"]])
            else:
                assert row["trained_on"] == row["folder"] == row["shared"] == ""


SHORT = "Which enzyme of the liver makes urea out of ammonia, mostly?"
LEARNT = [
    train("a", " ".join(RUN)),
    train("b", SHORT, options=["arginase", "urease"]),
    train("c", "What is shown?", picture(1)),
    train("d", f"What does this picture show, {text('asked', 18)}?", picture(2)),
    train("e", "Which finding of the lung is seen on this film, mostly?", picture(5)),
]
MEASURED = {
    "sixteen": (held("sixteen", f"{text(1)} {' '.join(RUN[3:19])}"), True, True, ""),
    "fifteen": (held("fifteen", f"{text(2)} {' '.join(RUN[3:18])} {text(3)}"), False, False, ""),
    "punctuation": (held("punctuation", ", ".join(RUN).upper()), True, True, ""),
    "whole": (held("whole", SHORT.lower(), options=["nothing else"]), True, True, ""),
    "whole again": (held("whole again", SHORT, options=["other"], benchmark="headqa"), True, True, ""),
    "whole of a picture": (held("whole of a picture", LEARNT[4].question), False, False, ""),
    "same bytes": (held("same bytes", "Is it normal?", picture(7), picture(1)), True, False, "bytes"),
    "same pixels": (held("same pixels", "Is it normal?", picture(2, compress_level=0)), True, False, "pixels"),
    "same words": (held("same words", LEARNT[3].question, picture(3)), False, True, ""),
    "clean": (held("clean", text(4)), False, False, ""),
    "clean picture": (held("clean picture", "What is shown?", picture(4)), False, False, ""),
}


def expected():
    return {name: (seen, words, image) for name, (_, seen, words, image) in MEASURED.items()}


def found(rows):
    return {name: (row["seen"], row["words"], row["image"]) for name, row in rows.items()}


def measured(tmp_path):
    return write_folder(tmp_path / "measured", [one for one, *_ in MEASURED.values()])


def test_words_and_images_of_every_kind(tmp_path):
    trained = write_folder(tmp_path / "trained", LEARNT)
    rows, told = looked_up(tmp_path, measured(tmp_path), trained)
    assert found(rows) == expected()
    assert {name: rows[name]["trained_on"] for name in ("sixteen", "whole", "same bytes", "same pixels")} == {
        "sixteen": "made:a", "whole": "made:b", "same bytes": "made:c", "same pixels": "made:d",
    }  # fmt: skip
    assert rows["sixteen"]["shared"] == " ".join(RUN[3:19])
    assert rows["sixteen"]["folder"] == str(trained)
    assert told["benchmarks"]["headqa"] == {"n": 1, "seen": 1, "words": 1, "image": 0, "words_alone": 0}
    assert (told["n"], told["seen"], told["words_alone"], told["n_trained"]) == (11, 6, 1, 5)
    assert told["trained"] == {str(trained): manifests.read_manifest(trained, "questions").identity}


def test_nothing_is_seen_of_what_curation_has_decontaminated(tmp_path):
    extra = [train(f"{number}", text(100 + number)) for number in range(5)]
    whole = write_folder(tmp_path / "whole", [*LEARNT, *extra, *(one for one, *_ in MEASURED.values())])
    config = ConfigDict({"seed": 0, "curate": defaults()})
    config.curate.steps = ("decontaminate",)
    config.curate.decontaminate.images = ("bytes", "pixels")
    curate(config, [whole], tmp_path / "curated", workers=1)
    assert looked_up(tmp_path / "a", whole, whole)[1]["seen"] == 6
    rows, told = looked_up(tmp_path / "b", tmp_path / "curated", tmp_path / "curated")
    assert {name for name, row in rows.items() if row["seen"]} == set()
    assert (told["n"], told["n_trained"]) == (len(MEASURED), len(extra) + 1)  # "e" is like one with images alone


def test_images_by_bytes_alone(tmp_path):
    trained = write_folder(tmp_path / "trained", LEARNT)
    rows, _ = looked_up(tmp_path, measured(tmp_path), trained, images=("bytes",))
    assert (rows["same bytes"]["image"], rows["same pixels"]["image"]) == ("bytes", "")


def test_shards_and_a_lake_are_read_as_what_was_trained_on(tmp_path):
    shard_records([Record(one, ("an answer",)) for one in LEARNT], tmp_path / "shards")
    traces = tmp_path / "traces"
    for part, some in enumerate((LEARNT[:2], LEARNT[2:])):
        rows = [{**question_to_row(one), "responses": []} for one in some]
        lake.write_rows(traces / "lake" / f"part-{part:05d}.parquet", rows, QUESTION_SCHEMA)
    manifests.write_manifest(traces, manifests.Manifest(stage="verify", config={}))
    questions = measured(tmp_path)
    for place, folder in (("a", tmp_path / "shards"), ("b", traces)):
        rows, told = looked_up(tmp_path / place, questions, folder)
        assert found(rows) == expected()
        assert told["n_trained"] == len(LEARNT)


def test_several_folders_and_which_one_it_was(tmp_path):
    folders = [write_folder(tmp_path / f"part {number}", [one]) for number, one in enumerate(LEARNT)]
    rows, _ = looked_up(tmp_path, measured(tmp_path), folders)
    assert found(rows) == expected()
    assert {name: rows[name]["folder"][-1] for name in ("sixteen", "whole", "same pixels")} == {
        "sixteen": "0", "whole": "1", "same pixels": "3",
    }  # fmt: skip


def test_an_image_that_was_changed_is_known_by_what_it_was(tmp_path):
    before, after = picture(8), picture(9)
    questions = write_folder(tmp_path / "questions", [held("x", "What is shown?", before)])
    trained = write_folder(tmp_path / "trained", [train("y", "What is it?", after)])
    pair = {"image_hash": storage.sha256_bytes(after), "source_hash": storage.sha256_bytes(before)}
    rows, _ = looked_up(tmp_path / "a", questions, trained)
    assert not rows["x"]["seen"]
    lake.write_rows(trained / SOURCES_FILE, [pair], SOURCES_SCHEMA)
    rows, _ = looked_up(tmp_path / "b", questions, trained)
    assert (rows["x"]["seen"], rows["x"]["image"], rows["x"]["trained_on"]) == (True, "bytes", "made:y")


def test_images_that_cannot_be_decoded_are_told_and_compared_by_their_bytes(tmp_path):
    questions = write_folder(tmp_path / "questions", [held("x", "What?", b"no image"), held("y", "Why?", picture(1))])
    trained = write_folder(tmp_path / "trained", [train("z", "Where?", b"no image")])
    rows, told = looked_up(tmp_path, questions, trained)
    assert (rows["x"]["image"], rows["y"]["image"]) == ("bytes", "")
    assert told["unreadable"] == {"held_out": 1, "trained": 1}


def test_words_of_credentialed_questions_are_not_written(tmp_path):
    questions = write_folder(tmp_path / "questions", [held("x", " ".join(RUN), access="credentialed")])
    rows, _ = looked_up(tmp_path, questions, write_folder(tmp_path / "trained", LEARNT))
    assert (rows["x"]["seen"], rows["x"]["shared"]) == (True, "")


def test_the_command_writes_which_and_how_many(tmp_path, capsys):
    questions, trained = measured(tmp_path), write_folder(tmp_path / "trained", LEARNT)
    output = tmp_path / "seen.jsonl"
    words = ["eval", "seen", f"--questions={questions}", f"--trained={trained}"]
    assert main([*words, f"--output={output}"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == f"6 of 11 held-out questions were seen in training; by question: {output}"
    assert {row["id"] for row in map(json.loads, output.read_text().splitlines()) if row["seen"]} == {
        f"made:{name}" for name, (_, seen, *_) in MEASURED.items() if seen
    }
    assert sum(read_seen(output).values()) == 6
    assert main([*words, "--images=bytes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["seen"], told["settings"]["images"]) == (5, ["bytes"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--trained=nowhere"], "nowhere does not exist"),
        (["--trained={trained}", "--trained={trained}"], "is named twice"),
        (["--trained={trained}", "--images=byte"], "images: 'byte' is none of bytes, pixels, near"),
        (["--trained={trained}", "--ignore-common=-1"], "ignore_common=-1: 0 (all count) or more"),
        (["--trained={measured}"], "holds no questions to learn from"),
        (["--trained={trained}", "--output={trained}"], "is a folder; name a file"),
        (["--trained={trained}", "--questions={trained}"], "holds out no questions"),
        (["--trained={trained}", "--output=gs://bucket/seen.jsonl"], "lies in a bucket; results are written to a disk"),
        (["--trained={trained}", "--outptu=x"], "did you mean '--output'"),
        ([], "--trained"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, more, words):
    places = {"measured": measured(tmp_path), "trained": write_folder(tmp_path / "trained", LEARNT)}
    arguments = [one.format(**places) for one in more]
    assert main(["eval", "seen", f"--questions={places['measured']}", *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in error


def sample(name, verdict, benchmark="medqa", **fields):
    return {"id": name, "benchmark": benchmark, "verdict": verdict, "finish_reason": "stop", **fields}


def test_accuracy_with_and_without_what_was_seen():
    samples = [sample("x", "correct"), sample("x", "wrong"), sample("y", "correct"), sample("z", "unparsed")]
    samples += [sample("z", "wrong", error="gone"), sample("w", "correct", "aptos")]
    told = accuracy_by_seen(samples, {"x": True, "y": False, "z": False, "w": False})
    assert told == {
        "aptos": {"seen": {"n": 0, "accuracy": None}, "unseen": {"n": 1, "accuracy": 1.0}},
        "medqa": {"seen": {"n": 1, "accuracy": 0.5}, "unseen": {"n": 2, "accuracy": 0.5}},
    }
    with pytest.raises(UserError, match="question v of medqa is not among those that were looked up"):
        accuracy_by_seen([sample("v", "correct")], {})


def test_an_odd_end_of_line_within_a_row_is_none_of_its_lines(tmp_path):
    rows = [{"id": f"a{sign}b", "seen": True} for sign in "\u2028\x85\x1c"]
    write_seen(tmp_path / "seen.jsonl", rows)
    assert list(read_seen(tmp_path / "seen.jsonl")) == [row["id"] for row in rows]


def test_a_file_that_is_cut_is_refused(tmp_path):
    path = tmp_path / "seen.jsonl"
    path.write_text('{"id": "x", "seen": true}\n{"id": "y", "se')
    with pytest.raises(UserError, match="line 2 is no row of `octomed eval seen`"):
        read_seen(path)
    with pytest.raises(UserError, match="no such file"):
        read_seen(tmp_path / "other.jsonl")
