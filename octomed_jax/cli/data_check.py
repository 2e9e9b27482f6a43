"""``octomed data check``: proves that the folders of a run are whole and belong together."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from octomed_jax import progress
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import StopAndLook

DESCRIPTION = """Proves of a run, or of one stage's folder: checksums (every file of each manifest is hashed), counts
(computed anew from the files) and links (each folder was made from the one before it, and each row fits those that it
was made of), from questions over attempts, traces, shards and renderings to training and export. Nothing is changed.

Give further folders where inputs lie elsewhere. Exit code 0: all of it holds; 43: something is damaged or does not
fit, each problem on one line with its cure; 2: no such folder."""
PIPE_WIDTH = 200


def check(arguments: Sequence[str]) -> int:
    """prove that the folders of a run are whole and belong together"""
    parser = Parser(
        "data check", DESCRIPTION, "octomed data check runs/my\n  octomed data check runs/my/shards --quick"
    )
    parser.add_argument("folders", metavar="DIR", nargs="+", help="folder of a run, or of one of its stages")
    parser.add_argument(
        "--quick", action="store_true", help="hash only small files, and count rows without reading them"
    )
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        parser.error(f"--config.{overrides[0]} overrides a config, and this command has none")
    from octomed_jax.lineage.check import check as check_folders

    result = check_folders(options.folders, options.quick).table()
    names = ", ".join(options.folders)
    if not options.json:
        _print(result)
    if result["problems"]:
        count = len(result["problems"])
        if options.json:
            finish("", result, True)
            return StopAndLook.exit_code
        raise StopAndLook(f"{names}: {count} problem{'s' if count > 1 else ''}, named above with what to do")
    files = sum(one["files"] for one in result["folders"])
    summary = f"{names}: {len(result['folders'])} folders with {files:,} files hold what their manifests say"
    return finish(summary, result, options.json)


def _print(result: dict) -> None:
    """Print what was proven as a table, and each problem on a line."""
    table = Table(title="What was proven", title_justify="left")
    for name in ("stage", "folder"):
        table.add_column(name)
    for name in ("files", "bytes"):
        table.add_column(name, justify="right")
    table.add_column("proven")
    for one in result["folders"]:
        proven = Text("; ".join(one["proven"]))
        if count := len(one["problems"]):
            proven = Text(f"{count} problem{'s' if count > 1 else ''}; ", "bold red") + proven
        table.add_row(one["stage"], Text(one["folder"]), f"{one['files']:,}", _size(one["bytes"]), proven)
    console = progress.console
    if not console.is_terminal:
        console = Console(stderr=True, highlight=False, width=PIPE_WIDTH)
    console.print(table)
    for folder in result["unfinished"]:
        progress.say(f"{folder} is not finished, or its manifest is gone; it was not looked into")
    for line in result["problems"]:
        progress.say(line)


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
