"""Standard streams as a process may be given them: closed, or read by nobody any more."""

from __future__ import annotations

import contextlib
import os
import stat

_INPUT, _OUTPUT, _ERROR = range(3)


def fill_closed() -> None:
    """Let standard streams that are closed lead nowhere.

    Else the next file that is opened gets such a number, and what a library has to say on its
    standard error becomes part of the results, or a message to whoever holds the other end.
    """
    for stream in (_INPUT, _OUTPUT, _ERROR):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the smallest number that is free


def never_wait() -> None:
    """Drop what this process writes to its standard output and error where it would have to wait.

    A terminal that was stopped, an ssh that hangs or a launch that waits for either no longer read:
    a pipe fills, and whoever logs a line waits for ever, with all threads of Python behind it. Of
    pipes and terminals the process gets open files of its own, so that those with whom it shares
    them do not meet writes that fail. Files on a disk never fill in this way and stay as they are.
    """
    for stream in (_OUTPUT, _ERROR):
        with contextlib.suppress(OSError):  # it is closed, or a terminal of somebody else
            kind = os.fstat(stream).st_mode
            if stat.S_ISFIFO(kind) or os.isatty(stream):
                how = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
                own = os.open(f"/proc/self/fd/{stream}", how)
                os.dup2(own, stream)
                os.close(own)
            elif stat.S_ISSOCK(kind):  # that of systemd's journal cannot be opened anew
                os.set_blocking(stream, False)
