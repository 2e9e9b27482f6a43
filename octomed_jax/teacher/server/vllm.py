"""What `vllm serve` is started with: settings, command line, environment. vLLM itself is never imported.

The options are those of vLLM 0.32.0 (`vllm serve --help=all`).
"""

import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from octomed_jax.errors import UserError
from octomed_jax.teacher.client import api_key
from octomed_jax.teacher.server.vllm_log import failure_in

KEY = "VLLM_API_KEY"  # the variable in which vLLM looks for the key that it shall ask for
LOOPBACK = "127.0.0.1"
ROUND_IT = ("vllm", "log", "start_seconds", "liveness")  # fields of a config that say how it is run, not what it is
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
# What of this environment the server gets: no key, no token, no address of anything else.
_PASSED = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|XDG_\w+|HF_HOME|LD_LIBRARY_PATH|LD_PRELOAD"
    r"|PYTHON\w*|CUDA_\w+|NVIDIA_\w+|NCCL_\w+|GLOO_\w+|UCX_\w+|NVSHMEM_\w+|ROCM_\w+|HIP_\w+|VLLM_\w+|FLASHINFER_\w+"
    r"|TORCH\w*|TRITON_\w+|OMP_\w+|MKL_\w+|OPENBLAS_\w+)"
)
# And where weights are fetched: the way to them.
_TO_FETCH = re.compile(r"(HF_\w+|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(https?|no|all)_proxy)", re.IGNORECASE)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL", re.IGNORECASE)
# Where the field of an option has another name than the option; and options that would make another server of it than
# the one that is waited for and reported.
_INSTEAD = {
    "--served-model-name": "config.name",
    "--limit-mm-per-prompt": "config.images",
    "--mm-processor-kwargs": "config.max_pixels",
    "--api-key": "config.api_key_env, the name of a variable: a command line can be read by others",
    "--hf-token": "config.environment=HF_TOKEN: a command line can be read by others",
    "--config": "config.extra with its options",
    "--uds": "config.host and config.port",
    "--ssl-certfile": "a gateway in front",
    "--ssl-keyfile": "a gateway in front",
    "--root-path": "a gateway in front",
    "--headless": "vllm serve itself on the other machines",
}


@dataclasses.dataclass(frozen=True)
class VllmSettings:
    """A server: what it serves, where it listens, what it may use. The defaults are for a folder on a GPU.

    Attributes:
        model: Hugging Face name, or a folder.
        revision: branch, tag or commit of the model; empty: its newest.
        name: under which it is served; empty: the model's name, of a folder its last part.
        host: address to listen on.
        port: to listen on; 0: a free one.
        api_key_env: NAME of the variable with the key that the server asks for; empty: none.
        environment: NAMES of further variables that vLLM gets.
        cpu: a small set-up for a CPU, with one GiB of keys and values.
        dtype: of weights and computation, as vLLM spells it.
        max_model_len: tokens of prompt and response together; 0: the model's own.
        tensor_parallel_size: GPUs that hold one copy of the model.
        data_parallel_size: copies of the model.
        max_num_seqs: responses that are written at once; 0: vLLM's own choice.
        gpu_memory_utilization: share of a GPU's memory; 0: vLLM's own choice.
        images: how many a prompt may hold.
        max_pixels: of an image; a larger one is made smaller by the server. 0: the model's own limit.
        reasoning_parser: how a thought is told from the answer; empty: not at all.
        extra: further words of the command line.
    """

    model: str
    revision: str = ""
    name: str = ""
    host: str = LOOPBACK
    port: int = 0
    api_key_env: str = ""
    environment: tuple[str, ...] = ()
    cpu: bool = False
    dtype: str = "auto"
    max_model_len: int = 0
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    max_num_seqs: int = 0
    gpu_memory_utilization: float = 0.0
    images: int = 0
    max_pixels: int = 0
    reasoning_parser: str = ""
    extra: tuple[str, ...] = ()

    @property
    def folder(self) -> Path | None:
        """The model's folder; None for a name of the hub."""
        return Path(self.model).resolve() if Path(self.model).is_dir() else None

    @property
    def served_name(self) -> str:
        """The name that a request gives."""
        return self.name or (self.folder.name if self.folder else self.model)

    @property
    def reachable(self) -> str:
        """The address under which this machine reaches the server."""
        host = {"0.0.0.0": LOOPBACK, "": LOOPBACK, "::": "::1"}.get(self.host, self.host)
        return f"[{host}]" if ":" in host else host


def read_settings(config: ConfigDict) -> VllmSettings:
    """Read and check the settings of a server out of a config, such as ``configs/launch/teacher_vllm.py``.

    Raises:
        UserError: a field is out of its range, naming it.
    """
    names = [field.name for field in dataclasses.fields(VllmSettings)]
    for name in (*names, *ROUND_IT):
        if name not in config:
            raise UserError(f"config.{name} is missing; compare the config with configs/launch/teacher_vllm.py")
    fields: dict[str, Any] = {name: config[name] for name in names}
    if not fields["model"]:
        raise UserError("config.model is empty; name a model of the hub or a folder (--model=...)")
    least = {"tensor_parallel_size": 1, "data_parallel_size": 1} | dict.fromkeys(
        ("port", "max_model_len", "max_num_seqs", "gpu_memory_utilization", "images", "max_pixels"), 0
    )
    for name, smallest in least.items():
        if fields[name] < smallest:
            raise UserError(f"config.{name}={fields[name]}: it must be at least {smallest}")
    if fields["port"] > 65535 or fields["gpu_memory_utilization"] > 1:
        raise UserError(
            f"config: port={fields['port']} or gpu_memory_utilization={fields['gpu_memory_utilization']} is too large"
        )
    for name in (fields["api_key_env"], *fields["environment"]):
        if name and not _VARIABLE.fullmatch(name):
            raise UserError("config.api_key_env or config.environment holds no NAME of a variable; give no value there")
    settings = VllmSettings(**fields)
    _check_extra(settings)
    return settings


def _check_extra(settings: VllmSettings) -> None:
    instead = {option: f"config.{option[2:].replace('-', '_')}" for option in _options(settings, 1)} | _INSTEAD
    for word in settings.extra:
        option = word.split("=")[0].replace("_", "-")
        if option in instead:
            raise UserError(f"config.extra holds {option}; use {instead[option]}")


def command_of(vllm: str, settings: VllmSettings, port: int) -> list[str]:
    """Return the command that starts a server. No word of it is secret."""
    options = [word for option in _options(settings, port).items() for word in option]
    model = str(settings.folder or settings.model)
    return [vllm, "serve", model, *options, *_fixed(settings), *settings.extra]


def _options(settings: VllmSettings, port: int) -> dict[str, str]:
    """Return options and values; where a setting is empty or 0, vLLM has the choice."""
    pixels = settings.max_pixels if settings.images else 0
    values = {
        "--revision": settings.revision,
        "--served-model-name": settings.served_name,
        "--host": settings.host,
        "--port": str(port),
        "--dtype": settings.dtype,
        "--max-model-len": str(settings.max_model_len),
        "--tensor-parallel-size": str(settings.tensor_parallel_size),
        "--data-parallel-size": str(settings.data_parallel_size),
        "--max-num-seqs": str(settings.max_num_seqs),
        "--gpu-memory-utilization": f"{settings.gpu_memory_utilization:g}",
        "--limit-mm-per-prompt": json.dumps({"image": settings.images, "video": 0}),
        "--mm-processor-kwargs": json.dumps({"max_pixels": pixels}) if pixels else "",
        "--reasoning-parser": settings.reasoning_parser,
    }
    return {option: value for option, value in values.items() if value not in ("", "0")}


def _fixed(settings: VllmSettings) -> list[str]:
    words = ["--disable-uvicorn-access-log"]  # a line for each of millions of requests
    if settings.cpu:  # in one process, without compiling and without trying the largest batch of images, slow on a CPU
        words += [] if settings.max_num_seqs else ["--max-num-seqs", "4"]
        words += ["--enforce-eager", "--skip-mm-profiling", "--distributed-executor-backend", "uni"]
    return words


def environment_of(settings: VllmSettings) -> dict[str, str]:
    """Return what the server gets of this environment, the key in the variable in which vLLM looks for it.

    Raises:
        UserError: a variable that the settings name is not set.
    """
    kept = _passed(_PASSED)
    if settings.folder:
        kept["HF_HUB_OFFLINE"] = "1"
    else:
        kept |= _passed(_TO_FETCH)
    kept |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if settings.cpu:  # one GiB for keys and values; and vLLM takes an executor of one process only where this is off
        kept = {"VLLM_CPU_KVCACHE_SPACE": "1", **kept, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    for name in settings.environment:
        if name not in os.environ:
            raise UserError(f"config.environment names the variable {name}, which is not set; export it first")
        kept[name] = os.environ[name]
    if key := api_key(settings.api_key_env, "config"):
        kept[KEY] = key
    return kept


def _passed(names: re.Pattern[str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if names.fullmatch(name) and not _SECRET.search(name)}


def vllm_version(vllm: str) -> str:
    """Return what ``vllm --version`` prints; it ends with ``+cpu`` where the build is for CPUs.

    Args:
        vllm: the executable, as a path or a name on PATH.

    Raises:
        UserError: there is no such command, or it does not run.
    """
    environment = environment_of(VllmSettings(model=os.curdir, cpu=True))
    command = [executable(vllm), "--version"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    words = result.stdout.split()
    if result.returncode or not words:
        raise UserError(f"{vllm} --version fails: {failure_in(result.stderr)}; install vLLM again")
    return words[-1]


def executable(vllm: str) -> str:
    """Return the path of a command.

    Raises:
        UserError: there is no such command.
    """
    found = shutil.which(vllm)
    if not found:
        raise UserError(f"no command {vllm}; install vLLM and give the path of its executable")
    return found
