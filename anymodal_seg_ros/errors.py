"""The errors that users meet. Each message names what was wrong, its value and the mend."""

from __future__ import annotations

import errno
from typing import Literal, get_args

from anymodal_seg_ros.foreign_text import LINE_LENGTH, one_line

RejectionKind = Literal[
    "type",
    "stamp",
    "encoding",
    "format",
    "size",
    "step",
    "data",
    "fields",
    "events",
    "time",
    "sequence",
    "camera_info",
    "other",
]
"""What was wrong with a message that is rejected, in one word."""

REJECTION_KINDS: frozenset[str] = frozenset(get_args(RejectionKind))
"""Every word that rejected messages are counted under. The set is fixed: no sender adds to it."""

STOPPED = 130
"""Exit code of a command that Ctrl-C ended, as of a shell's own."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Of an :class:`OSError`: nothing can be written before somebody makes room."""

_NO_THREAD = ("can't start new thread", "unable to start watchdog thread")


class AnymodalError(Exception):
    """Base of every error that this package raises on purpose.

    Its text is one line that fits a log, whatever a file or a message put into it; a long one is
    cut in the middle.
    """

    def __str__(self) -> str:
        return one_line(super().__str__())


class ConfigError(AnymodalError):
    """A parameter is unknown, missing, of the wrong type or out of range."""


class ModelError(AnymodalError):
    """A model folder is unreadable, inconsistent, or its files do not match their hashes."""


class DecodeError(AnymodalError):
    """A message cannot be turned into an image: it is rejected and counted, nothing dies.

    The text is one line of bounded length without control characters, whatever the message held.

    Attributes:
        kind: what it is counted under.
    """

    def __init__(self, text: str, kind: RejectionKind = "other") -> None:
        """Say what was wrong.

        Args:
            text: the field, its value and what was expected; foreign text in it passed ``quote``.
            kind: what it is counted under.
        """
        super().__init__(bounded(text))
        self.kind: RejectionKind = kind


def bounded(text: str) -> str:
    """Return the text of an error as one line that fits a log, mostly as it is."""
    return text if len(text) <= LINE_LENGTH and text.isprintable() else one_line(text)


class EngineError(AnymodalError):
    """An engine failed, or returned something that is no segmentation."""


def no_room(error: BaseException) -> str:
    """Say that an error means that there are no more threads or memory; empty if it does not."""
    if not isinstance(error, MemoryError) and str(error) not in _NO_THREAD:
        return ""
    return (
        "this process gets no more threads or memory: raise ulimit -v and -u, or what its "
        "container or service is limited to (MemoryMax, TasksMax, --memory, --pids-limit)"
    )
