"""How a command that passes many gigabytes through uses its memory."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
KEPT_BYTES = 2**31 - 1


def keep_freed_memory() -> None:
    """Let this process use its own freed memory again, large pieces too.

    glibc gives every large array back to the system and gets new pages for the next one, which the system clears first:
    a quarter of the processors' time of an export. Other C libraries have no such switch and are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_ARENA_MAX, 1)
