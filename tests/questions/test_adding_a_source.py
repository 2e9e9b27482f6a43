"""docs/adding-a-source.md, done as it says: its files are written, its adapter is named, its commands are run."""

import importlib.util
import re
from pathlib import Path

import pytest
from adapter_helpers import built, picture, refused

from octomed_jax.cli.main import main
from octomed_jax.questions import registry

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-source.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def lungquiz(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    folder = tmp_path / "lungquiz"
    (folder / "figures").mkdir()
    for number in (1, 2, 3):
        (folder / "figures" / f"{number}.png").write_bytes(picture(number))
    source = tmp_path / "octomed_jax" / "questions" / "sources" / "lungquiz.py"
    spec = importlib.util.spec_from_file_location("lungquiz", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for adapter in module.SOURCES:
        monkeypatch.setitem(registry.ADAPTERS, adapter.name, adapter)
    return folder


def test_the_adapter_of_the_page_reads_the_rows_of_the_page(lungquiz, tmp_path):
    train, test, manifest = built("lungquiz", lungquiz, tmp_path / "out")
    assert [(one.question, one.answer, one.options[0]) for one in train] == [
        ("Which lobe is affected?", "Right upper lobe", "Left upper lobe"),
        ("What is seen?", "Effusion", "Effusion"),
    ]
    assert [(one.answer, one.cluster, one.modality, one.body_region) for one in test] == [
        ("Effusion", "3.png", "X-ray", "chest")
    ]
    assert train[0].images == (picture(1),)
    assert manifest.counts["passed_over"] == {"not in English": 1}
    assert manifest.counts["published_splits"] == {"train": 3, "test": 1}
    assert "Nobody 2026" in (tmp_path / "out" / "card.md").read_text()


def test_a_row_that_contradicts_itself_is_named(lungquiz, tmp_path, capsys):
    path = lungquiz / "train.csv"
    path.write_text(path.read_text().replace(",Effusion,Pneumothorax,2", ",Effusion,Pneumothorax,1"))
    line = refused(capsys, "lungquiz", lungquiz, tmp_path / "out")
    assert f"{path} line 4: right is 1, where there is no choice (nothing is written;" in line


def test_it_is_listed(lungquiz, capsys):  # noqa: ARG001
    assert main(["questions", "list"]) == 0
    assert "lungquiz*" in capsys.readouterr().out


def test_every_word_of_code_that_the_page_names_exists():
    for name in re.findall(r"`(octomed_jax/[\w/]+\.py)`", PAGE):
        assert (Path(__file__).parents[2] / name).exists(), name
