"""distilabel's OpenAILLM as a client; runs in an environment of its own, started by benchmarks/distill.py."""

import argparse
from pathlib import Path

from datasets import load_from_disk
from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration
from peer import MAX_TOKENS, SAMPLING, main

BATCH = 16_000  # requests at once: it begins no batch before it has finished the one before


def ask(options: argparse.Namespace, rows: list[dict[str, str]]) -> None:
    at_once = options.samples
    if options.variant == "single":  # a sample a request, as the others ask
        rows, at_once = [row for row in rows for _ in range(options.samples)], 1
    with Pipeline("distill", cache_dir=options.output / "cache") as pipeline:
        load = LoadDataFromDicts(data=[{"instruction": row["prompt"]} for row in rows], batch_size=BATCH)
        asking = TextGeneration(
            llm=OpenAILLM(
                model="teacher",
                base_url=f"{options.url}/v1",
                api_key="none",
                generation_kwargs={**SAMPLING, "max_new_tokens": MAX_TOKENS},
            ),
            num_generations=at_once,
            group_generations=True,
            input_batch_size=BATCH,
            add_raw_input=False,
            add_raw_output=False,
        )
        load >> asking
    made = pipeline.run(use_cache=False)
    made.save_to_disk(
        str(options.output / "data"), save_card=False, save_pipeline_config=False, save_pipeline_log=False
    )


def count(output: Path) -> int:
    made = load_from_disk(str(output / "data" / "default"))["train"]["generation"]
    return sum(sum(map(bool, [row] if isinstance(row, str) else row)) for row in made)


if __name__ == "__main__":
    main(ask, count)
