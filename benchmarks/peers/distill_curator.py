"""bespokelabs-curator's LLM as a client; runs in an environment of its own, started by benchmarks/distill.py."""

import argparse
import importlib.util
import os
from pathlib import Path

from peer import MAX_TOKENS, SAMPLING, main

# All it needs lies in its environment: the tokenizer by which it estimates tokens comes with litellm, as do prices.
LITELLM = Path(importlib.util.find_spec("litellm").origin).parent
os.environ["TIKTOKEN_CACHE_DIR"] = str(LITELLM / "litellm_core_utils" / "tokenizers")
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["TELEMETRY_ENABLED"] = "0"

from bespokelabs import curator  # noqa: E402

IN_FLIGHT = 128


class Teacher(curator.LLM):
    """Asks once for every row."""

    def prompt(self, row: dict) -> str:
        return row["prompt"]

    def parse(self, row: dict, response: str) -> dict:
        return {"id": row["id"], "sample": row["sample"], "response": response}


def ask(options: argparse.Namespace, rows: list[dict[str, str]]) -> None:
    teacher = Teacher(
        model_name="teacher",
        backend="openai",
        generation_params={**SAMPLING, "max_tokens": MAX_TOKENS},
        backend_params={
            "base_url": f"{options.url}/v1",
            "api_key": "none",
            "max_concurrent_requests": IN_FLIGHT,
            "max_requests_per_minute": 10**9,
            "max_tokens_per_minute": 10**15,
        },
    )
    asked = [{**row, "sample": number} for row in rows for number in range(options.samples)]
    teacher(asked, working_dir=str(options.output / "work")).dataset.to_parquet(str(options.output / "data.parquet"))


def count(output: Path) -> int:
    import pyarrow.parquet as pq

    return sum(map(bool, pq.read_table(output / "data.parquet")["response"].to_pylist()))


if __name__ == "__main__":
    main(ask, count)
