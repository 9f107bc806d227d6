"""What TensorRT says of itself, kept for the one line in which a failure is told."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

_KEPT = 8


class Log(Protocol):
    """A ``tensorrt.ILogger`` that remembers its last errors."""

    @property
    def errors(self) -> str:
        """The last errors as one line; empty if there were none."""
        ...


def make_log(trt: Any) -> Any:
    """Return a logger for TensorRT that fulfils :class:`Log`. It must outlive all that uses it."""
    worst = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

    class Remembering(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 demands this form
            self._lines: deque[str] = deque(maxlen=_KEPT)

        def log(self, severity: Any, msg: str) -> None:
            if severity in worst:
                self._lines.append(" ".join(str(msg).split()))

        @property
        def errors(self) -> str:
            return "; ".join(self._lines)

    return Remembering()
