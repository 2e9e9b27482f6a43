"""datatrove's InferenceRunner as a client; runs in an environment of its own, started by benchmarks/distill.py."""

import argparse
import gzip
import json
from pathlib import Path

from datatrove.data import Document
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter
from peer import MAX_TOKENS, SAMPLING, main

IN_FLIGHT = 500  # its default


async def rollout(document, generate):
    """Ask once; the runner calls this for every sample."""
    return await generate({"messages": [{"role": "user", "content": document.text}]})


def ask(options: argparse.Namespace, rows: list[dict[str, str]]) -> None:
    config = InferenceConfig(
        server_type="endpoint",
        endpoint_url=options.url,
        model_name_or_path="teacher",
        default_generation_params={**SAMPLING, "max_tokens": MAX_TOKENS},
        rollouts_per_document=options.samples,
        max_concurrent_generations=IN_FLIGHT,
        # Twice what fills the requests in flight, so that their places are taken while a document is finished.
        max_concurrent_documents=max(1, 2 * IN_FLIGHT // options.samples),
    )
    name, kept = "${rank}.jsonl.gz", {}
    if options.variant == "checkpoints":  # every reply is kept as it comes, and a killed run can go on
        name = "${rank}_chunk_${chunk_index}.jsonl.gz"
        kept = {"checkpoints_local_dir": str(options.output / "checkpoints"), "records_per_chunk": 500}
    runner = InferenceRunner(rollout, config, JsonlWriter(str(options.output / "data"), name), **kept)
    documents = [Document(text=row["prompt"], id=row["id"]) for row in rows]
    LocalPipelineExecutor([documents, runner], tasks=1, logging_dir=str(options.output / "logs")).run()


def count(output: Path) -> int:
    samples = 0
    for path in (output / "data").glob("*.jsonl.gz"):
        with gzip.open(path, "rt") as file:
            for line in file:
                samples += sum(bool(result["text"]) for result in json.loads(line)["metadata"]["rollout_results"])
    return samples


if __name__ == "__main__":
    main(ask, count)
