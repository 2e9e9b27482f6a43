"""II-Medical-Reasoning-SFT: questions with a trace each, of Qwen3-235B-A22B and R1; the paper's "Medical-Inst".

It publishes no gold: there are ``model``, ``question``, ``problem`` and ``messages``. Its makers kept those traces
of Qwen3 that were right, but say neither which rows these are nor what was right, so a box at a trace's end is no gold:
every row is an instruction without any, and its trace a response that nobody here can check (docs/verifier.md).
Questions of one text, as many as it has traces, share a cluster. Some are Chinese.
"""

from collections.abc import Iterator

from octomed_jax import storage
from octomed_jax.prompts import BOXED_SUFFIX
from octomed_jax.questions.adapter import Adapter, Cells, PassedOver, Row, Split
from octomed_jax.questions.reading.turns import exchanges
from octomed_jax.verification.candidates import split_response


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row, and its trace as ``responses``."""
    found = exchanges(row["messages"], 0, "messages")
    if len(found) > 1:
        raise PassedOver("it is a talk of several turns")
    ((asked, trace),) = found
    parts = split_response(trace)
    if not parts.closed or not parts.answer:
        raise PassedOver("its trace is cut off" if not parts.closed else "its trace says nothing after its thought")
    question = asked.removesuffix(BOXED_SUFFIX).rstrip()  # ours says it again
    yield {
        "question": question,
        "task": "instruction",
        "cluster": storage.sha256_bytes(question.encode())[:24],
        "responses": [trace],
    }


II_MEDICAL = Adapter(
    name="ii-medical",
    title="text questions with traces of Qwen3 and DeepSeek-R1, without gold",
    kind="traces",
    home="https://huggingface.co/datasets/Intelligent-Internet/II-Medical-Reasoning-SFT",
    licence="unknown",
    citation="Intelligent Internet 2025, II-Medical-Reasoning-SFT",
    splits={"train": Split(("data/train-*.parquet", "train*"), 2_197_741)},
    cells=cells,
    columns=("messages",),
    hub="Intelligent-Internet/II-Medical-Reasoning-SFT",
)
SOURCES = (II_MEDICAL,)
