"""How worker processes begin."""

from __future__ import annotations

from multiprocessing import get_context
from multiprocessing.context import ForkServerContext

_LOADED = ["torch", "torchvision.transforms.v2", "cv2", "webdataset"]


def worker_context() -> ForkServerContext:
    """Return where workers are forked from: a process that has loaded the libraries, and no more.

    Neither fork, which would copy the locks of this process's threads, nor spawn, which loads
    PyTorch anew in each worker of each validation.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    return context
