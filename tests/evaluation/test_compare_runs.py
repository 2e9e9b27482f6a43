"""Two runs of `octomed eval run` compared: what the samples of a real run say is enough to refuse other images."""

import pytest
from eval_helpers import at, make_question, png, write_heldout
from eval_server import eval_server

from octomed_jax.errors import UserError
from octomed_jax.evaluation.comparison import compare
from octomed_jax.evaluation.run import evaluate


def test_questions_of_one_text_and_other_images_are_refused(tmp_path):
    for name, first in (("one", 0), ("copy", 0), ("other", 50)):
        questions = [make_question(number, [png(8, first + number)]) for number in range(4)]
        if name == "copy":  # the same questions, and one more: another folder
            questions.append(make_question(9, benchmark="further"))
        write_heldout(tmp_path / name, questions)
        with eval_server() as server:
            evaluate(at(server, seeds=2, max_new_tokens=64), "unused", tmp_path / name, tmp_path / f"eval {name}")
    found = compare(tmp_path / "eval one", tmp_path / "eval copy", ["benchmarks"])
    assert {one["verdict"] for one in found["benchmarks"].values()} == {"no evidence of a difference"}
    assert not any("images" in note for note in found["notes"])
    with pytest.raises(UserError, match=r"^the images of question 'made:1' .* are not the same in A and B"):
        compare(tmp_path / "eval one", tmp_path / "eval other")
