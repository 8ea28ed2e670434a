"""`python -m infra.local.leash PROGRAM ...`: becomes that program, which ends when standard input does.

Whoever starts it keeps the other end of a pipe, so the program goes with its parent even where that one is killed and
can do nothing any more. Standard library only: it is there before the program is.
"""

import os
import signal
import sys
import time

GRACE_SECONDS = 3.0


def main() -> None:
    """Never returns: it is the program from here on."""
    program = os.getpid()
    lead = os.dup(0)
    if os.fork() == 0:
        _watch(program, lead)
        os._exit(0)
    os.close(lead)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - by its path, without a shell


def _watch(program: int, lead: int) -> None:
    """Wait for the end of `lead`, then for that of the program."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(lead, 1024):
        pass
    _signal(program, signal.SIGTERM)
    end = time.monotonic() + GRACE_SECONDS
    while os.getppid() == program:
        if time.monotonic() > end:
            _signal(program, signal.SIGKILL)
        time.sleep(0.05)


def _signal(program: int, number: signal.Signals) -> None:
    # Once it has ended this process is another one's child, and its number may be another one's too.
    if os.getppid() == program:
        os.kill(program, number)


if __name__ == "__main__":
    main()
