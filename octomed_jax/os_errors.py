"""What errors of the operating system mean to the user: a full disk, a folder that cannot be written."""

import contextlib
import errno
from collections.abc import Iterator

from octomed_jax.errors import TryAgain, UserError


def explain_os_error(error: OSError, path: object) -> Exception:
    """Turn an error of the operating system into one of ours that says what to do."""
    again = "and run the same command again"
    if error.errno == errno.EFBIG:
        return TryAgain(f"{path} grows over the limit on the size of files (ulimit -f); lift it {again}")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TryAgain(f"no space left while writing {path}; free some space {again}")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
        return UserError(f"cannot write {path}: {error.strerror}; choose another folder")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return UserError(f"cannot write {path}: {error.strerror}; something else lies there")
    return error


@contextlib.contextmanager
def making(path: object) -> Iterator[None]:
    """Explain what goes wrong in a block that makes a folder or begins a file: there the place is wrong, if no room is.

    Raises:
        TryAgain: the disk is full.
        UserError: it cannot be made there.
    """
    try:
        yield
    except OSError as error:
        explained = explain_os_error(error, path)
        if explained is error:  # such as that of a file system that takes no files of anybody's
            explained = UserError(f"cannot write {path}: {error.strerror or error}; choose another folder")
        raise explained from error
