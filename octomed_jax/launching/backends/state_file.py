"""The file ``state`` in a work folder, by which the machines of a cloud and their owner tell each other how a job is.

``running``, ``stop`` (save and end) or ``ended CODE``.
"""

from octomed_jax.launching.spec import JobSpec
from octomed_jax.launching.tools import Answer

NO_FILE = "matched no objects or files"  # what gcloud says of an object that is not there


def state_path(spec: JobSpec) -> str:
    """Return the file of a job."""
    return f"{spec.workdir.rstrip('/')}/launch/state"


def ask_file(spec: JobSpec) -> list[str]:
    """Return the command that prints it."""
    return ["gcloud", "storage", "cat", state_path(spec)]


def read_file(answer: Answer) -> str | None:
    """Return what stands in it, empty where there is none; None: it could not be read."""
    if answer.code == 0:
        return answer.out.strip()
    return "" if NO_FILE in answer.err else None
