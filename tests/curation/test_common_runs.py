"""``ignore_common``: runs of words that many questions to learn from have are a template, and do not count."""

import pytest
from curation_helpers import curated, folder_bytes, held, make, make_config, text, write_folder

TEMPLATE = text("template", 20)


def questions(many):
    """Return so many questions of a template, one of which goes on as a held-out one does."""
    some = [make(f"t{number:02d}", f"{TEMPLATE} {text(number, 20)}") for number in range(many)]
    return [*some, make("leak", text("leak")), make("clean", text("clean")), held("t", f"{TEMPLATE} {text(3, 20)}"),
            held("leak held", text("leak"))]  # fmt: skip


def config(most, **fields):
    return make_config(["decontaminate"], decontaminate={"ignore_common": most, **fields})


@pytest.mark.parametrize(("most", "gone"), [(0, 13), (12, 13), (11, 2)])
def test_a_template_goes_unless_more_have_it(tmp_path, most, gone):
    folder = write_folder(tmp_path / "questions", questions(12), row_group=3)
    _, removed, manifest = curated(tmp_path / "out", folder, config(most))
    assert len(removed) == gone
    # What goes on in the held-out words goes all the same, and the leak, whose words are of one question.
    assert {"made:t03", "made:leak"} <= set(removed)
    step = manifest.counts["steps"][0]
    assert [step.get(name) for name in ("common_runs", "common_left_in")] == {0: [None] * 2, 12: [0, 0], 11: [5, 11]}[
        most
    ]
    assert ("11 (share only some of 5 runs" in (tmp_path / "out" / "card.md").read_text()) == (most == 11)


def test_what_an_earlier_step_took_out_does_not_count(tmp_path):
    some = [*questions(6), *(make(f"t{number:02d} again", f"{TEMPLATE} {text(number, 20)}") for number in range(6))]
    folder = write_folder(tmp_path / "questions", some)
    for steps, left in ((("decontaminate", "deduplicate"), 5), (("deduplicate", "decontaminate"), 0)):
        given = config(8)
        given.curate.steps = steps
        stay, _, _ = curated(tmp_path / steps[0], folder, given)
        assert sum(name.startswith("made:t") for name in stay) == left


def test_the_same_bytes_from_any_number_of_processes_and_pieces(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "questions", questions(30), row_group=4)
    curated(tmp_path / "one", folder, config(9))
    monkeypatch.setattr("octomed_jax.curation.corpus.PIECE_ROWS", 8)
    curated(tmp_path / "two", folder, config(9), workers=2)
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "two")


def test_a_run_of_another_length_is_another_run(tmp_path):
    folder = write_folder(tmp_path / "questions", questions(12))
    _, removed, manifest = curated(tmp_path / "out", folder, config(11, ngram=8))
    assert manifest.counts["steps"][0]["common_runs"] == 13
    assert set(removed) == {"made:t03", "made:leak"}
