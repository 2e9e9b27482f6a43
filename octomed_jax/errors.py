"""The ways a command can end, as exceptions; the command line turns each into one line and an exit code."""


class UserError(ValueError):
    """The user's input or config is wrong and nothing was changed (exit 2).

    The message is one line that names the culprit and the cure. ``keeps_work``: a stage keeps what it has worked out,
    for the next time.
    """

    exit_code = 2
    keeps_work = True


class TryAgain(RuntimeError):
    """Running the same command again can help: a lost peer, an unreachable endpoint, a full disk (exit 42)."""

    exit_code = 42


class StopAndLook(RuntimeError):
    """A person must look: non-finite loss or corrupt data; the last good state is kept (exit 43).

    ``keeps_work``: whether what a stage has worked out before is right all the same.
    """

    exit_code = 43
    keeps_work = False


def did_you_mean(word: str, known: "list[str] | tuple[str, ...]") -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest of ``known``, or an empty string."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
