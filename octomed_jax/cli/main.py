"""``octomed VERB [SUBVERB]``: finds the verb, and turns every way a command can end into one line and an exit code."""

import contextlib
import importlib
import keyword
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from octomed_jax import __version__
from octomed_jax.errors import StopAndLook, TryAgain, UserError, did_you_mean
from octomed_jax.os_errors import explain_os_error

# verb -> one line for the overview; the module octomed_jax.cli.<verb> is loaded only when the verb is used.
VERBS = {
    "demo": "run the whole recipe on real medical input",
    "questions": "build questions from their sources",
    "curate": "take out what a recipe does not want to learn from",
    "teacher": "serve a teacher with vLLM, and try an endpoint",
    "distill": "ask the teacher, many times a question",
    "verify": "judge the attempts and keep the right ones",
    "shard": "write training shards and their index",
    "data": "describe, compare, trace and check a corpus, or write one for the hub",
    "train": "train the student",
    "plan": "compile the training step for a pod that is not rented yet",
    "eval": "measure a checkpoint on held-out benchmarks",
    "import": "read a published model into a checkpoint",
    "export": "write a checkpoint as a Hugging Face folder",
    "generate": "let a model answer conversations",
    "score": "give log-probabilities of the assistant's messages",
    "report": "draw the report of a run, or of a teacher's attempts",
    "launch": "plan, start and look after a job on a cluster or on this machine",
    "sweep": "expand and run a sweep of configs",
}

USAGE = """usage: octomed VERB [SUBVERB] [options]

{verbs}

octomed VERB --help shows the options of a verb with an example.
Exit codes: 0 done, 1 a bug of ours, 2 wrong input or config, 42 try again, 43 stop and look."""


def overview() -> str:
    """Return the text of ``octomed --help``."""
    return USAGE.format(verbs="\n".join(f"  {verb:<10} {text}" for verb, text in VERBS.items()))


def module_of(verb: str) -> ModuleType:
    """Load the module of a verb."""
    return importlib.import_module(f"octomed_jax.cli.{verb}_" if keyword.iskeyword(verb) else f"octomed_jax.cli.{verb}")


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    arguments = [word for word in argv if word != "--debug"]
    debug = len(arguments) != len(argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"octomed_jax {__version__}")
        return 0
    try:
        verb = arguments[0]
        if verb not in VERBS:
            raise UserError(f"unknown verb {verb!r}{did_you_mean(verb, list(VERBS))}; `octomed --help` lists them")
        return module_of(verb).run(arguments[1:]) or 0
    except (UserError, TryAgain, StopAndLook) as error:
        if debug:
            raise
        return _one_line(error)
    except KeyboardInterrupt:
        print("octomed: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # A full disk can show anywhere, also inside a library that writes for us.
        explained = explain_os_error(error, error.filename or "a file")
        if debug or not isinstance(explained, (UserError, TryAgain)):
            raise
        return _one_line(explained)


def _one_line(error: UserError | TryAgain | StopAndLook) -> int:
    print(f"octomed: {error}", file=sys.stderr)
    return error.exit_code


def entry() -> None:
    """Entry point of the ``octomed`` script."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry()
