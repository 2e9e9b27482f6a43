"""How long a job's checkpoints took to save, from those in its work folder, and the grace that follows from it."""

import json
import math

from etils import epath

from octomed_jax.errors import UserError
from octomed_jax.launching.reach import READ_SECONDS, UnreachableError, within
from octomed_jax.launching.spec import PLACEHOLDER

# Orbax writes it into each checkpoint when it is whole: when saving began, and when it was whole.
METADATA = "_CHECKPOINT_METADATA"
TIMES = 2  # the slowest that was seen: the next one may be slower
BEYOND = 30  # seconds: for the step that is under way, and for the process to end


def save_seconds(workdir: str) -> list[float]:
    """Return the seconds that each checkpoint of a run took, from its start until it was whole; none: no checkpoint.

    Raises:
        UserError: the work folder cannot be read from here.
    """
    try:
        return within(READ_SECONDS, workdir, lambda: _save_seconds(epath.Path(workdir) / "train" / "checkpoints"))
    except UnreachableError:
        raise
    except (OSError, ImportError, ValueError) as error:
        raise UserError(f"workdir={workdir} cannot be read from here ({' '.join(str(error).split())})") from error


def _save_seconds(folder: epath.Path) -> list[float]:
    found = []
    for step in folder.iterdir() if folder.exists() else []:
        if (step / METADATA).exists():
            facts = json.loads((step / METADATA).read_text())
            if not isinstance(facts, dict):
                raise ValueError(f"{step / METADATA} is damaged")
            begun, whole = facts.get("init_timestamp_nsecs"), facts.get("commit_timestamp_nsecs")
            if isinstance(begun, int) and isinstance(whole, int) and whole > begun > 0:
                found.append((whole - begun) / 1e9)
    return sorted(found)


def grace_of(workdir: str) -> int:
    """Return the seconds that a job should have between being asked to end and being killed.

    Raises:
        UserError: no checkpoint was measured yet.
    """
    measured = [] if PLACEHOLDER.search(workdir) else save_seconds(workdir)
    if not measured:
        raise UserError(
            f"grace_seconds=0 takes it from the checkpoints of a run, and {workdir}/train has none yet; give a number"
        )
    return math.ceil(TIMES * measured[-1]) + BEYOND
