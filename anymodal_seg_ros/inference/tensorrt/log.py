"""What TensorRT says of itself, kept for the one line in which a failure is told.

One log for the whole process: TensorRT remembers the first one that it is given for as long as any
of its objects lives, and speaks to that alone. If it belonged to an engine, what another engine has
to say would be lost, and once the first one was gone nobody would be there to speak to.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.inference.tensorrt.libraries import Libraries

_KEPT = 8


class Log(Protocol):
    """A ``tensorrt.ILogger`` that remembers its last errors."""

    @property
    def errors(self) -> str:
        """The last errors as one line; empty if there were none."""
        ...

    def forget(self) -> None:
        """Begin anew, so that a failure is not told with the reason of an older one."""
        ...


@functools.cache
def process_log(trt: Any) -> Any:
    """Return the logger of this process for TensorRT, which fulfils :class:`Log`.

    Args:
        trt: the module ``tensorrt``.
    """
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

        def forget(self) -> None:
            self._lines.clear()

    return Remembering()


def started(libraries: Libraries, kind: Callable[[Any], Any]) -> Any:
    """Return a ``Builder`` or a ``Runtime``, the first objects that touch the GPU.

    Raises:
        EngineError: there is none to be had: the GPU is broken, or out of memory.
    """
    log = process_log(libraries.trt)
    log.forget()
    try:
        return kind(log)
    except Exception as error:  # a TypeError, of a factory that returned nothing
        raise EngineError(
            f"TensorRT {libraries.version} does not start: {log.errors or error}"
        ) from error
