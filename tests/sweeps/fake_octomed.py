"""A stand-in for the octomed command, for the tests of this folder: not the real one, it makes folders of a few bytes.

What it writes follows from its words alone, as with the real one: from the fields of the config that the stage reads
and from the folders that it is given. It says which stages it was called for in the file ``calls`` of the current
folder, and does what other files there ask for: ``fail-STAGE`` holds an exit code and may hold, after a blank, text
that the words must have; ``slow`` holds seconds. It notes in ``clashes`` where two processes work in one folder.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path


def main(words: list[str]) -> int:
    """Do one stage."""
    verb = words[0]
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words[1:] if word.startswith("--"))
    stage = "questions" if verb == "questions" else "baseline" if "shards" in options and verb == "eval" else verb
    folder = Path(options.get("output") or options["workdir"])
    with Path("calls").open("a") as calls:
        calls.write(f"{stage} {folder.name} {options.get('until', '')}\n")
    print(f"{stage}: working", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    busy = folder.parent / f".{folder.name}.busy"
    if busy.exists() and alive(int(busy.read_text() or 0)):
        Path("clashes").write_text(f"{folder}\n")
    busy.write_text(str(os.getpid()))
    try:
        return work(stage, options, folder)
    finally:
        busy.unlink(missing_ok=True)


def alive(pid: int) -> bool:
    """Return whether a process is there."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return pid > 0


def work(stage: str, options: dict[str, str], folder: Path) -> int:
    """Write what a stage writes."""
    if Path("slow").exists():
        time.sleep(float(Path("slow").read_text()))
    fail = Path(f"fail-{stage}")
    if fail.exists():
        code, _, text = fail.read_text().partition(" ")
        if text in " ".join(sys.argv):
            print(f"octomed: {stage} does not work", flush=True)
            return int(code)
    if (folder / "manifest.json").exists():
        return 0
    inputs = {name: options[name] for name in ("questions", "attempts", "traces", "shards", "model") if name in options}
    fields = {name: value for name, value in options.items() if name.startswith("config.") and name != "config.run"}
    counts = {}
    if stage == "train":
        counts = {"steps": 20}
        steps = int(options.get("until") or 20)
        rate = float(options.get("config.train.peak_learning_rate", 1))
        lines = [
            json.dumps({"step": step, "loss": rate + 1 / step, "tokens": 9, "step_seconds": 0.5})
            for step in range(1, steps + 1)
        ]
        write(folder / "metrics.jsonl", "\n".join(lines) + "\n")
        if "until" in options:
            return 0
    if stage in ("eval", "baseline"):
        made_of = hashlib.sha256(Path(inputs.get("model", inputs.get("shards", ""))).name.encode()).hexdigest()
        (folder / "samples").mkdir(exist_ok=True)
        sample = {"id": "q", "benchmark": "plane", "verdict": "correct", "completion_tokens": int(made_of[:2], 16)}
        write(folder / "samples/plane.jsonl", json.dumps(sample) + "\n")
        write(folder / "results.json", json.dumps({"benchmarks": {}, "made_of": made_of}))
    manifest = {"stage": stage, "config": fields, "inputs": sorted(inputs), "counts": counts}
    plain = {"files": {}, "licences": [], "access": "open", "extra": {}, "format_version": 1}
    write(folder / "manifest.json", json.dumps(manifest | plain | {"code_version": "0", "code_commit": "unknown"}))
    return 0


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.rename(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
