"""What the peers' scripts share: the command line by which benchmarks/distill.py starts them."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

SAMPLING = {"temperature": 0.6, "top_p": 0.95}
MAX_TOKENS = 1024


def main(ask: Callable[[argparse.Namespace, list[dict[str, str]]], None], count: Callable[[Path], int]) -> None:
    """Ask about all prompts, or count the samples that an earlier call has written."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", help="the endpoint, without /v1")
    parser.add_argument("--prompts", type=Path, help="JSON lines with id and prompt")
    parser.add_argument("--samples", type=int, default=16, help="samples of each prompt")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--variant", default="", help="another way to ask, where the script knows one")
    parser.add_argument("--count", action="store_true", help="print how many samples lie in --output")
    options = parser.parse_args()
    if options.count:
        print(count(options.output))
    else:
        ask(options, [json.loads(line) for line in options.prompts.read_text().splitlines()])
