"""``octomed launch status``, ``logs``, ``stop`` and ``down``: look after a job that was started."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from octomed_jax import progress
from octomed_jax.cli.options import Parser, finish
from octomed_jax.errors import UserError
from octomed_jax.launching import control
from octomed_jax.launching.backends.base import LogOptions
from octomed_jax.launching.backends.table import backend
from octomed_jax.launching.record import FACTS, Launch, read_launch
from octomed_jax.launching.state import UNKNOWN

SINCE = re.compile(r"[1-9]\d*[smh]")


def status_command(arguments: Sequence[str]) -> int:
    """Show how a job is, by the backend's own command."""
    parser = _parser(
        "status",
        "Shows how a job is, by the backend's own command, and in one word that is the same for all of them: waiting,\n"
        "running, done, failed, stopped, gone, or unknown where it cannot be told.",
    )
    parser.add_argument("--json", action="store_true", help="print that word, and which start it is, as JSON instead")
    options, launch = _read(parser, arguments)
    folder = Path(options.output)
    if options.dry_run:
        words = backend(launch.backend).ask_state(launch.spec, folder) if options.json else None
        control.dry_run(words or control.commands(launch, folder, "status"))
        return 0
    if not options.json:
        control.run(launch, folder, "status")
    found = control.look(launch, folder)
    result = {name: getattr(launch, name) for name in FACTS} | {"name": launch.spec.name, **dataclasses.asdict(found)}
    words = f" ({found.said})" if found.state == UNKNOWN else ""
    return finish(f"{launch.run_id}: {found.state}{words}; {_which(launch)}", result, options.json)


def stop_command(arguments: Sequence[str]) -> int:
    """Ask a job to save a checkpoint and end; `up` goes on."""
    return _simple(
        "stop",
        "Asks a job to save a checkpoint and to end, within its grace. `octomed launch up` goes on from there.",
        arguments,
    )


def down_command(arguments: Sequence[str]) -> int:
    """Remove all that `up` made; without --yes, only list it."""
    parser = _parser("down", "Removes all that `up` made, and nothing of the work folder. Without --yes it lists that.")
    parser.add_argument("--yes", action="store_true", help="remove it")
    options, launch = _read(parser, arguments)
    folder = Path(options.output)
    for line in backend(launch.backend).removed(launch.spec):
        progress.say(f"launch: {'removing' if options.yes else 'would remove'} {line}")
    if options.dry_run or not options.yes:
        control.dry_run(control.commands(launch, folder, "down"))
        print(f"nothing was removed; `octomed launch down --output={folder} --yes` removes it")
        return 0
    control.run(launch, folder, "down")
    print(f"{launch.run_id}: taken down; {launch.spec.workdir} stays, with the record in {launch.record}")
    return 0


def logs_command(arguments: Sequence[str]) -> int:
    """Show the log of a job: of one process or all, its end, or as it comes."""
    parser = _parser("logs", "Shows the log of a job.", " --rank=0 --tail=20")
    parser.add_argument("--rank", type=int, metavar="N", help="of one process (default: of all)")
    parser.add_argument("--tail", type=int, metavar="LINES", default=0, help="the last lines only")
    parser.add_argument("--since", metavar="TIME", default="", help="not older, such as 90s, 10m or 2h")
    parser.add_argument("--follow", action="store_true", help="go on as lines come")
    options, launch = _read(parser, arguments)
    if options.since and not SINCE.fullmatch(options.since):
        raise UserError(f"--since={options.since} must be a number of seconds, minutes or hours, such as 90s, 10m, 2h")
    for name, least in (("rank", 0), ("tail", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name}={value} must be {least} or more")
    wanted = LogOptions(options.rank, options.tail, options.since, options.follow)
    return _do(launch, Path(options.output), "logs", options.dry_run, wanted)


def _parser(verb: str, description: str, example: str = "") -> Parser:
    parser = Parser(f"launch {verb}", description, f"octomed launch {verb} --output=runs/launch-local{example}")
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder that `octomed launch up` was given")
    parser.add_argument("--dry-run", action="store_true", help="only show the command")
    return parser


def _read(parser: Parser, arguments: Sequence[str]) -> tuple:
    options, overrides = parser.read(arguments)
    if overrides:
        raise UserError(f"--config.{overrides[0]}: a job that was started is as it is; change it with `up`")
    return options, read_launch(Path(options.output))


def _simple(verb: str, description: str, arguments: Sequence[str]) -> int:
    options, launch = _read(_parser(verb, description), arguments)
    return _do(launch, Path(options.output), verb, options.dry_run)


def _do(launch: Launch, folder: Path, verb: str, dry_run: bool, options: LogOptions | None = None) -> int:
    if dry_run:
        control.dry_run(control.commands(launch, folder, verb, options))
    else:
        control.run(launch, folder, verb, options)
        if verb == "stop":
            print(f"{launch.run_id}: {_which(launch)}")
    return 0


def _which(launch: Launch) -> str:
    return f"start {launch.start} of {launch.at}, {launch.backend}; record {launch.record}"
