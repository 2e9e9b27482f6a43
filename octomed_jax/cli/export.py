"""``octomed export``: a checkpoint becomes a Hugging Face folder."""

import argparse
from collections.abc import Sequence
from typing import Any

from octomed_jax import configuration
from octomed_jax.cli.malloc import keep_freed_memory
from octomed_jax.cli.options import Parser, finish
from octomed_jax.configuration import plain
from octomed_jax.hf.export import export
from octomed_jax.hf.settings import Settings


def run(arguments: Sequence[str]) -> int:
    """Parse the options and export."""
    parser = Parser(
        "export",
        "Write a checkpoint as an ordinary Hugging Face folder in the published layout.\n"
        "Killed, it goes on after the last finished file; run again on a finished folder, it verifies what is new.",
        "octomed export --checkpoint=runs/demo/train --output=my-model",
    )
    parser.add_argument("--config", metavar="FILE[:ARG]", help="config file whose run and export section are meant")
    parser.add_argument(
        "--checkpoint", metavar="DIR", help="of `octomed train`, one of its checkpoints/STEP, or of `octomed import`"
    )
    parser.add_argument("--output", metavar="DIR", help="the new folder (with a config: RUN/export)")
    parser.add_argument("--dtype", metavar="DTYPE", help="float32 or bfloat16 (default: what config.json says)")
    parser.add_argument("--max-shard-gb", metavar="GB", type=float, help="most GB of a file (default 5)")
    parser.add_argument(
        "--verify", metavar="LEVELS", help="of structure, roundtrip, transformers, vllm (default: the first two)"
    )
    parser.add_argument("--adapter", action="store_true", help="write LoRA adapters as a PEFT folder, not merged")
    parser.add_argument("--metrics", metavar="DIR", help="of `octomed eval run`: its results go into the model card")
    parser.add_argument("--vllm", metavar="COMMAND", help="the vllm command, for that level (default: vllm)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options, overrides = parser.read(arguments)
    if not options.config and (overrides or not options.checkpoint or not options.output):
        parser.error("give --config, or --checkpoint and --output")
    checkpoint, output, given = options.checkpoint, options.output, {}
    if options.config:
        config = configuration.load(options.config, overrides)
        checkpoint, output = checkpoint or f"{config.run}/train", output or f"{config.run}/export"
        given = plain(config.export)
    keep_freed_memory()
    result = export(checkpoint, output, _settings(options, given), options.metrics)
    summary = f"{result['tensors']} tensors, {result['parameters']:,} parameters: {output}"
    return finish(summary, {"output": str(output), **result}, options.json)


def _settings(options: argparse.Namespace, given: dict[str, Any]) -> Settings:
    """Return the config's settings with what the command line says in their place."""
    if options.verify is not None:
        given["verify"] = tuple(level for level in options.verify.split(",") if level)
    for name in ("dtype", "max_shard_gb", "vllm"):
        if getattr(options, name) is not None:
            given[name] = getattr(options, name)
    return Settings(**given | {"verify": tuple(given.get("verify", Settings.verify))}, adapter=options.adapter)
