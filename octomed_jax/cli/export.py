"""``octomed export``: a checkpoint becomes a Hugging Face folder."""

from collections.abc import Sequence

from octomed_jax.cli.options import Parser, finish
from octomed_jax.hf.export import export


def run(arguments: Sequence[str]) -> int:
    """Parse the options and export."""
    parser = Parser(
        "export",
        "Write the newest checkpoint as an ordinary Hugging Face folder in the published layout.",
        "octomed export --config=configs/demo.py --output=my-model",
    )
    parser.add_config()
    parser.add_argument("--workdir", metavar="DIR", help="of `octomed train` (default RUN/train)")
    parser.add_argument("--student", metavar="DIR", help="tokenizer and configs (default RUN/shards/student)")
    parser.add_argument("--output", metavar="DIR", help="the new folder (default RUN/export)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options, config = parser.read_config(arguments)
    output = options.output or f"{config.run}/export"
    manifest = export(
        config, options.workdir or f"{config.run}/train", options.student or f"{config.run}/shards/student", output
    )
    summary = f"{manifest.counts['tensors']} tensors, {manifest.counts['parameters']:,} parameters: {output}"
    return finish(summary, {"output": str(output), **manifest.counts, **manifest.extra}, options.json)
