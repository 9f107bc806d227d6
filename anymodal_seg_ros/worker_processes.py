"""Worker processes that do not outlive the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.process import BaseProcess


def end_with_parent() -> None:
    """Let this worker end as soon as the process that started it is gone, in whatever way it went.

    One that was killed tells nobody, and a worker that waits for its next job never finds out by
    itself: it holds both ends of the pipe. To be called first thing in a worker.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is no worker of multiprocessing"
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
