"""A question with an image that cannot be read goes, and is counted; more than a few stop the work."""

import pytest
from curation_helpers import curated, folder_bytes, held, make, make_config, picture, reasons, text, write_folder
from PIL import Image

from octomed_jax import storage
from octomed_jax.cli.main import main
from octomed_jax.curation import transform
from octomed_jax.images.decode import encode_png

TORN = picture(1)[:60]
BROKEN = {"torn": TORN, "no-image": b"no image", "empty": b""}
NARROW = encode_png(Image.new("L", (2001, 10)))


def shown(question, *files):
    """Return a question with these files as its images."""
    hashes = tuple(map(storage.sha256_bytes, files))
    return type(question)(**{**vars(question), "images": files, "image_hashes": hashes})


STEPS = {
    "decontaminate": {"images": ("pixels", "near")},
    "deduplicate": {"images": "near"},
    "transform": {},
}


@pytest.mark.parametrize("step", STEPS)
def test_a_question_with_an_image_that_cannot_be_read_goes(tmp_path, step):
    questions = [
        *(shown(make(name, text(name)), picture(2), data) for name, data in BROKEN.items()),
        shown(make("narrow", text("narrow")), NARROW),
        make("fine", text("fine"), images=[3, 4]),
        make("bare", text("bare")),
        held("held", text("held"), images=[5]),
        shown(held("held torn", text("held torn")), TORN),
    ]
    folder = write_folder(tmp_path / "questions", questions, row_group=2)
    config = make_config([step], **{step: STEPS[step]})
    left, gone, manifest = curated(tmp_path / "out", folder, config, most_left_out=0.7)
    names = [*BROKEN, *(["narrow"] if step == "transform" else [])]
    assert reasons(gone) == dict.fromkeys(names, "unreadable_image")
    assert all(f"an image of {name} " in row["detail"] for name, row in gone.items())
    assert {"made:fine", "made:bare"} <= set(left)
    told = manifest.counts["steps"][0]
    assert told["reasons"] == {"unreadable_image": len(names)}
    assert told.get("unreadable_held_out") == (1 if step == "decontaminate" else None)
    curated(tmp_path / "again", folder, config, most_left_out=0.7, workers=2)
    assert folder_bytes(tmp_path / "again") == folder_bytes(tmp_path / "out")


def test_of_a_thousand_questions_one_may_go(tmp_path, capsys):
    questions = [make(f"{number:04d}", text(number, 5)) for number in range(999)]
    one, two = (shown(make(name, text(name)), TORN) for name in ("torn a", "torn b"))
    few = write_folder(tmp_path / "few", [*questions, one])
    words = ["curate", "--workers=1", "--config.curate.steps=transform"]
    assert main([*words, f"--questions={few}", f"--output={tmp_path / 'out'}"]) == 0
    assert "999 of 1,000 questions are left" in capsys.readouterr().out
    many = write_folder(tmp_path / "many", [*questions, one, two])
    words = [*words, f"--questions={many}", f"--output={tmp_path / 'other'}"]
    assert main(words) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("octomed: an image of made:torn a ")
    assert line.endswith("(nothing is written; so it is with 1 more of 1001 questions; 0.1% may be left out, more with "
                         "--most-left-out)")  # fmt: skip
    assert not (tmp_path / "other").exists()
    # What was worked out before serves again.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transform, "transform_piece", None)
        assert main([*words, "--most-left-out=0.002"]) == 0
    assert "999 of 1,001 questions are left" in capsys.readouterr().out


def test_held_out_images_that_cannot_be_read_stop_the_comparison_too(tmp_path, capsys):
    folder = write_folder(tmp_path / "questions", [make("1", text(1), images=[1]), shown(held("2", text(2)), TORN)])
    words = ["curate", f"--questions={folder}", f"--output={tmp_path / 'out'}", "--workers=1"]
    words += ["--config.curate.steps=decontaminate", "--config.curate.decontaminate.images=pixels"]
    assert main(words) == 2
    assert "an image of made:2 " in capsys.readouterr().err
    assert main([*words, "--most-left-out=1"]) == 0


def test_what_cannot_be_read_takes_no_other_question_with_it(tmp_path):
    """By its other images it would be a copy of a question that is whole."""
    whole, torn = make("b", text(1), images=[1]), shown(make("a", text(1)), picture(1), TORN)
    folder = write_folder(tmp_path / "questions", [whole, torn])
    config = make_config(["deduplicate"], deduplicate={"images": "pixels"})
    left, gone, _ = curated(tmp_path / "out", folder, config, most_left_out=0.5)
    assert (set(left), reasons(gone)) == ({"made:b"}, {"a": "unreadable_image"})


def test_images_are_hashed_once_for_all_steps_and_settings(tmp_path, monkeypatch):
    """What was worked out is used again by other settings that it does not depend on."""
    questions = [make(f"{number}", text(number // 2), images=[number]) for number in range(8)]
    folder = write_folder(tmp_path / "questions", [*questions, held("held", text("held"), images=[7])])
    settings = {"decontaminate": {"images": ("pixels",)}, "deduplicate": {"images": "pixels", "threshold": 0.9}}
    first = make_config(**settings)
    second = make_config(("deduplicate", "decontaminate", "balance"), seed=3, **settings)
    second.curate.deduplicate.threshold = 0.8
    second.curate.decontaminate.images = ("bytes", "pixels")
    curated(tmp_path / "whole", folder, second)
    calls = []

    def stopped(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("octomed_jax.curation.curate.write_examples", stopped)
        with pytest.raises(KeyboardInterrupt):
            curated(tmp_path / "out", folder, first)
    assert (tmp_path / ".out.partial" / "removed.parquet").exists()  # of the first settings
    for module, name in (("pictures.image_pieces", "hash_piece"), ("deduplicate", "write_keys")):
        monkeypatch.setattr(f"octomed_jax.curation.{module}.{name}", lambda one: calls.append(one))
    curated(tmp_path / "out", folder, second)
    assert calls == []
    assert folder_bytes(tmp_path / "out") == folder_bytes(tmp_path / "whole")


def test_what_other_settings_worked_out_is_not_used(tmp_path):
    questions = [make(f"{number}", text(number // 2), images=[number // 4]) for number in range(8)]
    folder = write_folder(tmp_path / "questions", [*questions, held("held", text("held"), images=[7])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("octomed_jax.curation.curate.write_card", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            curated(tmp_path / "out", folder, make_config(("decontaminate", "deduplicate", "metadata")))
    other = {"decontaminate": {"ngram": 8}, "deduplicate": {"near": False}}
    curated(tmp_path / "out", folder, make_config(**other))
    curated(tmp_path / "whole", folder, make_config(**other))
    assert folder_bytes(tmp_path / "out") == folder_bytes(tmp_path / "whole")
    assert not (tmp_path / "out" / "metadata.parquet").exists()
