"""Keeps pandas out of a process that has no use for it: 42 MB in each, and half a second of its start.

Where pandas is installed pyarrow imports it at the first value that it is handed, to see whether that is one of pandas.
It asks only once: where it finds none it goes on without, as where pandas is not installed, and asks again only for
what cannot be done without it, such as ``to_pandas``. There is no setting for that, so the first question is answered
with no.
"""

import sys


class _NoPandas:
    """A finder of modules that says of pandas that there is none, and of others nothing."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(f"no {name} for pyarrow here", name=name)


def without_pandas() -> None:
    """Let pyarrow go without pandas in this process, unless somebody has imported it; others may import it later.

    For a process that is ours alone: pyarrow takes a Series of pandas for any other sequence then.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([None])
    finally:
        sys.meta_path.remove(_NoPandas)
