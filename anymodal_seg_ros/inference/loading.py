"""Waits for a library that loads a model, but not for ever: a graph may take it any time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from anymodal_seg_ros.errors import ModelError


def load_in_time(load: Callable[[], None], limit_s: float, what: str) -> None:
    """Load in a thread of its own, so that neither a caller nor Ctrl-C waits for ever.

    Libraries cannot be stopped while they load: what takes longer goes on in that thread, for which
    nobody waits.

    Args:
        load: what loads; what it raises is raised here.
        limit_s: seconds that it may take.
        what: names the file or folder in an error, after who loads it.

    Raises:
        ModelError: it takes longer.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            load()
        except BaseException as error:  # handed on to whoever waits
            errors.append(error)

    thread = threading.Thread(target=run, name="loading a model", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        raise ModelError(
            f"{what}: it was not ready after {limit_s:g} s; choose another engine, or export the "
            "model again"
        )
    if errors:
        raise errors[0]
