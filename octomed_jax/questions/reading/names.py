"""How errors call a file whose name may hold the number of a patient or a study: by its row alone.

Paths of MIMIC-CXR are ``p10/p10000032/s50414267/...``. What is printed, logged and kept of rows that were left out
must not hold them.
"""

WITHHELD = "(name withheld)"


def shown(name: str, named: bool) -> str:
    """Return what an error calls a file; ``named``: whether it may say the name."""
    return repr(name[:80]) if named else WITHHELD
