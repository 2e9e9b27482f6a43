"""The text of a user turn. Teacher, student and evaluation ask with the same words, so it stands below all of them."""

from octomed_jax.schema import Question

# Seen in the released model's use and in II-Medical's notes; docs/paper.md has what is known of the prompts.
BOXED_SUFFIX = "Please reason step-by-step, and put your final answer within \\boxed{}."
DIRECT_SUFFIX = "Answer in a short word or phrase."
# The form is seen in released traces of MedQA; what asked for it is not, these words are ours.
TAG_SUFFIX = "Please reason step-by-step, and put your final answer within <answer></answer>."
SUFFIXES = {"boxed": BOXED_SUFFIX, "tag": TAG_SUFFIX, "direct": DIRECT_SUFFIX}
# And how evaluation asks for a report, for which no short answer is to be marked; these words are ours.
REPORT_SUFFIX = "Write the report."
FORMATS = {**SUFFIXES, "report": REPORT_SUFFIX}

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def user_text(question: Question, answer_format: str = "boxed") -> str:
    """Return the user turn of a question: its text, its options, and how to answer.

    Multiple choice shows lettered options; classification lists its labels in one line, without letters.

    Raises:
        ValueError: ``answer_format`` is unknown.
    """
    if answer_format not in FORMATS:
        raise ValueError(f"unknown answer_format {answer_format!r}, one of {', '.join(FORMATS)}")
    return ask(question, FORMATS[answer_format])


def ask(question: Question, closing: str) -> str:
    """Return a question, its options, and the closing lines, which say how to answer."""
    lines = [question.question]
    if question.task == "mcq":
        lines += [f"{letter}. {option}" for letter, option in zip(LETTERS, question.options, strict=False)]
    elif question.options:
        lines.append("Options: " + ", ".join(question.options))
    return "\n".join([*lines, closing])
