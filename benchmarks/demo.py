"""What `make demo` costs: cold (nothing fetched), warm (all fetched and compiled) and on a finished run.

Clones this checkout into a temporary folder and gives it empty caches, so that nothing installed here is used.

    python3 benchmarks/demo.py --output benchmarks/results/demo.json

Needs git, make and Python 3.11 with pip; only the standard library. Downloaded bytes are what the machine's network
interfaces received (loopback left out), so run it on a machine that downloads nothing else.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def received_bytes() -> int:
    """Return what all interfaces but loopback have received."""
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    fields = [line.replace(":", " ").split() for line in lines]
    return sum(int(entry[1]) for entry in fields if entry[0] != "lo")


def tree_memory(root: int) -> int:
    """Return the resident bytes of a process and everything below it."""
    parents, resident = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            parents[int(folder.name)] = int(status[1])
            resident[int(folder.name)] = int(status[21]) * PAGE
        except (OSError, IndexError):
            continue  # it ended while we looked
    total, wanted = 0, {root}
    for _ in range(32):
        wanted |= {child for child, parent in parents.items() if parent in wanted}
    for process in wanted:
        total += resident.get(process, 0)
    return total


def run(checkout: Path, environment: dict[str, str], log: Path) -> dict[str, float]:
    """Run `make demo` once and return seconds, received bytes and peak memory."""
    before, start, peak = received_bytes(), time.monotonic(), 0
    with log.open("w") as file:
        process = subprocess.Popen(["make", "demo"], cwd=checkout, env=environment, stdout=file, stderr=file)
        stop = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not stop.wait(0.5):
                peak = max(peak, tree_memory(process.pid))

        thread = threading.Thread(target=watch)
        thread.start()
        code = process.wait()
        stop.set()
        thread.join()
    if code:
        raise SystemExit(f"make demo ended with {code}; its output is in {log}")
    return {
        "seconds": round(time.monotonic() - start, 1),
        "downloaded_mb": round((received_bytes() - before) / 1e6, 1),
        "peak_memory_mb": round(peak / 1e6, 1),
    }


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="JSON file for the figures")
    parser.add_argument("--runs", default="cold,warm,finished", help="which to measure, in this order")
    options = parser.parse_args()
    source = Path(__file__).resolve().parent.parent
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=source, capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        checkout = folder / "octomed_jax"
        subprocess.run(["git", "clone", "--quiet", str(source), str(checkout)], check=True)
        environment = dict(os.environ)
        for name in ("OCTOMED_CACHE", "UV_CACHE_DIR", "PIP_CACHE_DIR"):
            environment[name] = str(folder / name.lower())
        environment.pop("VIRTUAL_ENV", None)
        figures: dict[str, object] = {}
        for kind in options.runs.split(","):
            if kind == "warm":
                shutil.rmtree(checkout / "runs", ignore_errors=True)
            figures[kind] = run(checkout, environment, Path(tempfile.gettempdir()) / f"octomed-demo-{kind}.log")
            print(kind, figures[kind], flush=True)
        summary = json.loads((checkout / "runs" / "demo" / "summary.json").read_text())
        shutil.copyfile(checkout / "runs" / "demo" / "report.html", Path(tempfile.gettempdir()) / "octomed-report.html")
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    result = {
        "command": "python3 benchmarks/demo.py --output benchmarks/results/demo.json",
        "commit": commit.stdout.strip(),
        "machine": f"{cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "figures": figures,
        "summary": summary,
    }
    Path(options.output).write_text(json.dumps(result, indent=2) + "\n")
    print(f"figures: {options.output}")


if __name__ == "__main__":
    main()
