"""One row in OctoMed's schema as a question: what is read, what is refused, and in which words."""

import pyarrow as pa
import pytest
from adapter_helpers import TURNING
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from octomed_jax.errors import UserError
from octomed_jax.prompts import BOXED_SUFFIX, LETTERS
from octomed_jax.questions.reading.rows import COLUMNS, Defaults, clean_id, read_question
from octomed_jax.schema import QUESTION_SCHEMA, question_from_row, question_to_row
from octomed_jax.verification.check import check_response
from octomed_jax.verification.rows import RowError, without_letters
from octomed_jax.verification.text import plain_name

MCQ = {"question": "What is seen?", "options": ["A. Asthma", "B. Pneumonia"], "answer": "B"}


def no_file(name):
    raise UserError(f"no file {name!r}")


def read(row, defaults=Defaults()):  # noqa: B008
    return read_question(row, "f.jsonl line 3", no_file, lambda _: None, defaults).question


def refused(row):
    with pytest.raises(RowError) as error:
        read(row)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("f.jsonl line 3")
    return error.value


def test_a_row_with_nothing_but_question_and_answer():
    question = read({"question": "Which organ?", "answer": "the heart"})
    assert (question.question, question.answer, question.task) == ("Which organ?", "the heart", "short_answer")
    assert (question.source, question.benchmark, question.split) == ("octomed", "octomed", "train")
    assert (question.licence, question.access, question.images) == ("unknown", "open", ())
    assert question.cluster == question.id
    assert question.id.startswith("octomed:")


def test_every_column_is_carried():
    row = MCQ | {
        "id": "set:1", "task": "classification", "aliases": ["lung infection"], "split": "test", "source": "PMC-VQA",
        "benchmark": "pmc.vqa", "cluster": "patient 3", "modality": "CT", "body_region": "chest", "license": "MIT",
        "access": "credentialed", "explanation": "Look.", "lower_limit": "", "upper_limit": float("nan"),
        "responses": ["\\boxed{A}"], "image_hash": "abc",
    }  # fmt: skip
    question = read(row, Defaults("CC0-1.0", "open"))
    assert {name: getattr(question, name) for name in row if hasattr(question, name)} == {
        "id": "set:1", "task": "classification", "question": "What is seen?", "options": ("Asthma", "Pneumonia"),
        "answer": "Pneumonia", "aliases": ("lung infection",), "split": "test", "source": "PMC-VQA",
        "benchmark": "pmc.vqa", "cluster": "patient 3", "modality": "CT", "body_region": "chest",
        "access": "credentialed", "explanation": "Look.", "lower_limit": None, "upper_limit": None,
    }  # fmt: skip
    assert (question.licence, question.image_hashes) == ("MIT", ())


def test_what_a_row_does_not_say_holds_from_outside():
    assert read(MCQ, Defaults("CC0-1.0", "credentialed")).licence == "CC0-1.0"
    assert read(MCQ, Defaults("CC0-1.0", "credentialed")).access == "credentialed"
    # The strictest holds: no row of a credentialed file makes itself open.
    assert read(MCQ | {"access": "open"}, Defaults(access="credentialed")).access == "credentialed"


@pytest.mark.parametrize(
    ("fields", "column", "words"),
    [
        ({"question": None}, "question", "has no question; fill the column question"),
        ({"question": " \n"}, "question", "is no text; write the question there"),
        ({"question": 7}, "question", "question '7' is no text"),
        ({"question": "half \ud83d"}, "question", "'\\ud83d' is half a character, which UTF-8 cannot spell"),
        ({"answer": "\ud83d", "options": None}, "question", "is half a character"),
        ({"id": "\ud83d"}, "question", "is half a character"),
        ({"answer": ""}, "answer", "has no answer; fill the column answer"),
        ({"answer": None, "Answer": "B"}, "answer", "has no answer (did you mean 'Answer'?); rename that column"),
        ({"answer": {"text": "B"}}, "answer", "is no text; write the gold answer there"),
        ({"answer": b"B"}, "answer", "is no text"),
        ({"answer": []}, "answer", "is no text"),
        ({"answer": ["A", "B"]}, "answer", "answer holds 2 texts; give one"),
        ({"answer": "Gout"}, "answer", "answer 'Gout' is none of the options (Asthma; Pneumonia); give an option's"),
        ({"answer": "2"}, "answer", "answer '2' is none of the options"),
        ({"answer": "C"}, "answer", "answer 'C' is none of the options"),
        ({"answer": "A. Pneumonia"}, "answer", "answer 'A. Pneumonia' is none of the options"),
        ({"options": ["A. B", "B. A"]}, "answer", "is the letter of one option and the text of another"),
        ({"options": "Asthma or Pneumonia"}, "options", "options is no list"),
        ({"options": b"ab"}, "options", "options is no list"),
        ({"options": ["x", " "], "answer": "x"}, "options", "option 2 is empty"),
        ({"options": ["x", "y", "The X"], "answer": "x"}, "options", "options hold the answer 'x' more than once"),
        ({"options": ["x", "x "], "answer": "A"}, "options", "all options are 'x'; give what else may be chosen"),
        ({"options": ["x", "y", "x"], "answer": "A", "responses": ["A"]}, "options", "the answer 'x' more than once"),
        ({"options": [f"o{n}" for n in range(27)], "answer": "o1"}, "options", "27 options, more than letters"),
        ({"options": None, "task": "mcq"}, "options", "is mcq without options; give them as a list"),
        ({"options": None, "task": "classification"}, "options", "is a classification without options"),
        ({"options": None, "task": "yes_no"}, "answer", "is neither yes nor no"),
        ({"options": None, "task": "numeric"}, "answer", "answer 'B' is no number; write it as 4.5"),
        ({"options": None, "answer": "9", "upper_limit": 8}, "answer", "is not from None to 8.0, its limits"),
        ({"options": None, "answer": "9", "upper_limit": "high"}, "upper_limit", "upper_limit is no number"),
        ({"options": None, "answer": "9", "upper_limit": 1e999}, "lower_limit", "is infinite; leave the limit out"),
        ({"task": "mqc"}, "task", "unknown task 'mqc' (did you mean 'mcq'?)"),
        ({"task": "multi_label", "answer": ["A", "Gout"]}, "answer", "answer 'Gout' is none of the options"),
        ({"split": "validation"}, "split", "split 'validation' is neither train nor test; say one of them"),
        ({"benchmark": "../x"}, "benchmark", "benchmark '../x' may hold letters, digits, _ . - only"),
        ({"source": "a b"}, "source", "source 'a b' may hold"),
        ({"access": "secret"}, "access", "unknown access class 'secret'"),
        ({"licence": "MIT", "license": "CC0"}, "licence", "licence and license differ; keep one"),
        ({"id": ["x"]}, "id", "id is no text but list"),
        ({"id": True}, "id", "id is no text but bool"),
        ({"images": ["a.png"]}, "image", "has a column images; call it image"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_with_its_column_and_the_cure(fields, column, words):
    error = refused(MCQ | fields)
    assert words in str(error)
    assert error.column == column


def test_ids_are_of_the_content_or_made_fit_without_meeting():
    first = read(MCQ)
    assert read({**MCQ, "options": ["Asthma", "Pneumonia"], "answer": "Pneumonia"}).id == first.id
    others = [{"question": "What?"}, {"options": ["A. Asthma", "B. Gout"]}, {"options": ["A. Pneumonia", "B. Asthma"]}]
    assert len({first.id, *(read(MCQ | fields).id for fields in others)}) == 4
    assert read(MCQ | {"source": "PMC-VQA"}).id.startswith("pmc-vqa:")
    assert (read(MCQ | {"id": 0}).id, read(MCQ | {"id": "a:b_c-d.1"}).id) == ("0", "a:b_c-d.1")
    assert clean_id("PMC 12/3") == "pmc_12_3-9cd05a9d7410"
    spellings = ["A1", "a1", "a 1", "a/1", "a_1", "Ä", "漢", "x" * 128, "x" * 129, "x" * 130]
    assert len({clean_id(text) for text in spellings}) == len(spellings)
    for text in spellings:
        assert read(MCQ | {"id": text}).id == clean_id(text)
        assert len(clean_id(text)) <= 128
        assert not set(clean_id(text)) - set("abcdefghijklmnopqrstuvwxyz0123456789_.:-")


def turns(*texts):
    return [{"from": ("human", "gpt")[place % 2], "value": text} for place, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("row", "question", "options", "gold"),
    [
        (turns("What is seen?\nA. Asthma\nB. Pneumonia", "B"), "What is seen?", ("Asthma", "Pneumonia"), "Pneumonia"),
        (turns("What?\n(A) x\n(B) y\n" + BOXED_SUFFIX, "B: y"), "What?", ("x", "y"), "y"),
        (turns("Is it?\n" + BOXED_SUFFIX, "Yes"), "Is it?", (), "Yes"),
        (turns("A. is no option\nWhat?", "the heart"), "A. is no option\nWhat?", (), "the heart"),
        (turns("What?\nB. x\nC. y", "x"), "What?\nB. x\nC. y", (), "x"),
    ],
)
def test_a_conversation_is_read_where_its_gold_is_an_answer(row, question, options, gold):
    found = read({"conversations": row})
    assert (found.question, found.options, found.answer) == (question, options, gold)


def test_columns_come_before_what_a_conversation_says():
    row = {"conversations": turns("What?", "<think>so</think> \\boxed{A}"), "options": ["x", "y"], "answer": "B"}
    assert (read(row).question, read(row).answer) == ("What?", "y")
    assert read({**row, "question": "Why?"}).question == "Why?"
    assert read({"conversations": '[{"from": "human", "value": "Is it?"}]', "answer": "no"}).task == "yes_no"


@pytest.mark.parametrize(
    ("conversation", "words"),
    [
        (turns("What?", "<think>so</think>\\boxed{x}"), "hold no gold answer (the turn of gpt is a response)"),
        (turns("What?", "It is \\boxed{x}"), "is a response"),
        (turns("What?", "one\ntwo"), "is a response"),
        (turns("What?", "x" * 101), "is a response"),
        (turns("What?", " "), "the turn of gpt is missing"),
        (turns("What?"), "the turn of gpt is missing"),
        (turns("What?", "x", "Why?", "y"), "conversations of human, gpt, human, gpt cannot be read"),
        ([], "conversations of nobody cannot be read"),
        ([{"from": "gpt", "value": "x"}], "conversations of gpt cannot be read"),
        ([{"role": "user", "content": "x"}], "conversations of user cannot be read; one turn of human"),
        ([{"from": "human"}], "has a turn without a speaker or a text"),
        ("no json", "is no list of turns"),
        (turns("<image>\nWhat?", "x"), "1 <image> but 0 images"),
    ],
)
def test_a_conversation_that_cannot_be_read_honestly_is_refused(conversation, words):
    error = refused({"conversations": conversation})
    assert words in str(error)
    assert error.column == "conversations"


def test_an_option_stands_once():
    row = {"question": "Which?", "options": ["x", "y", " x", "z"], "answer": "D"}
    assert (read(row).options, read(row).answer) == (("x", "y", "z"), "z")
    assert read(row | {"answer": "C"}).answer == "x"
    genes = row | {"options": ["AA", "Aa", "AA", "aa"], "answer": "aB"}
    assert read(genes | {"options": [*genes["options"], "aB"]}).options == ("AA", "Aa", "aa", "aB")
    labels = row | {"task": "multi_label", "answer": ["x", "z"]}
    assert (read(labels).options, read(labels).answer) == (("x", "y", "z"), "x;z")


def test_options_stay_where_the_letters_of_responses_belong_to_them():
    row = {"question": "Which?", "options": ["x", "y", "y", "z"], "answer": "D"}
    assert read(row | {"responses": ["\\boxed{D}"]}).options == ("x", "y", "y", "z")
    assert read(row | {"responses": []}).options == ("x", "y", "z")
    assert read(row | {"option_order": [0, 1, 2, 3]}).options == ("x", "y", "y", "z")


LETTER = st.characters(codec="utf-8", exclude_categories=("Cc",), exclude_characters=TURNING)
WORDS = st.text(LETTER, min_size=1, max_size=12).map(str.strip)
STYLES = {"bare": "{1}", "dot": "{0}. {1}", "colon": "{0}: {1}", "round": "({0}) {1}"}


@given(
    question=WORDS.filter(bool),
    texts=st.lists(WORDS.filter(plain_name), min_size=2, max_size=6, unique_by=plain_name),
    data=st.data(),
)
def test_row_to_question_to_row_keeps_question_options_and_answer(question, texts, data):
    style = data.draw(st.sampled_from(sorted(STYLES)))
    place = data.draw(st.integers(0, len(texts) - 1))
    options = [STYLES[style].format(letter, text) for letter, text in zip(LETTERS, texts, strict=False)]
    # What is lettered or a letter by itself could be meant otherwise; that has cases of its own.
    assume(style != "bare" or not without_letters(options)[1])
    assume(all(len(text.strip("()[]. ")) > 1 for text in texts))
    assume(not any(plain_name(one) == plain_name(two) for one in options for two in texts) or style == "bare")
    gold = data.draw(st.sampled_from([texts[place], LETTERS[place], f"({LETTERS[place]})", options[place]]))
    row = {"task": "mcq", "question": question, "options": options, "answer": gold}
    found = question_to_row(read(row))
    assert (found["question"], found["options"], found["answer"]) == (question, texts, texts[place])
    assert read(found | {"id": None}) == read(row) or without_letters(texts)[1]
    assert question_from_row(found) == read(row)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["A", "B", "yes", "mcq", "numeric", "multi_label", "4", "\ud83d", "[]", '{"A": "x"}']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["from", "value", "A", "B"]), inner),
    max_leaves=6,
)


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from((*COLUMNS, "images")), VALUES))
def test_any_row_is_a_question_that_can_be_written_or_a_row_error(fields):
    for row in (fields, MCQ | fields):
        try:
            question = read(row)
        except RowError:
            continue
        assert question.answer
        assert question.cluster
        pa.Table.from_pylist([question_to_row(question)], schema=QUESTION_SCHEMA)


@given(number=st.decimals(-10_000, 10_000, places=2), width=st.floats(0.125, 100))
def test_a_numeric_gold_that_is_accepted_is_read_by_the_verifier(number, width):
    row = {"question": "How much?", "answer": str(number), "lower_limit": float(number) - width}
    question = read(row | {"upper_limit": float(number) + width})
    assert question.task == "numeric"
    assert check_response(question, f"\\boxed{{{question.answer}}}", "stop").verdict == "correct"
