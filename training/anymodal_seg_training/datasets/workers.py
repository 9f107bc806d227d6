"""How worker processes begin and end."""

from __future__ import annotations

import signal
import sys
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext

import cv2
import torch

from anymodal_seg_ros.worker_processes import end_with_parent

_PACKAGE = "anymodal_seg_training"
_LOADED = [
    "torch",
    "torchvision.transforms.v2",
    "cv2",
    "webdataset",
    f"{_PACKAGE}.datasets.streaming",
]


def worker_context() -> ForkServerContext:
    """Return where workers are forked from: a process that has loaded what they need, and no more.

    Neither fork, which would copy the locks of this process's threads, nor spawn, which loads
    PyTorch anew in each worker of each validation.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([*_LOADED, *_program()])
    return context


def _program() -> list[str]:
    """Return the module of the trainer that this program is, if it is one.

    Each worker imports the program anew, as its own main module, and all that it imports in turn.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)  # of python -m
    return [spec.name] if spec is not None and spec.name.startswith(f"{_PACKAGE}.") else []


def begin_worker() -> None:
    """Prepare a worker; it ends with the command, even where that is killed.

    It leaves Ctrl-C to the command, and the other cores to the others.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
