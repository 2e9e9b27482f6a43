"""Peak memory of this process and its children together, sampled while a stage runs."""

import threading

import psutil


class MemoryWatch:
    """A context manager; ``peak_mb`` is the largest sum of resident memory seen, in MB (10**6 bytes)."""

    INTERVAL_S = 0.5

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        this = psutil.Process()
        while True:
            total = 0
            for process in [this, *this.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_mb = max(self.peak_mb, total / 1e6)
            if self._stop.wait(self.INTERVAL_S):
                return
