"""The configs that are handed out say how to curate, with the fields that the stage knows and no others."""

import re
import unicodedata

import PIL
import pytest
from curation_helpers import curated, held, make, make_config, text, write_folder

from octomed_jax import configuration
from octomed_jax.curation import settings
from octomed_jax.curation.metadata import RULES_VERSION
from octomed_jax.curation.pictures.image_hashes import VERSION as HASHES_VERSION
from octomed_jax.curation.pictures.image_transform import VERSION as TRANSFORM_VERSION
from octomed_jax.curation.settings import check_settings, defaults, result_settings, steps
from octomed_jax.errors import UserError


@pytest.mark.parametrize("name", ["demo", "corpus", "octomed_3b", "octomed_7b"])
def test_every_config_has_all_fields(root, name):
    given = configuration.load(str(root / "configs" / f"{name}.py")).curate
    check_settings(given)
    known = configuration.plain(defaults())
    assert {step: set(given[step]) for step in steps()} == {step: set(known[step]) for step in steps()}


def test_the_demo_says_what_the_defaults_are(root):
    assert configuration.plain(configuration.load(str(root / "configs" / "demo.py")).curate) == configuration.plain(
        defaults()
    )


def test_the_paper_s_steps(root):
    given = configuration.load(str(root / "configs" / "octomed_7b.py")).curate
    assert given.steps == ("decontaminate", "balance", "transform")
    assert given.decontaminate.ngram == 16
    assert given.decontaminate.images == ("bytes",)
    assert given.decontaminate.held_out == "text"
    assert (given.difficulty.samples, given.difficulty.fewest, given.difficulty.most) == (16, 2, 14)


def test_make_corpus_curates_what_it_builds(root):
    recipe = (root / "Makefile").read_text().partition("\ncorpus:")[2].partition("\n\n")[0]
    assert recipe.index("questions build --config=configs/corpus.py") < recipe.index(
        "curate --config=configs/corpus.py"
    )


def versions(steps, **settings):
    plain = result_settings(make_config(steps, **settings).curate)["steps"]
    return {step["step"]: step.get("version", "").split(", ") for step in plain}


def test_a_step_names_the_version_of_each_definition_that_its_result_depends_on():
    unicode, pillow = f"unicode-{unicodedata.unidata_version}", f"pillow-{PIL.__version__}"
    steps = ("decontaminate", "deduplicate", "balance", "metadata", "transform")
    assert versions(steps) == {
        "decontaminate": ["words-1", unicode, "runs-2"],
        "deduplicate": ["words-1", unicode, "minhash-1"],
        "balance": [""],
        "metadata": [RULES_VERSION],
        "transform": [TRANSFORM_VERSION, pillow],
    }
    decoded = versions(steps, decontaminate={"images": ("near",)}, deduplicate={"images": "pixels"})
    assert decoded["decontaminate"][-2:] == decoded["deduplicate"][-2:] == [f"images-{HASHES_VERSION}", pillow]


@pytest.mark.parametrize("step", ["decontaminate", "deduplicate"])
def test_what_another_version_gave_is_not_taken_for_this_one_s(tmp_path, monkeypatch, step):
    folder = write_folder(tmp_path / "questions", [make("1", text(1)), make("2", text(2)), held("3", text(1))])
    _, _, before = curated(tmp_path / "out", folder)
    monkeypatch.setitem(settings.WORDS_VERSIONS, step, ("words-0",))
    with pytest.raises(UserError, match="made with other settings"):
        curated(tmp_path / "out", folder)
    _, _, after = curated(tmp_path / "again", folder)
    assert before.request != after.request


@pytest.mark.parametrize(
    ("group", "field", "line"),
    [
        ("", "step", "config.curate: unknown field 'step' (did you mean 'steps'?); known: steps, against, decont"),
        ("decontaminate", "ngrams", "config.curate.decontaminate: unknown field 'ngrams' (did you mean 'ngram'?)"),
        ("balance", "rato", "config.curate.balance: unknown field 'rato' (did you mean 'ratio'?)"),
        ("judge", "modle", "config.curate.judge: unknown field 'modle' (did you mean 'model'?)"),
    ],
)
def test_a_field_that_a_config_file_spells_wrongly_is_refused(group, field, line):
    config = make_config()
    (config.curate[group] if group else config.curate)[field] = 1
    with pytest.raises(UserError, match=re.escape(line)):
        check_settings(config.curate)


def test_attempts_are_checked_where_they_count():
    wrong = {"samples": 8, "most": 14}
    check_settings(make_config(difficulty=wrong).curate)  # no such step
    judge = {"endpoint": "http://127.0.0.1:9", "model": "x"}
    check_settings(make_config(["difficulty"], difficulty={**wrong, "by": "judge"}, judge=judge).curate)
    with pytest.raises(UserError, match="fewest=2, most=14, samples=8"):
        check_settings(make_config(["difficulty"], difficulty=wrong).curate)
    check_settings(make_config(["difficulty"], difficulty={"samples": 1, "fewest": 0, "most": 1}).curate)
