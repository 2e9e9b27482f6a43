"""vLLM's server as a process: started, waited for until it gives a token, watched, and ended with all its children."""

import contextlib
import dataclasses
import errno
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import psutil

from octomed_jax.errors import TryAgain, UserError
from octomed_jax.os_errors import making
from octomed_jax.progress import duration, say
from octomed_jax.signals import signals_ignored, sigterm_raised
from octomed_jax.teacher.server import vllm_log
from octomed_jax.teacher.server.blocking import CHAT, MODELS, Address, RequestRefused, ask, read_page, why_none
from octomed_jax.teacher.server.probes import ONE_TOKEN, image_messages
from octomed_jax.teacher.server.vllm import KEY, VllmSettings, command_of, environment_of, executable

POLL_SECONDS = 0.5
TRY_SECONDS = 60.0  # for one token; the first compiles kernels
SAY_SECONDS = 15.0
GRACE_SECONDS = 20.0  # from the request to end to the kill; vLLM itself takes about a second
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_GENERATED = re.compile(r"^vllm:generation_tokens_total\b.* (\S+)$", re.MULTILINE)
# Of the cause of an end: not the settings, but the way to the weights.
_NETWORK = re.compile(
    r"[\w.]*(Connect\w*Error|ConnectTimeout|ReadTimeout|TimeoutError|MaxRetryError)\b|.*couldn't connect"
)
# Becomes the command after it, which on Linux gets SIGTERM (15) when this process is killed (1 is PR_SET_PDEATHSIG).
# Not as preexec_fn: that forks this process, which may have threads.
_EXEC = (
    "import ctypes, os, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, 15)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclasses.dataclass(frozen=True)
class Liveness:
    """When a server that runs counts as hanging.

    Attributes:
        every_seconds: between two requests for a token.
        timeout_seconds: for that token.
        tries: in a row without one, until the server is ended.
    """

    every_seconds: float
    timeout_seconds: float
    tries: int


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that was started: its process, where it listens, what it was started with, and its log."""

    process: subprocess.Popen[bytes]
    address: Address
    settings: VllmSettings
    log: Path


@contextlib.contextmanager
def serve(vllm: str, settings: VllmSettings, log: Path, timeout_s: float = 900.0) -> Iterator[Address]:
    """Serve a model; yield the address once a token, and where images are allowed an answer to one, has come back.

    When the block ends, however it ends, no process of the server is left; SIGTERM is raised in it as ``TryAgain``.

    Args:
        vllm: the executable, as a path or a name on PATH.
        settings: what is served, and how.
        log: for all that the server prints; overwritten.
        timeout_s: how long the first token may take.

    Raises:
        UserError: there is no such command, or the server ends by itself or refuses a request.
        TryAgain: it gives no token in time, or did not reach the weights.
    """
    with sigterm_raised(), started(vllm, settings, log) as server:
        wait_until_ready(server, timeout_s)
        yield server.address


@contextlib.contextmanager
def started(vllm: str, settings: VllmSettings, log: Path) -> Iterator[Server]:
    """Start a server; yield it at once. When the block ends, however it ends, no process of it is left.

    Raises:
        UserError: no such command, a port in use, or a variable that is not set.
    """
    path, port = executable(vllm), free_port(settings)
    command, environment = command_of(path, settings, port), environment_of(settings)
    address = Address(f"http://{settings.reachable}:{port}/v1", environment.get(KEY, ""))
    say(f"starting vLLM; its log is {log}\n  {shlex.join(command)}")
    with making(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        begun = log.open("wb")
    with begun as output:
        # A session of its own: vLLM's engine and workers are ended with it, and Ctrl-C reaches this process alone.
        process = subprocess.Popen(
            [sys.executable, "-ISc", _EXEC, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            yield Server(process, address, settings, log)
        finally:
            with signals_ignored(ENDING):
                _end_session(process)


def wait_until_ready(server: Server, timeout_s: float) -> None:
    """Return once the server has generated a token, and answered about an image where its settings allow one.

    One that listens, or calls itself healthy, may still hang.

    Raises:
        UserError: it ends by itself, or refuses a request.
        TryAgain: no token in time, or it did not reach the weights.
    """
    start = time.monotonic()
    _wait_for_token(server, ONE_TOKEN, start, timeout_s, "a request for one token")
    if server.settings.images:
        body = ONE_TOKEN | {"messages": image_messages("What is this?")}
        _wait_for_token(server, body, start, timeout_s, "an image (a model of text only needs --images=0)")
    say(f"vLLM answers after {duration(time.monotonic() - start)}")


def model_length(server: Server) -> int | None:
    """Return how many tokens a prompt and its response may have together, as the server says; None if it does not.

    Raises:
        TryAgain: the server does not answer.
    """
    try:
        (model,) = ask(server.address, MODELS, None, TRY_SECONDS)["data"]
        return int(model["max_model_len"])
    except (RequestRefused, OSError) as error:
        raise TryAgain(f"vLLM gave a token and then no list of models ({error})") from error
    except (ValueError, LookupError, TypeError):
        return None


def watch(server: Server, liveness: Liveness) -> NoReturn:
    """Ask for a token again and again, until the server ends or hangs.

    A server under load answers late. It counts as alive while its own counter of generated tokens goes up.

    Raises:
        TryAgain: it ended by itself, or gave no token so many times.
    """
    missed, generated, mark = 0, _generated(server, liveness.timeout_seconds), vllm_log.size(server.log)
    look = time.monotonic() + liveness.every_seconds
    while True:
        time.sleep(min(POLL_SECONDS, liveness.every_seconds))
        if (code := server.process.poll()) is not None:
            why = vllm_log.failure(server.log, mark)
            raise TryAgain(f"vLLM {_ended(code)} after it was ready: {why} (its log is {server.log})")
        if time.monotonic() < look:
            continue
        why, before = _why_no_token(server, liveness.timeout_seconds), generated
        generated = _generated(server, liveness.timeout_seconds)
        if server.process.poll() is not None:
            continue
        look = time.monotonic() + liveness.every_seconds
        if not why or (before is not None and generated is not None and generated > before):
            missed, mark = 0, vllm_log.size(server.log)
            continue
        missed += 1
        say(f"no token from vLLM ({why}), {missed} of {liveness.tries} tries")
        if missed >= liveness.tries:
            raise TryAgain(f"vLLM gave no token {missed} times in a row ({why}) and was ended; its log is {server.log}")


def free_port(settings: VllmSettings) -> int:
    """Return the port to listen on. One that is taken would let another server answer for ours.

    Raises:
        UserError: it cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            return listener.getsockname()[1]
        except OSError as error:
            cure = "choose another --port" if error.errno == errno.EADDRINUSE else "mend config.host and config.port"
            why = error.strerror or str(error)
            raise UserError(f"cannot listen on {settings.host} port {settings.port} ({why}); {cure}") from error


def _wait_for_token(server: Server, body: dict[str, Any], start: float, timeout_s: float, what: str) -> None:
    said, state, answered = time.monotonic(), "it does not listen yet", False
    while True:
        elapsed = time.monotonic() - start
        left = timeout_s - elapsed
        if (code := server.process.poll()) is not None:
            why = vllm_log.failure(server.log)
            kind = TryAgain if _NETWORK.match(why) else UserError
            raise kind(f"vLLM {_ended(code)} before it answered: {why} (its log is {server.log})")
        if left <= 0:
            raise TryAgain(f"no token from vLLM in {timeout_s:g} s ({state}); look at its log, {server.log}")
        if time.monotonic() - said >= SAY_SECONDS:
            said = time.monotonic()
            say(f"  vLLM has been starting for {duration(elapsed)}: {vllm_log.now(server.log)}")
        try:
            _token(server, body, min(TRY_SECONDS, left))
            return
        except RequestRefused as error:
            state, answered = str(error), True
            if error.status < 500:
                raise UserError(f"vLLM refuses {what}: {error} (its log is {server.log})") from None
        except OSError as error:
            if isinstance(getattr(error, "reason", None), ConnectionRefusedError):
                state = "it does not listen yet"
            elif not answered or left > TRY_SECONDS:  # else the last try may only have been cut short
                state = "it listens but does not answer"
        except (ValueError, LookupError, TypeError):
            state, answered = "its reply is no chat completion", True
        time.sleep(POLL_SECONDS)


def _token(server: Server, body: dict[str, Any], timeout_s: float) -> None:
    ask(server.address, CHAT, {"model": server.settings.served_name, **body}, timeout_s)["choices"][0]


def _why_no_token(server: Server, timeout_s: float) -> str:
    """Return why the server gives no token; empty if it gives one."""
    try:
        _token(server, ONE_TOKEN, timeout_s)
        return ""
    except RequestRefused as error:
        return str(error)
    except OSError as error:
        return why_none(error)
    except (ValueError, LookupError, TypeError):
        return "its reply is no chat completion"


def _generated(server: Server, timeout_s: float) -> float | None:
    """Return how many tokens the server has generated; None where it does not tell."""
    try:
        page = read_page(server.address, server.address.base.removesuffix("/v1") + "/metrics", timeout_s)
        return sum(float(count) for count in _GENERATED.findall(page))
    except (RequestRefused, OSError, ValueError):
        return None


def _ended(code: int) -> str:
    return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started: ask, wait, kill."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for member in _members(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, number)
        limit = time.monotonic() + GRACE_SECONDS
        while (left := _members(process)) and time.monotonic() < limit:
            time.sleep(0.1)
    if left:
        say(f"vLLM's processes {left} do not end; end them by hand")


def _members(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the ids of the processes that still run in the session of ``process``."""
    process.poll()  # reaps it
    members = []
    for other in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            # One that has ended may wait for long until its parent, in a container often none of ours, reaps it.
            if os.getsid(other.pid) == process.pid and other.status() != psutil.STATUS_ZOMBIE:
                members.append(other.pid)
    return members
