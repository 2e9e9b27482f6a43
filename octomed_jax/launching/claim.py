"""Who looks after a job: one folder of rendered files at a time, named in the work folder, from `up` until `down`.

Two folders would count starts of their own, and start the job twice over one work folder. A bucket has no locks: two
`up` that begin within the same second are not kept apart by this.
"""

import json
import socket
from pathlib import Path

from etils import epath

from octomed_jax import storage
from octomed_jax.errors import StopAndLook, UserError
from octomed_jax.launching.reach import READ_SECONDS, WRITE_SECONDS, within
from octomed_jax.launching.spec import JobSpec


def claim_path(spec: JobSpec) -> epath.Path:
    """Return the file of a job: jobs of other names may work in the same folder, one after the other."""
    return epath.Path(spec.workdir) / "launch" / f"{spec.name}.claim.json"


def refuse_claimed(spec: JobSpec, folder: Path, run_id: str | None) -> None:
    """Refuse a job that another folder looks after.

    Args:
        spec: the job.
        folder: that asks.
        run_id: of what was started from it; None: nothing was.

    Raises:
        UserError: another one does, or the work folder cannot be read.
        StopAndLook: what is written there is damaged.
    """
    claim = _read(spec)
    if claim is None or claim["run_id"] == run_id:
        return
    if (claim["host"], claim["folder"]) == (socket.gethostname(), str(folder.absolute())):
        return  # of a start whose own record was removed
    raise UserError(
        f"{claim['run_id']} was started from {claim['folder']} on {claim['host']}, for workdir={spec.workdir} too; "
        f"go on from there, or take it down there (`octomed launch down --output={claim['folder']} --yes`); where that "
        f"folder is gone and nothing runs, remove {claim_path(spec)}"
    )


def write_claim(spec: JobSpec, folder: Path, run_id: str) -> None:
    """Say that a folder looks after a job.

    Raises:
        UserError: the work folder cannot be written.
    """
    claim = {"run_id": run_id, "host": socket.gethostname(), "folder": str(folder.absolute())}
    within(WRITE_SECONDS, spec.workdir, lambda: storage.write_json(claim_path(spec), claim))


def release(spec: JobSpec, run_id: str) -> None:
    """Say that nobody looks after a job any more; what another folder has claimed stays.

    Raises:
        UserError: the work folder cannot be read.
        StopAndLook: what is written there is damaged.
    """
    claim = _read(spec)
    if claim is not None and claim["run_id"] == run_id:
        within(READ_SECONDS, spec.workdir, claim_path(spec).unlink)


def _read(spec: JobSpec) -> dict[str, str] | None:
    path = claim_path(spec)
    text = within(READ_SECONDS, spec.workdir, lambda: path.read_text() if path.exists() else None)
    if text is None:
        return None
    try:
        claim = json.loads(text)
        return {name: str(claim[name]) for name in ("run_id", "host", "folder")}
    except (ValueError, TypeError, KeyError) as error:
        raise StopAndLook(f"{path} is damaged; look what runs, then remove it") from error
