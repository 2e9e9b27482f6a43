"""``octomed import``: a published model becomes a checkpoint."""

from collections.abc import Sequence

from octomed_jax.cli.malloc import keep_freed_memory
from octomed_jax.cli.options import Parser, finish
from octomed_jax.hf.importing import import_model


def run(arguments: Sequence[str]) -> int:
    """Parse the options and import."""
    parser = Parser(
        "import",
        "Read a published Qwen2.5-VL model into a checkpoint that training starts from and export writes again.",
        "octomed import --model=Qwen/Qwen2.5-VL-7B-Instruct --output=models/qwen2_5_vl_7b",
    )
    parser.add_argument("--model", metavar="DIR_OR_ID", required=True, help="a Hugging Face folder, or a hub id")
    parser.add_argument("--output", metavar="DIR", required=True, help="the new folder")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error("import takes no config")
    keep_freed_memory()
    manifest = import_model(options.model, options.output)
    counts = manifest.counts
    dtype = manifest.extra["dtype"]
    summary = f"{counts['tensors']} tensors, {counts['parameters']:,} parameters in {dtype}: {options.output}"
    return finish(summary, {"output": options.output, **counts, **manifest.extra}, options.json)
