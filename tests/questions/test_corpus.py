import pytest

from octomed_jax import configuration
from octomed_jax.questions.packages.build import build_questions
from octomed_jax.questions.packages.choices import family, held_out
from octomed_jax.questions.packages.registry import SOURCES, find_source
from octomed_jax.questions.packages.source import check_settings
from octomed_jax.traces.lake import iterate_questions

CORPUS = "configs/corpus.py"
# Few of each, so that the test is short.
FEW = {"side_pixels": 56, "views_each": 1, "tiles_each": 1}


def test_the_corpus_is_of_all_sources():
    config = configuration.load(CORPUS)
    settings = configuration.plain(config.questions)
    assert set(settings) == set(SOURCES)
    for name in settings:
        check_settings(find_source(name), settings[name])
    assert config.run == "runs/corpus"
    assert config.curate.steps == ("decontaminate", "deduplicate")


@pytest.mark.usefixtures("packages")
def test_a_small_corpus_holds_a_disease_out_of_every_source(tmp_path):
    settings = configuration.plain(configuration.load(CORPUS).questions)
    small = [
        f"questions.{source}.{field}={FEW.get(field, 4)}" for source, fields in settings.items() for field in fields
    ]
    manifest = build_questions(configuration.load(CORPUS, small), tmp_path / "questions", workers=1)
    train, test = (
        list(iterate_questions(tmp_path / "questions" / f"{name}.parquet")) for name in ("questions", "heldout")
    )
    assert (manifest.counts["train"], manifest.counts["test"]) == (len(train), len(test))
    assert {question.source for question in train + test} == set(SOURCES)
    assert not {"mmlu_sample", "medplexity", "medmcqa_sample"} & {question.source for question in train}
    named = ("hpo_diseases", "hpo_terms", "uniprot_diseases", "wordnet")
    for question in train + test:
        if question.source in named:
            assert held_out(family(question.answer)) == (question.split == "test")
        if question.options:
            assert question.options.count(question.answer) == 1
    assert all(question.explanation for question in train)
    card = (tmp_path / "questions" / "card.md").read_text()
    for words in ("LicenseRef-HPO", "CC-BY-4.0", "GPL-3.0", "WordNet 3.0", "Orphanet", "UniProt", "Hendrycks"):
        assert words in card
