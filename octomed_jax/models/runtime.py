"""How JAX is started: the persistent compile cache, and one process or many."""

import os
from pathlib import Path

import jax

from octomed_jax.errors import TryAgain, UserError

INITIALIZATION_TIMEOUT_S = 120  # a missing host is named within two minutes


def start_jax() -> None:
    """Turn on the compile cache and join the other processes of the job, if there are any. Safe to call again.

    The processes are told by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, which the launch back ends
    set; on Cloud TPU pods (TPU_WORKER_HOSTNAMES) JAX finds them by itself.

    Raises:
        UserError: only some of the three variables are set, or one is no number.
        TryAgain: the other processes did not come in time.
    """
    if not jax.config.jax_compilation_cache_dir:  # JAX_COMPILATION_CACHE_DIR, where it is set, stays
        cache = Path(os.environ.get("OCTOMED_CACHE", Path.home() / ".cache" / "octomed_jax")) / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if jax.distributed.is_initialized():
        return
    arguments = distributed_arguments(os.environ)
    if arguments is None:
        return
    try:
        jax.distributed.initialize(**arguments, initialization_timeout=INITIALIZATION_TIMEOUT_S)
    except RuntimeError as error:
        raise TryAgain(
            f"the job's {arguments.get('num_processes', 'many')} processes did not find each other within "
            f"{INITIALIZATION_TIMEOUT_S} s ({str(error).splitlines()[0]}); check that all are started"
        ) from error


def distributed_arguments(environment: "os._Environ[str] | dict[str, str]") -> dict | None:
    """Return the arguments of ``jax.distributed.initialize``, or None for a job of one process."""
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    given = {name: environment[name] for name in names if environment.get(name)}
    if not given:
        return {} if "," in environment.get("TPU_WORKER_HOSTNAMES", "") else None
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
