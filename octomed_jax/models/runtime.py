"""How JAX is started: the persistent compile cache, and one process or many."""

import os
import re
import socket
from pathlib import Path

import jax

from octomed_jax import progress
from octomed_jax.errors import TryAgain, UserError
from octomed_jax.models.census import take_census

CENSUS_S = 110.0  # a missing host is named within two minutes
TPU_PORT = 8476  # that JAX takes on TPU slices too


def start_jax(job: bool = False, census_seconds: float = CENSUS_S) -> None:
    """Turn on the compile cache and join the other processes of the job, if there are any. Safe to call again.

    The processes are told by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, which the launch back ends
    set; on Cloud TPU pods (TPU_WORKER_HOSTNAMES) JAX finds them by itself.

    Args:
        job: whether a lone process is a job too, of one process: its devices then add up in the order in which those
            of many processes do, so that results are the same to the last bit.
        census_seconds: how long the other processes may take to come.

    Raises:
        UserError: only some of the three variables are set, one is no number, or JAX was used before.
        TryAgain: the other processes did not come in time; those missing are named.
    """
    if not jax.config.jax_compilation_cache_dir:  # JAX_COMPILATION_CACHE_DIR, where it is set, stays
        cache = Path(os.environ.get("OCTOMED_CACHE", Path.home() / ".cache" / "octomed_jax")) / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if jax.distributed.is_initialized():
        return
    arguments = distributed_arguments(os.environ)
    alone = arguments is None
    if alone and not job:
        return
    if alone:  # JAX would take SIGTERM for itself, and spread it to nobody
        jax.config.update("jax_enable_preemption_service", False)
    arguments = arguments or (_lone() if alone else {})
    if arguments:
        same_threads(arguments["num_processes"])
        hosts = dict(enumerate(os.environ.get("TPU_WORKER_HOSTNAMES", "").split(",")))
        take_census(
            arguments["coordinator_address"],
            arguments["num_processes"],
            arguments["process_id"],
            census_seconds,
            {number: host for number, host in hosts.items() if host},
        )
    try:
        jax.distributed.initialize(**arguments)
    except RuntimeError as error:
        if "must be called before" not in str(error):
            raise TryAgain(f"the processes of the job did not meet ({str(error).splitlines()[0]})") from error
        if not alone:
            raise UserError("JAX was used before the job's processes met; call start_jax first") from error
        progress.say("JAX was used before training: the last bits may differ from those of a job of processes")


def same_threads(processes: int) -> None:
    """Give XLA's pool of threads a size that depends on the simulated devices of the job, not on those of a process.

    It cuts large products by the number of its threads, and each cut adds up in another order.
    """
    if found := re.search(r"xla_force_host_platform_device_count=(\d+)", os.environ.get("XLA_FLAGS", "")):
        os.environ.setdefault("NPROC", str(max(os.cpu_count() or 1, processes * int(found[1]))))


def distributed_arguments(environment: "os._Environ[str] | dict[str, str]") -> dict | None:
    """Return the arguments of ``jax.distributed.initialize``, or None for a job of one process."""
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    given = {name: environment[name] for name in names if environment.get(name)}
    if not given:
        return _of_tpu(environment)
    missing = [name for name in names if name not in given]
    if missing:
        raise UserError(f"{', '.join(given)} set, but not {', '.join(missing)}; set all three or none")
    try:
        return {
            "coordinator_address": given[names[0]],
            "num_processes": int(given[names[1]]),
            "process_id": int(given[names[2]]),
        }
    except ValueError as error:
        raise UserError(f"JAX_NUM_PROCESSES and JAX_PROCESS_ID must be numbers ({error})") from error


def _of_tpu(environment: "os._Environ[str] | dict[str, str]") -> dict | None:
    """Return the arguments of a job on a TPU slice; an empty dict where JAX itself must find them."""
    hosts = [host for host in environment.get("TPU_WORKER_HOSTNAMES", "").split(",") if host]
    if len(hosts) < 2:
        return None
    worker = environment.get("TPU_WORKER_ID", "")
    if environment.get("MEGASCALE_COORDINATOR_ADDRESS") or not worker.isdigit():
        return {}  # several slices
    return {
        "coordinator_address": f"{hosts[0]}:{TPU_PORT}",
        "num_processes": len(hosts),
        "process_id": int(worker),
    }


def _lone() -> dict:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    return {
        "coordinator_address": address,
        "coordinator_bind_address": address,
        "num_processes": 1,
        "process_id": 0,
    }
