"""What was worked out serves the same command again, and none that its settings, versions or inputs tell apart."""

import pytest
from curation_helpers import curated, folder_bytes, held, make, make_config, text, write_folder

from octomed_jax.curation import decontaminate, deduplicate, settings, steps
from octomed_jax.curation.pictures import image_pieces

LEAK = text("leak", 20)
STOPPED = "octomed_jax.curation.curate.write_examples"


def stopped(output, folder, config, **how):
    """Curate until all steps are done, and stop there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(STOPPED, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            curated(output, folder, config, **how)


def counted(monkeypatch, module, name):
    calls, inner = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *given: (calls.append(name), inner(*given)))
    return calls


@pytest.fixture
def folder(tmp_path):
    some = [make(f"{number}", f"{LEAK} {text(number)}", images=[number]) for number in range(6)]
    some += [make("clean", text("clean")), make("other", text("other"))]
    return write_folder(tmp_path / "questions", [*some, held("held", LEAK, images=[9])])


def config(**fields):
    given = {"images": ("bytes", "pixels"), "held_out": "all", **fields}
    return make_config(decontaminate=given, deduplicate={"images": "pixels"})


@pytest.mark.parametrize(("first", "second"), [(5, 6), (6, 5), (0, 5), (5, 0)])
def test_with_other_common_runs_the_index_serves_and_overlaps_do_not(tmp_path, monkeypatch, folder, first, second):
    stopped(tmp_path / "out", folder, config(ignore_common=first))
    indexed = counted(monkeypatch, decontaminate, "_write_index")
    _, gone, _ = curated(tmp_path / "out", folder, config(ignore_common=second))
    assert indexed == []
    assert len(gone) == (0 if second == 5 else 6)
    curated(tmp_path / "whole", folder, config(ignore_common=second))
    assert folder_bytes(tmp_path / "out") == folder_bytes(tmp_path / "whole")


def test_another_split_of_a_set_is_another_input(tmp_path, folder):
    exam = write_folder(tmp_path / "exam", [make("learn", text("clean")), held("test", text("none"))])

    def against(split):
        given = config(ignore_common=6)
        given.curate.against = {"exam": {"folder": str(exam), "split": split}}
        return given

    stopped(tmp_path / "out", folder, against("test"))
    _, gone, _ = curated(tmp_path / "out", folder, against("all"))
    assert gone["made:clean"]["match_set"] == "exam"


@pytest.mark.parametrize("step", ["decontaminate", "deduplicate"])
def test_words_of_another_version_are_worked_out_anew(tmp_path, monkeypatch, folder, step):
    stopped(tmp_path / "out", folder, config())
    monkeypatch.setitem(settings.WORDS_VERSIONS, step, ("words-0",))
    indexed, keys = (
        counted(monkeypatch, decontaminate, "_write_index"),
        counted(monkeypatch, deduplicate, "write_keys"),
    )
    hashed = counted(monkeypatch, image_pieces, "hash_piece")
    curated(tmp_path / "out", folder, config())
    assert [len(indexed), len(keys), len(hashed)] == [step == "decontaminate", step == "deduplicate", 0]


def test_images_that_another_decoder_read_are_hashed_anew(tmp_path, monkeypatch, folder):
    stopped(tmp_path / "out", folder, config())
    for module in (settings, steps):
        monkeypatch.setattr(module, "PICTURES_VERSIONS", (settings.PICTURES_VERSIONS[0], "pillow-0"))
    indexed = counted(monkeypatch, decontaminate, "_write_index")
    hashed = counted(monkeypatch, image_pieces, "hash_piece")
    curated(tmp_path / "out", folder, config())
    assert (len(indexed), len(hashed)) == (0, 2)  # of both sides; words are read by no decoder
