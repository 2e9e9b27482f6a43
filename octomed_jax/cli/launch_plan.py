"""``octomed launch plan``: what a job would take and cost, and which files it would be. No side effects."""

import contextlib
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octomed_jax import progress
from octomed_jax.cli import plan as training_plan
from octomed_jax.cli.launch_job import add_job, read_job
from octomed_jax.cli.options import Parser, finish, mesh_or_auto
from octomed_jax.errors import UserError
from octomed_jax.launching.measured import save_seconds
from octomed_jax.launching.plan import amounts, plan_launch, told
from octomed_jax.launching.prices import TABLE, read_prices
from octomed_jax.launching.reach import READ_SECONDS, UnreachableError, within
from octomed_jax.launching.record import last_record, load_command
from octomed_jax.launching.spec import PLACEHOLDER, JobSpec, plan_words
from octomed_jax.training.planning.chips import Topology, read_topology

NONE = "none"


def plan_command(arguments: list[str]) -> int:
    """Say what a job would take and cost; nothing is written and no cloud is asked."""
    parser = Parser(
        "launch plan",
        "Says what a job would be: machines, mesh, memory of a chip (from `octomed plan`, which compiles the step: a\n"
        "minute or two), time, cost from a dated price table (an estimate), the files that `render` would write, and\n"
        "how they differ from those of the last launch. Nothing is written, and no cloud is asked.",
        "octomed launch plan --config=configs/launch/octomed_7b_v5e_256.py --backend=jobset",
    )
    add_job(parser)
    parser.add_argument("--prices", metavar="FILE", default=str(TABLE), help="price table instead of the bundled one")
    parser.add_argument(
        "--training",
        metavar="FILE",
        help="what `octomed plan --json` printed for this job (topology, config and mesh are compared), instead of "
        f"compiling again; {NONE}: leave it out",
    )
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    options, config = parser.read_config(arguments)
    spec, place, _, roots = read_job(options, config)
    prices = read_prices(Path(options.prices))
    place.check(place.files(spec))  # a job that cannot be is refused before minutes are spent on its plan
    training, no_training = _training(spec, options.backend, options.training, roots)
    try:
        last, no_last = last_files(spec.workdir)
        measured = _measured(spec)
    except UnreachableError as error:
        last, no_last, measured = None, str(error), None
    planned = plan_launch(spec, place, prices, training, no_training, last, no_last)
    planned["grace"] = {"seconds": spec.grace_seconds, "slowest_checkpoint_seconds": measured}
    for line in told(planned):
        progress.say(line)
    return finish(_summary(planned), planned, options.json)


def _summary(planned: Mapping[str, Any]) -> str:
    size = planned["machines"]
    what = f"{size['chips']} chips" if size.get("chips") else f"{size.get('hosts', size.get('processes'))} hosts"
    spent = planned["cost"]
    price = "on this machine" if spent is None else "cost unknown"
    if spent and spent["for_its_hours"]:
        least = "" if spent["complete"] else "at least "
        price = f"{least}{amounts(spent['for_its_hours'])} {spent['currency']} for {planned['hours']} h (estimate)"
    return f"{planned['name']} by {planned['backend']}: {what}, {price}; nothing was written or started"


def _training(
    spec: JobSpec, place: str, figures: str | None, roots: Sequence[Path]
) -> tuple[dict[str, Any] | None, str]:
    """Return what `octomed plan` says of a job's training, or None and why."""
    words = plan_words(spec)
    if not words:
        return None, f"`octomed {spec.command.verb}` trains nothing"
    if place == "local":
        return None, "simulated devices have no memory of their own"
    if figures == NONE:
        return None, f"left out; get them with `{shlex.join(['octomed', *words])}`"
    if figures:
        return _read_figures(Path(figures), spec, _identity(spec, roots)), ""
    if _topology(spec).is_tpu:
        try:
            libtpu()
        except UserError as error:
            return None, str(error)

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        training_plan.run([*words[1:], "--json"])
    return json.loads(printed.getvalue()), ""


def _measured(spec: JobSpec) -> float | None:
    """Return the seconds that the slowest checkpoint in a job's work folder took; None: none can be seen."""
    try:
        measured = [] if PLACEHOLDER.search(spec.workdir) else save_seconds(spec.workdir)
    except UserError:
        return None
    return measured[-1] if measured else None


def libtpu() -> None:
    """Look for the TPU compiler.

    Raises:
        UserError: it is not installed.
    """
    from octomed_jax.training.planning import tpu_aot

    tpu_aot.libtpu()


def _topology(spec: JobSpec) -> Topology:
    """Return the topology that the words of the plan name."""
    [name] = [word.partition("=")[2] for word in plan_words(spec) if word.startswith("--topology=")]
    return read_topology(name, spec.slices)


def _identity(spec: JobSpec, roots: Sequence[Path]) -> str:
    """Return the name that `octomed plan` gives to what this job trains."""
    options = dict(option.partition("=")[::2] for option in spec.command.options)
    mesh = mesh_or_auto(options["mesh"]) if "mesh" in options else None
    return training_plan.identity(load_command(spec, roots, spec.command.overrides), mesh)


def _read_figures(path: Path, spec: JobSpec, identity: str) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"no such file: {path}; make it with `{shlex.join(['octomed', *plan_words(spec)])} --json`")
    try:
        found = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is no JSON: {error}") from error
    wanted = str(_topology(spec))
    if not isinstance(found, dict) or found.get("topology") != wanted or "peak_bytes_per_device" not in found:
        has = found.get("topology") if isinstance(found, dict) else None
        raise UserError(f"--training={path} is a plan for {has}, and the job is for {wanted}")
    if found.get("planned") != identity:
        raise UserError(
            f"--training={path} is a plan of another config or mesh than the job's; make it anew with "
            f"`{shlex.join(['octomed', *plan_words(spec)])} --json`"
        )
    if not _whole(found):
        raise UserError(f"--training={path} lacks figures of a plan; make it anew with `octomed plan --json`")
    return found


def _whole(found: Mapping[str, Any]) -> bool:
    """Return whether all figures that are shown are there."""

    def numbers(of: Mapping[str, Any], *names: str) -> bool:
        return all(isinstance(of.get(name), (int, float)) for name in names)

    run = found.get("run")
    told = not run or (
        isinstance(run, dict) and (not run.get("hours_low") or numbers(run, "steps", "hours_low", "hours_high"))
    )
    sizes = numbers(found, "peak_bytes_per_device", "hbm_bytes_per_device", "fits")
    return bool(told and sizes and isinstance(found.get("mesh"), dict))


def last_files(workdir: str) -> tuple[dict[str, str] | None, str]:
    """Return the rendered files of a job's last launch, from the record in its work folder; or None and why.

    Raises:
        UnreachableError: the work folder lies in a bucket that did not answer.
    """
    if PLACEHOLDER.search(workdir):
        return None, f"workdir={workdir} is still to be replaced"
    try:
        last = within(READ_SECONDS, workdir, lambda: last_record(workdir))
    except UnreachableError:
        raise
    except (OSError, ImportError, ValueError) as error:
        return None, f"{workdir} cannot be read from here ({' '.join(str(error).split())})"
    return (last[1], "") if last else (None, f"{workdir} has no record of one")
