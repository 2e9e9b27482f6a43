"""What every back end does with an exit code; what each code means is in ``errors.py`` and docs/exit-codes.md.

0                    done                                      ends
1, 2, 43, 126, 127   a bug, wrong input, stop and look,        fails now
                     no such command
42, a disruption     try again; the machine was taken away     restart, not counted
anything else        killed, crashed                           restart, at most ``retries`` times
"""

TRY_AGAIN = 42
FAIL_NOW = (1, 2, 43, 126, 127)
