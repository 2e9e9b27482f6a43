"""Steps that decode images: shared and equal ones by pixels and by what they show, and the transform."""

import numpy as np
import pytest
from curation_helpers import FILES, curated, folder_bytes, held, make, make_config, reasons, text, write_folder
from curation_images import jpeg, patient, png, real_image, shown
from etils import epath
from PIL import Image, ImageOps

from octomed_jax import storage
from octomed_jax.curation.corpus import open_corpus
from octomed_jax.curation.pictures.image_pieces import hash_images
from octomed_jax.curation.pictures.image_transform import transform_image
from octomed_jax.curation.scratch import whole_folder
from octomed_jax.curation.transform import transform
from octomed_jax.errors import StopAndLook, UserError


@pytest.fixture(scope="module")
def pictures():
    """Copies of one picture as they come, and other pictures; by name."""
    one = patient(1)
    return {
        "bytes": png(one),
        "pixels": png(one.convert("RGB")),
        "recompressed": jpeg(one),
        "smaller": png(one.resize((96, 96), Image.Resampling.LANCZOS)),
        "cropped": png(one.crop((5, 4, 155, 157))),
        "flipped": png(ImageOps.mirror(one)),
        "other patient": png(patient(2)),
        "third patient": png(patient(3)),
    }


NEAR = ("recompressed", "smaller", "cropped")
CLEAN = ("flipped", "other patient", "third patient")


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        (("bytes",), {"bytes": "image_bytes"}),
        (("bytes", "pixels"), {"bytes": "image_bytes", "pixels": "image_pixels"}),
        (
            ("bytes", "pixels", "near"),
            {"bytes": "image_bytes", "pixels": "image_pixels", **dict.fromkeys(NEAR, "image_near")},
        ),
        (("near",), dict.fromkeys(("bytes", "pixels", *NEAR), "image_near")),
    ],
)
def test_images_of_held_out_questions_are_found(tmp_path, pictures, kinds, found):
    questions = [shown(make(name.replace(" ", "-"), text(name)), data) for name, data in pictures.items()]
    folder = write_folder(tmp_path / "q", [*questions, shown(held("test", text("test")), pictures["bytes"])])
    config = make_config(("decontaminate",), decontaminate={"images": kinds})
    left, gone, manifest = curated(tmp_path / "out", folder, config)
    assert reasons(gone) == found
    assert {row["match"] for row in gone.values()} == {"made:test"}
    assert {name.removeprefix("made:") for name in left} >= {name.replace(" ", "-") for name in CLEAN}
    step = manifest.counts["steps"][0]["settings"]
    assert ("images-1, pillow-" in step["version"]) == (kinds != ("bytes",))


@pytest.mark.parametrize(
    ("kind", "copies"), [("bytes", 0), ("pixels", 1), ("near", 4)], ids=["bytes", "pixels", "near"]
)
def test_equal_questions_are_duplicates_where_their_images_are(tmp_path, pictures, kind, copies):
    same = text("a question", 20)
    questions = [
        shown(make(f"{place}-{name.replace(' ', '-')}", same), data)
        for place, (name, data) in enumerate(pictures.items())
    ]
    config = make_config(("deduplicate",), deduplicate={"images": kind})
    _, gone, _ = curated(tmp_path / "out", write_folder(tmp_path / "q", questions), config)
    assert sorted(reasons(gone)) == [f"{place}-{name}" for place, name in enumerate(("pixels", *NEAR), 1)][:copies]
    assert {row["match"] for row in gone.values()} <= {"made:0-bytes"}


def labelled():
    """Return an ultrasound image, of 480,000 pixels, with the text that its machine burned into it."""
    return png(real_image("ultrasound"))


def test_the_transform_makes_images_smaller_and_deals_with_text(tmp_path):
    plain, large = png(patient(1)), png(patient(2, side=700))
    questions = [
        make("a-text", text(1)),
        shown(make("b-small", text(2)), plain),
        shown(make("c-large", text(3), modality="CT"), plain, large),
        shown(make("d-labelled", text(4), modality="ultrasound"), labelled()),
        shown(make("e-labelled-other", text(5), modality="CT"), labelled()),
    ]
    folder = write_folder(tmp_path / "q", questions)
    before = {one.id: one for one in questions}
    for policy in ("keep", "blank", "drop"):
        config = make_config(("transform",), transform={"burned_text": policy})
        left, gone, manifest = curated(tmp_path / policy, folder, config)
        assert reasons(gone) == ({"d-labelled": "burned_text"} if policy == "drop" else {})
        for name, one in left.items():
            wanted = policy if one.modality == "ultrasound" else "keep"
            assert one.images == tuple(transform_image(data, text=wanted).data for data in before[name].images)
            assert one.image_hashes == tuple(map(storage.sha256_bytes, one.images))
        changed = {name for name, one in left.items() if one.images != before[name].images}
        assert changed == {"made:c-large", "made:d-labelled", "made:e-labelled-other"} & set(left)
        assert left["made:c-large"].images[0] == plain
        told = manifest.counts["steps"][0]["images"]
        assert told == {"resized": 2 if policy == "drop" else 3, "text": 0 if policy == "keep" else 1}


def test_a_filled_in_modality_tells_whose_text_is_looked_for(tmp_path):
    question = shown(make("a", "What does this ultrasound show?"), labelled())
    folder = write_folder(tmp_path / "q", [question, make("b", text(1))])
    for steps, goes in ((("metadata", "transform"), {"made:a"}), (("transform", "metadata"), set())):
        config = make_config(steps, transform={"burned_text": "drop"})
        assert set(curated(tmp_path / steps[0], folder, config)[1]) == goes


def test_pieces_processes_and_order_do_not_matter(tmp_path, pictures, monkeypatch):
    questions = [
        shown(make(f"{index:02d}", text(index % 7), modality="ultrasound"), [*pictures.values()][index % 8])
        for index in range(24)
    ]
    questions[5] = shown(questions[5], labelled())
    folder = write_folder(tmp_path / "q", [*questions, shown(held("test", text("t")), pictures["pixels"])], row_group=3)
    config = make_config(
        ("transform", "decontaminate", "deduplicate"),
        decontaminate={"images": ("near",)},
        deduplicate={"images": "near"},
        transform={"burned_text": "blank", "max_pixels": 4000},
    )
    curated(tmp_path / "one", folder, config)
    monkeypatch.setattr("octomed_jax.curation.corpus.PIECE_ROWS", 4)
    monkeypatch.setattr("octomed_jax.curation.pictures.image_pieces.AT_ONCE", 5)
    curated(tmp_path / "many", folder, config, workers=2)
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "many")
    assert set(FILES) <= set(folder_bytes(tmp_path / "one"))


def test_an_image_that_cannot_be_decoded_is_one_line(tmp_path):
    folder = write_folder(tmp_path / "q", [shown(make("a", text(1)), b"\x89PNG\r\n\x1a\nno image")])
    for steps, settings in ((("deduplicate",), {"deduplicate": {"images": "near"}}), (("transform",), {})):
        with pytest.raises((UserError, StopAndLook), match="made:a"):
            curated(tmp_path / steps[0], folder, make_config(steps, **settings))
        assert not (tmp_path / steps[0]).exists()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"burned_text": "hide"}, "transform.burned_text='hide': one of keep, blank, drop"),
        ({"max_pixels": 10}, "transform.max_pixels=10: at least 784"),
        ({"modalities": ("sonar",)}, "transform.modalities: 'sonar' is none of CT, MRI"),
    ],
)
def test_settings_of_the_transform_are_checked(tmp_path, fields, error):
    folder = write_folder(tmp_path / "q", [make("a", text(1))])
    with pytest.raises(UserError, match=error):
        curated(tmp_path / "out", folder, make_config(("transform",), transform=fields))


def test_questions_without_images_pass(tmp_path):
    folder = write_folder(tmp_path / "q", [make("a", text(1)), held("b", text(2))])
    config = make_config(
        ("decontaminate", "deduplicate", "transform"),
        decontaminate={"images": ("bytes", "pixels", "near")},
        deduplicate={"images": "near"},
    )
    left, gone, _ = curated(tmp_path / "out", folder, config)
    assert (set(left), gone) == ({"made:a"}, {})
    assert np.all([not one.images for one in left.values()])


def test_what_was_transformed_for_other_questions_is_not_used(tmp_path):
    """As after a judge whose failed requests were asked again: other questions are left, others have a modality."""
    large = png(patient(1, side=700))
    folder = write_folder(tmp_path / "q", [shown(make(name, text(name)), large) for name in ("a", "b")])
    corpus = open_corpus([epath.Path(folder) / "questions.parquet"])
    settings = {"max_pixels": 262_144, "burned_text": "keep", "modalities": ()}
    for kept in ([True, False], [True, True]):
        changed = transform(corpus, np.array(kept), None, settings, tmp_path / "work", "local", 1)
        assert changed.counts == {"resized": sum(kept), "text": 0}


def test_a_piece_that_another_process_has_written_meanwhile_stays(tmp_path):
    with whole_folder(tmp_path / "piece") as partial:
        partial.mkdir()
        (partial / "mine").touch()
        (tmp_path / "piece").mkdir()
        (tmp_path / "piece" / "theirs").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["piece", "theirs"]


def test_copies_of_one_image_are_one_picture(tmp_path, pictures):
    copies = [shown(make(f"{index:03d}", text(index)), pictures["bytes"]) for index in range(60)]
    folder = write_folder(tmp_path / "q", [*copies, shown(held("test", text("t")), pictures["recompressed"])])
    hashed = hash_images(open_corpus([epath.Path(folder) / "questions.parquet"]), "", tmp_path / "work", "local", 1)
    assert (len(hashed.images.owner), hashed.first.tolist(), set(hashed.picture.tolist())) == (60, [0], {0})
    config = make_config(("decontaminate",), decontaminate={"images": ("near",)})
    questions = [*copies, make("none", text("n"))]
    folder = write_folder(tmp_path / "r", [*questions, shown(held("test", text("t")), pictures["recompressed"])])
    assert set(curated(tmp_path / "out", folder, config)[1]) == {one.id for one in copies}
