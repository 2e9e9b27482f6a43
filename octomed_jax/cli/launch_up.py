"""``octomed launch up``: start a job."""

from collections.abc import Sequence
from pathlib import Path

from octomed_jax.cli.launch_job import add_job, add_output, read_job
from octomed_jax.cli.options import Parser, finish
from octomed_jax.launching import control
from octomed_jax.launching.code_state import code_state
from octomed_jax.launching.record import command_config
from octomed_jax.launching.render import render


def up_command(arguments: Sequence[str]) -> int:
    """Render a job and start it; again after a stop, it goes on."""
    parser = Parser(
        "launch up",
        "Renders a job, keeps a record of it in the work folder, and starts it with the backend's own command, which "
        "is shown. A job that was stopped goes on after its last checkpoint.",
        "octomed launch up --config=configs/launch/demo_local.py --backend=local --output=runs/launch-local",
    )
    add_job(parser)
    add_output(parser)
    parser.add_argument("--dry-run", action="store_true", help="render, show the command, and start nothing")
    parser.add_argument("--json", action="store_true", help="print the run id and the record's folder as JSON")
    options, config = parser.read_config(arguments)
    spec, place, file, roots = read_job(options, config)
    folder = Path(options.output)
    resolved, code = command_config(spec, roots), code_state(file.parent)
    if options.dry_run:
        files = [str(path) for path in render(spec, place, folder)]
        commands = place.up(spec, folder)
        control.dry_run(commands)
        result = {"files": files, "commands": [list(words) for words in commands]}
        return finish(f"nothing was started; the files lie in {folder}", result, options.json)
    launch = control.up(spec, place, folder, resolved, code)
    look = f"octomed launch status --output={folder}"
    result = {"run_id": launch.run_id, "start": launch.start, "record": launch.record, "name": spec.name}
    return finish(
        f"{launch.run_id}: started (start {launch.start}); its record: {launch.record}; `{look}` shows how it is",
        result,
        options.json,
    )
