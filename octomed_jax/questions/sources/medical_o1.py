"""HuatuoGPT-o1's verifiable problems: exam questions made open, each with a short answer."""

from collections.abc import Iterator

from octomed_jax.questions.adapter import Adapter, Cells, Row, Split

QUESTION, ANSWER = "Open-ended Verifiable Question", "Ground-True Answer"


def cells(row: Row, split: str) -> Iterator[Cells]:  # noqa: ARG001
    """Yield the question of a row."""
    yield {"question": row[QUESTION], "task": "short_answer", "answer": row[ANSWER]}


PROBLEMS = Adapter(
    name="medical-o1-verifiable-problem",
    title="exam questions made open, with short answers",
    kind="text",
    home="https://huggingface.co/datasets/FreedomIntelligence/medical-o1-verifiable-problem",
    licence="Apache-2.0",
    citation="Chen et al. 2024, arXiv:2412.18925",
    splits={"train": Split(("medical_o1_verifiable_problem.json", "*.json", "data/train-*.parquet", "*.parquet"))},
    cells=cells,
    columns=(QUESTION, ANSWER),
    hub="FreedomIntelligence/medical-o1-verifiable-problem",
)
SOURCES = (PROBLEMS,)
