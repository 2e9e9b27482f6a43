"""The configs that are handed out say how to curate, with the fields that the stage knows and no others."""

import pytest

from octomed_jax import configuration
from octomed_jax.curation.settings import check_settings, defaults, steps


@pytest.mark.parametrize("name", ["demo", "corpus", "octomed_3b", "octomed_7b"])
def test_every_config_has_all_fields(root, name):
    settings = configuration.load(str(root / "configs" / f"{name}.py")).curate
    check_settings(settings)
    known = configuration.plain(defaults())
    assert {step: set(settings[step]) for step in steps()} == {step: set(known[step]) for step in steps()}


def test_the_demo_says_what_the_defaults_are(root):
    assert configuration.plain(configuration.load(str(root / "configs" / "demo.py")).curate) == configuration.plain(
        defaults()
    )


def test_the_paper_s_steps(root):
    settings = configuration.load(str(root / "configs" / "octomed_7b.py")).curate
    assert settings.steps == ("decontaminate", "balance", "transform")
    assert settings.decontaminate.ngram == 16
    assert settings.decontaminate.images == ("bytes",)
    assert settings.decontaminate.held_out == "text"
    assert (settings.difficulty.samples, settings.difficulty.fewest, settings.difficulty.most) == (16, 2, 14)


def test_make_corpus_curates_what_it_builds(root):
    recipe = (root / "Makefile").read_text().partition("\ncorpus:")[2].partition("\n\n")[0]
    assert recipe.index("questions build --config=configs/corpus.py") < recipe.index(
        "curate --config=configs/corpus.py"
    )
