"""What of a sample config is still to be replaced by the user's own names, as far as a back end uses it."""

from pathlib import Path

from octomed_jax.launching.backends.base import Backend
from octomed_jax.launching.spec import PLACEHOLDER, JobSpec


def placeholders(spec: JobSpec, place: Backend) -> list[str]:
    """Return the names, such as ``YOUR_BUCKET``, that the files or the commands of a job hold.

    Raises:
        UserError: the back end cannot do it.
    """
    commands = [word for words in place.up(spec, Path("DIR")) for word in words]
    return sorted({name for text in [*place.files(spec).values(), *commands] for name in PLACEHOLDER.findall(text)})
