"""A callback that cannot end the node, whatever a driver sends."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def guarded(
    callback: Callable[..., None], failed: Callable[[str, Exception], None]
) -> Callable[..., None]:
    """Return a callback that hands on what it raises instead of raising it.

    The executor ends with the first exception of a callback, and the node with it.

    Args:
        callback: takes a sensor's name first, and anything after it.
        failed: called with the sensor's name and the exception.
    """

    @functools.wraps(callback)
    def wrapped(sensor: str, *others: Any) -> None:
        try:
            callback(sensor, *others)
        except Exception as error:
            failed(sensor, error)

    return wrapped
