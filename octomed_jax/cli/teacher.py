"""``octomed teacher``: start vLLM for a teacher, and try an endpoint before a run is paid for."""

import dataclasses
import json
import os
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from octomed_jax.cli.options import Parser, subverb
from octomed_jax.configuration import load, plain, set_field
from octomed_jax.errors import UserError
from octomed_jax.progress import say
from octomed_jax.signals import signals_raised
from octomed_jax.teacher.server.blocking import address_of, one_line
from octomed_jax.teacher.server.check import MOST_IMAGES, Check, Finding
from octomed_jax.teacher.server.vllm import KEY, VllmSettings, command_of, read_settings
from octomed_jax.teacher.server.vllm_process import (
    ENDING,
    Liveness,
    Server,
    free_port,
    model_length,
    started,
    wait_until_ready,
    watch,
)

CONFIG = "configs/launch/teacher_vllm.py"
# Options that are fields of the config, and what is said of them.
SHORT = {
    "model": ("MODEL", "a model of the hub, or a folder"),
    "host": ("HOST", "address to listen on; 0.0.0.0 where distill runs on another machine"),
    "port": ("PORT", "0: a free one"),
    "images": ("N", "that a question may have; 0 for a model of text only"),
    "tensor_parallel_size": ("N", "GPUs that hold one copy of the model"),
    "data_parallel_size": ("N", "copies of the model"),
    "api_key_env": ("NAME", "variable with the key that the server asks for"),
    "vllm": ("COMMAND", "vLLM's executable"),
    "log": ("FILE", "for all that vLLM prints, overwritten; default runs/teacher/vllm-PORT.log"),
}
MARKS = {True: "\N{CHECK MARK}", False: "\N{BALLOT X}", None: "\N{MIDDLE DOT}"}


def run(arguments: Sequence[str]) -> int:
    """Run ``octomed teacher SUBVERB``."""
    return subverb("teacher", {"serve": serve, "check": check}, arguments, "A teacher over the OpenAI protocol.")


def serve(arguments: Sequence[str]) -> int:
    """start vLLM for a teacher, watch it, and end with it"""
    words = list(arguments)
    extra = words[words.index("--") + 1 :] if "--" in words else []
    parser = Parser(
        "teacher serve",
        "Starts `vllm serve`, waits until it has really answered, prints its URL, and stays until it is asked to end\n"
        "(Ctrl-C, SIGTERM); then no process of vLLM is left. Exit codes: 0 asked to end, 2 vLLM does not start with\n"
        "these settings, 42 vLLM ended or hung after it was ready. Words after -- go to `vllm serve`.",
        "octomed teacher serve --model=Qwen/Qwen2.5-VL-72B-Instruct --tensor-parallel-size=8 --host=0.0.0.0 \\\n"
        "    --api-key-env=TEACHER_KEY",
    )
    parser.add_config(CONFIG)
    for field, (metavar, text) in SHORT.items():
        parser.add_argument(f"--{field.replace('_', '-')}", metavar=metavar, help=f"{text} (config.{field})")
    parser.add_argument("--dry-run", action="store_true", help="print vLLM's command line and start nothing")
    parser.add_argument("--json", action="store_true", help="when ready, print URL, model, length and pid as JSON")
    options, overrides = parser.read(words[: words.index("--")] if "--" in words else words)
    config = load(options.config, overrides)
    for field in SHORT:
        if (value := getattr(options, field)) is not None:
            set_field(config, field, value)
    config.extra = (*config.extra, *extra)
    settings, liveness = read_settings(config), read_liveness(config)
    if options.dry_run:
        print(shlex.join(command_of(config.vllm, settings, settings.port)))
        return 0
    _check_key(settings)
    settings = dataclasses.replace(settings, port=free_port(settings))
    log = Path(config.log or f"runs/teacher/vllm-{settings.port}.log")
    # Where it was started with nohup, the end of the terminal is no request to end.
    asked = [number for number in ENDING if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    with signals_raised(asked, KeyboardInterrupt()):
        try:
            with started(config.vllm, settings, log) as server:
                wait_until_ready(server, config.start_seconds)
                _announce(server, options.json)
                watch(server, liveness)
        except KeyboardInterrupt:
            say("asked to end: vLLM has ended")
            return 0


def read_liveness(config: ConfigDict) -> Liveness:
    """Read and check ``config.liveness`` and ``config.start_seconds``.

    Raises:
        UserError: a field is missing, unknown or not above 0, naming it.
    """
    names = [field.name for field in dataclasses.fields(Liveness)]
    if sorted(config.liveness) != sorted(names):
        raise UserError(f"config.liveness has the fields {', '.join(config.liveness)}; it must have {', '.join(names)}")
    liveness = Liveness(**plain(config.liveness))
    fields = {f"liveness.{name}": value for name, value in vars(liveness).items()}
    for name, value in (fields | {"start_seconds": config.start_seconds}).items():
        if value <= 0:
            raise UserError(f"config.{name}={value}: it must be above 0")
    return liveness


def _check_key(settings: VllmSettings) -> None:
    if os.environ.get(KEY) and not settings.api_key_env:
        raise UserError(
            f"{KEY} is set, and config.api_key_env names no variable: is the server to ask for a key? "
            f"add --api-key-env={KEY}, or unset it"
        )
    if settings.host not in ("127.0.0.1", "localhost", "::1") and not settings.api_key_env:
        say(f"whoever reaches {settings.host} can use this server: it asks for no key (--api-key-env)")


def _announce(server: Server, as_json: bool) -> None:
    length, name = model_length(server), server.settings.served_name
    tokens = f"{length} tokens of prompt and response, " if length else ""
    images = f"{server.settings.images} images a prompt" if server.settings.images else "text only"
    result = {"url": server.address.base, "model": name, "max_model_len": length, "pid": os.getpid()}
    line = f"teacher ready: {server.address.base} (model {name}, {tokens}{images})"
    print(json.dumps(result) if as_json else line, flush=True)


def check(arguments: Sequence[str]) -> int:
    """try whether an endpoint has what distill needs"""
    parser = Parser(
        "teacher check",
        "Sends about fifteen small requests of its own to an OpenAI-compatible endpoint. Says what it found, and what\n"
        "that means for `octomed distill`. Exit codes: 0 distill can use it, 2 something is missing, 42 no answer.",
        "octomed teacher check http://127.0.0.1:8000 --images=4 --api-key-env=TEACHER_KEY",
    )
    parser.add_argument("url", metavar="URL", help="the endpoint, with or without /v1")
    parser.add_argument("--model", metavar="NAME", default="", help="needed where the server lists several")
    parser.add_argument("--api-key-env", metavar="NAME", default="", help="variable that holds the key")
    parser.add_argument(
        "--images",
        metavar="N",
        type=int,
        help=f"that a prompt must be able to hold; 0: text only (default: one, and how many of {MOST_IMAGES} is told)",
    )
    parser.add_argument("--timeout", metavar="SECONDS", type=float, default=120.0, help="for each reply (default 120)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    options, overrides = parser.read(arguments)
    if overrides:
        raise UserError(f"octomed teacher check has no config, and so no --config.{overrides[0]}")
    if (options.images or 0) < 0 or options.timeout <= 0:
        raise UserError(f"--images={options.images} or --timeout={options.timeout:g} is out of range")
    name = options.api_key_env
    if name and not os.environ.get(name):
        raise UserError(f"--api-key-env names the variable {name}, which is not set; export it first")
    address = address_of(options.url, os.environ[name] if name else "")
    tried = Check(address, options.model, options.images, options.timeout)
    try:
        for finding in tried:
            if not options.json:
                print(line_of(finding), flush=True)
    finally:
        if options.json:
            print(json.dumps(_result(tried)))
    if failure := tried.facts.failure:
        what = f"{failure.name}: {failure.found}; {failure.meaning}"
        raise UserError(f"{address.base} is no teacher for distill yet. {what}")
    if not options.json:
        key = f" --api-key-env={name}" if name else ""
        model = shlex.quote(one_line(tried.facts.model))
        print(f"octomed distill can use it: --endpoint={address.base} --model={model}{key}")
    return 0


def line_of(finding: Finding) -> str:
    """Return a finding as it is printed."""
    return f"{MARKS[finding.ok]} {finding.name:<12}  {finding.found} \N{RIGHTWARDS ARROW} {finding.meaning}"


def _result(tried: Check) -> dict[str, Any]:
    facts = tried.facts
    return {
        "url": facts.url,
        "model": facts.model,
        "ok": tried.complete and facts.failure is None,
        "max_model_len": facts.max_model_len,
        "images": facts.images,
        "reasoning": facts.reasoning,
        "findings": [vars(finding) for finding in facts.findings],
    }
