"""Asking a teacher, ours beside datatrove, distilabel and bespokelabs-curator: requests a second, processor, memory.

    for peer in datatrove distilabel curator; do uv venv --python 3.11 .venv-peers/$peer; done
    uv pip install --python .venv-peers/datatrove 'datatrove[io]==0.10.1' aiofiles aiosqlite httpx xxhash
    uv pip install --python .venv-peers/distilabel 'distilabel[openai]==1.5.3' requests
    uv pip install --python .venv-peers/curator bespokelabs-curator==0.1.31
    .venv/bin/python benchmarks/distill.py --peers .venv-peers --output benchmarks/results/distill.json

uv is the Makefile's .tools/bin/uv; all of it takes 17 minutes on two cores.

The teacher is chat_server.py in a process of its own: it starts at most 200 requests a second, evenly, and replies
50 ms later; for "unlimited" it starts all at once. What it can serve where nothing limits it comes first in the
results. Each tool asks in a fresh process for 16 samples of each question, all with the same texts and sampling, and
every sample must lie in the output at the end.

A request of ours brings four samples, one of datatrove's and of curator's one, one of distilabel's 16. The server's
places are counted in requests, so requests a second say how well its places are used; a real server's work is samples,
so the processor's seconds are best compared by samples. "single" asks for one sample a request, as the others do.

"served" is from the first request that the server saw to its last reply; "to_the_end" until the tool has ended, with
everything written; the capacity's share is of the places between the first request and the last. Seconds of the
processor and memory are of all processes of a tool, from its start (see tool_run.py). Peers get fewer questions, where
they send more requests: figures are rates. Peaks of memory belong to the number of requests beside them. At last, ours
on few and on many questions, with a server that answers at once.

How they are set (peers/distill_*.py): no limits of rates, and as many requests at once as made them faster.
- ours: 256 requests in flight. With its default of 64, a reply after 50 ms allows 1,280 requests a second at most, and
  some 1,000 were reached; with more than 256 it is no faster.
- datatrove: InferenceRunner with an endpoint, rollouts_per_document=16, 500 requests in flight (its default), twice the
  documents that they need. Over plain HTTP on loopback it uses a small client of its own, not the OpenAI client that
  it uses elsewhere. It keeps replies only when a document is done; with "checkpoints", its option for runs that go on
  after they were killed, each as it comes, as ours does.
- distilabel: OpenAILLM and TextGeneration, num_generations=16. It sends a batch at once, and the next when that is
  done with; its default of 50 kept the server busy for 60 %, 1,000 for 54 % of 5,000 questions, so all are one batch.
  Further replicas of the step were no faster on two cores. Of a batch, 1,000 are in flight, the OpenAI client's limit.
- curator: its openai backend, a row for each sample, 128 requests in flight; 64 and 512 made no difference. It
  estimates tokens for limits that were set out of reach.
"""

import argparse
import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bare_package import ROOT  # first: it makes the project importable
from chat_server import served, server_alone, serving
from tool_run import run_tool

from octomed_jax.prompts import user_text
from octomed_jax.schema import Question
from tests.teacher.teacher_helpers import write_folder

HERE = Path(__file__).resolve().parent
LATENCY, CAPACITY = 0.05, 200.0
MODEL = "teacher"
MOST_SECONDS = 1500.0  # of one tool's run

# What our command is given besides, by the name in the results.
IN_FLIGHT = "--in-flight=256"
OURS: dict[str, tuple[str, ...]] = {
    "ours": (IN_FLIGHT,),
    "ours, single": (IN_FLIGHT, "--config.distill.samples_per_request=1"),
}


@dataclasses.dataclass(frozen=True)
class Peer:
    """A tool beside ours: its package and script, the folder of its environment, and one of its ways to ask."""

    package: str
    environment: str
    variant: str = ""
    samples_a_request: int = 1

    def command(self, peers: Path, *arguments: str) -> list[str]:
        script = HERE / "peers" / f"distill_{self.environment}.py"
        return [str(peers / self.environment / "bin" / "python"), str(script), *arguments]


PEERS = {
    "datatrove": Peer("datatrove", "datatrove"),
    "datatrove, checkpoints": Peer("datatrove", "datatrove", "checkpoints"),
    "distilabel": Peer("distilabel", "distilabel", "", 16),
    "distilabel, single": Peer("distilabel", "distilabel", "single"),
    "curator": Peer("bespokelabs-curator", "curator"),
}


def our_command(url: str, questions: Path, samples: int, output: Path) -> list[str]:
    """Return the command that is measured as ours."""
    return [
        *(sys.executable, "-m", "octomed_jax.cli.main", "distill", f"--questions={questions}"),
        *(f"--endpoint={url}", f"--model={MODEL}", f"--samples={samples}", f"--output={output}"),
    ]


def our_samples(output: Path) -> int:
    """Return how many samples our command has kept."""
    counts = json.loads((output / "manifest.json").read_text())["counts"]
    return counts["attempts"] - counts["failed"]


def make_questions(count: int) -> Iterator[Question]:
    """Yield multiple-choice questions without images, as long as a vignette."""
    for number in range(count):
        age, days, rate = 20 + number % 70, 2 + number % 9, 60 + number % 80
        options = tuple(f"Disease {number % 997 + step}, of the {kind} kind" for step, kind in enumerate("abcd"))
        yield Question(
            id=f"made:{number:06d}",
            source="made",
            benchmark="name",
            split="train",
            task="mcq",
            question=f"Case {number}. A patient of {age} years comes with a fever that began {days} days ago, a cough "
            f"and pain on breathing in. The heart rate is {rate}, the blood pressure 118/7{number % 10} mmHg, the "
            f"breathing rate {14 + number % 12} and the saturation {88 + number % 11} % on room air. There are "
            "crackles over the lower lobe of one lung; the rest of the examination is unremarkable. Blood and sputum "
            "are being cultured, and a film of the chest shows one dense lobe. Which is the most likely disease?",
            options=options,
            answer=options[number % 4],
            licence="CC0-1.0",
        )


def questions_in(scratch: Path, count: int) -> tuple[Path, Path]:
    """Return a finished questions folder, and a file of the same questions as the peers read them."""
    folder, prompts = scratch / f"questions-{count}", scratch / f"prompts-{count}.jsonl"
    if not folder.exists():
        questions = list(make_questions(count))
        write_folder(folder, questions)
        rows = ({"id": question.id, "prompt": user_text(question, "boxed")} for question in questions)
        prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder, prompts


def measure(command: Sequence[str], url: str, log: Path) -> dict[str, Any]:
    """Run a tool against a fresh server and return the figures of both sides."""
    tool = run_tool(command, Path(ROOT), log, MOST_SECONDS)
    server = served(url)
    requests, samples = server["requests"], server["choices"]
    asked, kept = server["last_reply"] - server["first_seen"], tool.end - server["first_seen"]
    return {
        "requests": requests,
        "samples": samples,
        "seconds": {"served": asked, "to_the_end": kept, "of_the_process": tool.end - tool.start},
        "requests_a_second": {"served": requests / asked, "to_the_end": requests / kept},
        "samples_a_second": {"served": samples / asked, "to_the_end": samples / kept},
        "capacity_share": server["busy"],
        "cpu_seconds": tool.cpu_seconds,
        "cpu_seconds_per_1000": {
            "requests": tool.cpu_seconds / requests * 1000,
            "samples": tool.cpu_seconds / samples * 1000,
        },
        "peak_mb": tool.peak_bytes / 1e6,
        "peak_mb_per_1000_requests": tool.peak_bytes / 1e6 / requests * 1000,
        "most_at_once": server["most_at_once"],
        "mean_characters": server["mean_characters"],
        "server_cpu_share": server["server_cpu_seconds"] / asked,
    }


def compare(name: str, count: int, options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Measure one tool on ``count`` questions, with the capacity and without a limit."""
    questions, prompts = questions_in(scratch, count)
    figures: dict[str, Any] = {"questions": count}
    for kind, capacity in (("limited", CAPACITY), ("unlimited", 0.0)):
        output, log = scratch / "output", scratch / "log"
        with serving(LATENCY, capacity) as url:
            if name in OURS:
                command = [*our_command(url, questions, options.samples, output), *OURS[name]]
                figures[kind] = measure(command, url, log)
                kept = our_samples(output)
            else:
                peer, into = PEERS[name], f"--output={output}"
                output.mkdir()
                given = (f"--url={url}", f"--prompts={prompts}", f"--samples={options.samples}", into)
                command = peer.command(options.peers, *given, f"--variant={peer.variant}")
                figures[kind] = measure(command, url, log)
                command = peer.command(options.peers, "--count", into)
                kept = int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        assert kept == count * options.samples, f"{name} has kept {kept} samples of {count * options.samples}"
        shutil.rmtree(output)
    return figures


def memory(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Measure ours on few and on many questions, with a server that answers at once."""
    figures = {}
    for count in options.memory:
        questions, output = questions_in(scratch, count)[0], scratch / "output"
        with serving(0.0, 0.0) as url:
            figures[f"{count} questions"] = measure(
                our_command(url, questions, options.samples, output), url, scratch / "log"
            )
        assert our_samples(output) == count * options.samples
        shutil.rmtree(output)
    return figures


def tools(options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Yield the tools to measure, ours first, and how many questions each is given."""
    fewer = options.peer_requests // options.samples
    sizes = {name: min(options.questions, fewer) for name in OURS} | {"ours": options.questions}
    if options.peers:
        sizes |= {
            name: min(options.questions, fewer * min(peer.samples_a_request, options.samples))
            for name, peer in PEERS.items()
        }
    for name in options.tools.split(";") if options.tools else sizes:
        yield name, sizes[name]


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures were measured on."""
    versions = {"python": platform.python_version()}
    for peer in PEERS.values() if options.peers else ():
        ask = f"import importlib.metadata as m, platform as p; print(m.version({peer.package!r}), p.python_version())"
        python = options.peers / peer.environment / "bin" / "python"
        version, of = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
        versions[peer.package] = f"{version}, Python {of}"
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "command": " ".join(["benchmarks/distill.py", *sys.argv[1:]]),
        "commit": commit or None,
        "device": f"{cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} cores",
        "versions": versions,
        "server": {"latency_seconds": LATENCY, "capacity_requests_a_second": CAPACITY},
        "samples_a_question": options.samples,
    }


def rounded(figures: Any) -> Any:
    """Return figures with three decimals."""
    if isinstance(figures, dict):
        return {name: rounded(value) for name, value in figures.items()}
    return round(figures, 3) if isinstance(figures, float) else figures


def print_table(figures: dict[str, Any]) -> None:
    print(f"\nwith {CAPACITY:.0f} requests a second: served and (to the end); unlimited: to the end")
    print(f"{'':23} requests/s      samples/s       capacity  unlimited  CPU s/1000 requests, samples  peak MB")
    for name, both in figures.items():
        one, other = both["limited"], both["unlimited"]["requests_a_second"]["to_the_end"]
        rates = [one["requests_a_second"], one["samples_a_second"]]
        asked, kept = (f"{rate['served']:.1f} ({rate['to_the_end']:.1f})" for rate in rates)
        cpu = one["cpu_seconds_per_1000"]
        print(
            f"{name:23} {asked:15} {kept:15} {one['capacity_share']:8.1%}  {other:9.1f}  "
            f"{cpu['requests']:19.2f}  {cpu['samples']:7.3f}  {one['peak_mb']:7.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments; left out: only ours is measured")
    parser.add_argument("--tools", default="", help="only these, by their names, separated by semicolons")
    parser.add_argument("--questions", type=int, default=5000, help="questions for ours")
    parser.add_argument("--samples", type=int, default=16, help="samples of each question")
    parser.add_argument("--peer-requests", type=int, default=16000, help="requests for each peer, at most")
    parser.add_argument("--memory", type=int, nargs="*", default=[2000, 20000], help="questions for ours, no peers")
    parser.add_argument("--output", type=Path, help="write the figures here as JSON")
    options = parser.parse_args()
    figures = about(options) | {"server_alone_requests_a_second": server_alone(), "tools": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, count in tools(options):
            figures["tools"][name] = compare(name, count, options, Path(folder))
            print(name, json.dumps(rounded(figures["tools"][name]), indent=1), flush=True)
        figures["memory"] = memory(options, Path(folder))
    print(json.dumps(rounded({name: value for name, value in figures.items() if name != "tools"}), indent=1))
    print_table(figures["tools"])
    if options.output:
        options.output.write_text(json.dumps(rounded(figures), indent=1) + "\n")


if __name__ == "__main__":
    main()
