"""What ``octomed generate`` and ``octomed score`` share: a model, a file of conversations, and a file to write."""

import argparse
from collections.abc import Sequence

from octomed_jax.cli.options import Parser, mesh_sizes
from octomed_jax.inputs.conversation import Messages, read_conversations

FILE = """

FILE is a list of conversations, each a list of {"role", "content"}; content is a string or a list of
{"type": "text", "text"} and {"type": "image", "image": a path beside FILE or a data URL}."""


class ConversationParser(Parser):
    """A parser with the options that both commands have."""

    def __init__(self, verb: str, description: str, example: str):
        super().__init__(verb, description + FILE, example)
        self.add_argument("--model", metavar="DIR", required=True, help="a Hugging Face folder of Qwen2.5-VL")
        self.add_argument("--messages", metavar="FILE", required=True, help="the conversations, JSON")
        self.add_argument("--output", metavar="FILE", required=True, help="what to write, JSON; replaced if it exists")
        self.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the computation")
        self.add_argument("--batch", metavar="N", type=int, default=8, help="conversations at once (default 8)")
        self.add_argument(
            "--mesh",
            metavar="AXIS=SIZE",
            type=mesh_sizes,
            default={},
            help="devices to use, such as fsdp=-1 for all: weights lie over fsdp, conversations over data and fsdp "
            "(default: one device)",
        )
        self.add_argument("--json", action="store_true", help="print the summary as JSON")

    def read_conversations(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[Messages]]:
        """Parse, and read the conversations."""
        options, overrides = self.read(arguments)
        if overrides:
            self.error(f"{self.prog.split()[-1]} takes no config")
        return options, read_conversations(options.messages)
