"""Where things lie in a sweep's folder, and whether a work is done."""

from collections.abc import Collection, Mapping
from pathlib import Path

from octomed_jax import manifests, storage
from octomed_jax.launching.process import last_line
from octomed_jax.sweeps.processes import Runner
from octomed_jax.sweeps.stages import Work

WORKS = "works.json"


class Folders:
    """The folders and files of a sweep."""

    def __init__(self, root: Path, local: Runner, runners: Mapping[str, Runner], given: Collection[str]):
        """Prepare.

        Args:
            root: folder of the sweep.
            local: runs the works of this machine.
            runners: stage to who else runs it, as of ``run.How``.
            given: folders that were made elsewhere.
        """
        self.root, self._local, self._runners, self._given = root, local, runners, frozenset(given)

    @property
    def works(self) -> Path:
        """Of the list of works."""
        return self.root / "status" / WORKS

    def runner(self, work: Work) -> Runner:
        """Return who runs a work."""
        return self._runners.get(work.stage, self._local)

    def stage(self, stage: str, key: str) -> str:
        """Return where a stage's folder lies; ``key`` of a given one is its path."""
        if key in self._given:
            return key
        home = self._runners.get(stage, self._local).home
        return f"{home.rstrip('/')}/stages/{key}"

    def told(self, work: Work) -> str:
        """Return where a work's folder lies: seen from the sweep's folder where it lies in that, else in full."""
        if work.stage not in self._runners:
            return f"stages/{work.key}"
        folder = self.stage(work.stage, work.key)
        # A launch config may name its work folder as seen from where the sweep was started.
        return folder if storage.in_bucket(folder) else str(Path(folder).absolute())

    def record(self, point: str) -> Path:
        """Return the file that says how a point ended."""
        return self.root / "runs" / point / "run.json"

    def status(self, work: Work) -> Path:
        """Return the file that says how the last try of a work ended."""
        return self.root / "status" / f"{work.name}.json"

    def log(self, work: Work) -> Path:
        """Return the file that holds what a work printed."""
        return self.root / "logs" / f"{work.key}.log"

    def lock(self, work: Work) -> Path:
        """Return the file that the process of a work holds."""
        return self.root / "locks" / work.key

    def last_line(self, work: Work) -> str:
        """Return what a work printed last."""
        return last_line(self.log(work))

    def is_done(self, work: Work) -> bool:
        """Return whether a work ended well, and what it left is there."""
        path = self.status(work)
        return path.is_file() and storage.read_json(path)["exit_code"] == 0 and self.is_whole(work)

    def is_whole(self, work: Work) -> bool:
        """Return whether a work has left what it was to leave."""
        folder = storage.path_of(self.stage(work.stage, work.key))
        return folder.exists() if work.until else manifests.is_finished(folder)
