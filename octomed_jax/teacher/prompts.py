"""What a teacher is asked, by task and answer format, as versioned templates.

The paper does not publish its teacher's prompts. Seen in use of the released model: the boxed line for every task, and
the direct line of the free VQA sets. The released traces of MedQA end with ``<answer>E</answer>``, but the words that
asked for it are unknown. Everything else here is ours: which form the answer of a task is to take, so that a rule can
read it, and all words of the ``tag`` format.
"""

import dataclasses
from collections.abc import Mapping

from octomed_jax.prompts import BOXED_SUFFIX, DIRECT_SUFFIX, TAG_SUFFIX, ask
from octomed_jax.schema import OPEN_TASKS, TASKS, Question

_FORM = {
    "mcq": "The final answer is the letter of the right option.",
    "yes_no": "The final answer is yes or no.",
    "numeric": "The final answer is a number.",
    "multi_label": "The final answer is the list of all labels that apply, separated by semicolons.",
    "classification": "The final answer is one of the options, word for word.",
    "short_answer": "The final answer is a word or a short phrase.",
}
_OPEN = {
    "report": "Please reason step-by-step, and then write the report.",
    "instruction": "Please reason step-by-step, and then answer.",
}


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A way to ask.

    Attributes:
        name: with its version; part of what a request is known by.
        origin: which words are seen and which are ours.
        closing: task to the lines that follow the question and its options.
    """

    name: str
    origin: str
    closing: Mapping[str, str]

    def text(self, question: Question) -> str:
        """Return the user turn of a question."""
        return ask(question, self.closing[question.task])


def _by_task(suffix: str, form: Mapping[str, str]) -> dict[str, str]:
    """Return the closing lines of every task; reports and instructions have no short answer to be marked."""
    return {task: _OPEN[task] if task in OPEN_TASKS else f"{form[task]}\n{suffix}" for task in TASKS}


PROMPTS = {
    "boxed": Prompt(
        "boxed-1",
        "the last line as seen with the released model; the line before it, which says what the answer is, is ours",
        _by_task(BOXED_SUFFIX, _FORM),
    ),
    "tag": Prompt(
        "tag-1",
        "ours; the released traces of MedQA end with such a tag, the words that asked for it are unknown",
        _by_task(TAG_SUFFIX, _FORM),
    ),
    "direct": Prompt(
        "direct-1",
        "the line of short answers as seen with the released model's free VQA sets; the others are ours",
        {
            "mcq": "Answer with the letter of the right option.",
            "yes_no": "Answer yes or no.",
            "numeric": "Answer with a number.",
            "multi_label": "Answer with all labels that apply, separated by semicolons.",
            "classification": "Answer with one of the options, word for word.",
            "short_answer": DIRECT_SUFFIX,
            "report": "Write the report.",
            "instruction": "Answer.",
        },
    ),
}
