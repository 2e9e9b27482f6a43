"""vLLM's OpenAI server on this machine, for as long as a ``with`` block lasts. vLLM itself is never imported."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from octomed_jax.errors import UserError
from octomed_jax.progress import say
from octomed_jax.signals import sigterm_raised

MODEL = "served"  # the name under which a folder is served
POLL_SECONDS = 0.5
TRY_SECONDS = 60.0  # for one token; the first compiles kernels
SAY_SECONDS = 30.0
GRACE_SECONDS = 20.0  # from the request to end to the kill; vLLM itself takes about a second
_ONE_TOKEN = {"messages": [{"role": "user", "content": "1+1="}], "max_tokens": 1, "temperature": 0}
# What of this environment the server gets: no key, no token, no address of anything else.
_PASSED = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|XDG_\w+|HF_HOME|LD_LIBRARY_PATH|LD_PRELOAD"
    r"|PYTHON\w*|CUDA_\w+|NVIDIA_\w+|NCCL_\w+|ROCM_\w+|HIP_\w+|VLLM_\w+|TORCH\w*|TRITON_\w+|OMP_\w+|MKL_\w+|OPENBLAS_\w+)"
)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL", re.IGNORECASE)
# Of a line in its log: the process, and for an error the level, time and place. What else is logged keeps its level.
_PREFIX = re.compile(r"^(\([^)]*\) )?((ERROR|CRITICAL) [\d-]+ [\d:]+ \[[^]]*\] )?")
_FAILURE = re.compile(r"^([\w.]*(Error|Exception)\b|vllm: error:)")


class RequestRefused(Exception):
    """The server answered with an HTTP error."""

    def __init__(self, status: int, reason: str):
        super().__init__(f"HTTP {status}: {reason}")
        self.status = status


def vllm_version(vllm: str) -> str:
    """Return what ``vllm --version`` prints; it ends with ``+cpu`` where the build is for CPUs.

    Args:
        vllm: the executable, as a path or a name on PATH.

    Raises:
        UserError: there is no such command, or it does not run.
    """
    command = [_executable(vllm), "--version"]
    result = subprocess.run(
        command, capture_output=True, text=True, env=_environment(cpu=True), stdin=subprocess.DEVNULL
    )
    words = result.stdout.split()
    if result.returncode or not words:
        raise UserError(f"{vllm} --version fails: {_failure(result.stderr)}; install vLLM again")
    return words[-1]


@contextlib.contextmanager
def serve(
    vllm: str,
    folder: Path,
    *,
    dtype: str,
    max_model_len: int,
    images: int,
    cpu: bool,
    log_file: Path,
    timeout_s: float = 900.0,
) -> Iterator[str]:
    """Serve a Hugging Face folder on loopback at a free port; yield the URL once a token has come back.

    The server gets no key and no token from this environment: it listens on loopback and fetches nothing.
    When the block ends, however it ends, no process of the server is left; SIGTERM is raised in it as ``TryAgain``.

    Args:
        vllm: the executable, as a path or a name on PATH.
        folder: what is served, under the name ``MODEL``.
        dtype: of the computation, such as ``float32``.
        max_model_len: tokens of prompt and answer together.
        images: how many a prompt may hold.
        cpu: whether the build is for CPUs (``vllm_version``); a small and slow set-up then.
        log_file: for all that the server prints; overwritten.
        timeout_s: how long the first token may take.

    Raises:
        UserError: there is no such command, or the server ends by itself or gives no token in time.
    """
    port = _free_port()
    command = [_executable(vllm), *_arguments(folder, port, dtype, max_model_len, images, cpu)]
    url = f"http://127.0.0.1:{port}"
    say(f"starting vLLM for {folder}; its log is {log_file}")
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with sigterm_raised(), log_file.open("wb") as log:
        # A group of its own: vLLM's engine and workers are ended with it, and Ctrl-C reaches this process alone.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(cpu),
            start_new_session=True,
        )
        try:
            _wait_for_token(process, url, log_file, timeout_s)
            yield url
        finally:
            _end_group(process)


def complete(url: str, body: Mapping[str, Any], timeout_s: float) -> Any:
    """Post one chat request to the server at ``url`` and return the parsed reply.

    Raises:
        RequestRefused: an HTTP error.
        OSError: no connection, or no reply in time.
        ValueError: the reply is not JSON.
    """
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps({"model": MODEL, **body}).encode(),
        {"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
    try:
        with opener.open(request, timeout=timeout_s) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise RequestRefused(error.code, _one_line(error.read(2000).decode("utf-8", "replace"))) from None
    except http.client.HTTPException as error:
        raise ConnectionError(f"the reply broke off ({type(error).__name__})") from None


def _executable(vllm: str) -> str:
    found = shutil.which(vllm)
    if not found:
        raise UserError(f"no command {vllm}; install vLLM and give the path of its executable")
    return found


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _arguments(folder: Path, port: int, dtype: str, max_model_len: int, images: int, cpu: bool) -> list[str]:
    common = {
        "--served-model-name": MODEL,
        "--host": "127.0.0.1",
        "--port": str(port),
        "--dtype": dtype,
        "--max-model-len": str(max_model_len),
        "--limit-mm-per-prompt": json.dumps({"image": images, "video": 0}),
    }
    words = ["serve", str(folder.resolve()), *(word for option in common.items() for word in option)]
    if cpu:  # in one process, without compiling and without trying the largest batch of images, all slow on a CPU
        words += ["--max-num-seqs", "4", "--enforce-eager", "--skip-mm-profiling"]
        words += ["--distributed-executor-backend", "uni"]
    return words


def _environment(cpu: bool) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name) and not _SECRET.search(name)}
    kept |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if cpu:  # one GiB for keys and values; and vLLM takes an executor of one process only where the second is off
        kept |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    return kept


def _wait_for_token(process: subprocess.Popen[bytes], url: str, log_file: Path, timeout_s: float) -> None:
    """Return once the server has generated a token: one that listens, or calls itself healthy, may still hang."""
    start = time.monotonic()
    said, state = 0.0, "it does not listen yet"
    while True:
        elapsed = time.monotonic() - start
        if (code := process.poll()) is not None:
            why = _failure(log_file.read_text(errors="replace"))
            raise UserError(f"vLLM ended with exit code {code} before it answered: {why} (its log is {log_file})")
        if elapsed >= timeout_s:
            raise UserError(f"no token from vLLM in {timeout_s:g} s ({state}); look at its log, {log_file}")
        if elapsed - said >= SAY_SECONDS:
            said = elapsed
            say(f"  vLLM has been starting for {elapsed:.0f} s")
        try:
            complete(url, _ONE_TOKEN, min(TRY_SECONDS, timeout_s - elapsed))["choices"][0]
            say(f"vLLM answers after {time.monotonic() - start:.0f} s")
            return
        except RequestRefused as error:
            state = str(error)
            if error.status < 500:
                raise UserError(f"vLLM refuses a request for one token: {error} (its log is {log_file})") from None
        except OSError as error:
            refused = isinstance(getattr(error, "reason", None), ConnectionRefusedError)
            state = "it does not listen yet" if refused else "it listens but does not answer"
        except (ValueError, LookupError, TypeError):
            state = "its reply is no chat completion"
        time.sleep(POLL_SECONDS)


def _failure(log: str) -> str:
    """Return the line of a log that says what went wrong: the first exception, since later ones only pass it on.

    Where there is none, the last line with text in it.
    """
    lines = [line for line in map(_without_prefix, log.replace("\r", "\n").split("\n")) if line.strip(" ^")]
    for before, line, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        if _FAILURE.match(line):
            if ":" not in line:  # a bare assertion: the line of code says more
                return _one_line(f"{line} at {before}")
            return _one_line(f"{line} {after}" if after.startswith(" ") else line)
    return _one_line(lines[-1]) if lines else "it printed nothing"


def _without_prefix(line: str) -> str:
    return _PREFIX.sub("", line)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started: ask, wait, kill."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            if _members(process):
                os.killpg(process.pid, number)
        limit = time.monotonic() + GRACE_SECONDS
        while (left := _members(process)) and time.monotonic() < limit:
            time.sleep(0.1)
    if left:
        say(f"vLLM's processes {left} do not end; end them by hand")


def _members(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the ids of the processes that still run in the group of ``process``."""
    process.poll()  # reaps it
    members = []
    for other in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            # One that has ended may wait for long until its parent, in a container often none of ours, reaps it.
            if os.getpgid(other.pid) == process.pid and other.status() != psutil.STATUS_ZOMBIE:
                members.append(other.pid)
    return members
