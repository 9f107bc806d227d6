"""Where the commands begin: Ctrl-C while their libraries are still read ends them quietly, too.

That reading takes seconds on a small computer. An exception in it would end in a traceback, or be
taken by a library for another fault of its own; nothing is open yet that would have to be closed.
"""

from __future__ import annotations

import importlib
import os
import signal
from types import FrameType, ModuleType

from anymodal_seg_ros.errors import STOPPED


def anymodal_seg() -> object:
    """Run ``anymodal-seg``."""
    return _read("cli.main").main()


def segmentation_node() -> object:
    """Run the segmentation node."""
    return _read("nodes.segmentation_node").main()


def fault_injector() -> object:
    """Run the node that breaks sensors."""
    return _read("nodes.replay.fault_injector").main()


def rig_node() -> object:
    """Run the simulated rig."""
    return _read("nodes.simulated.rig_node").main()


def _read(module: str) -> ModuleType:
    before = signal.getsignal(signal.SIGINT)
    if before != signal.default_int_handler:  # started in the background, where Ctrl-C is ignored
        return _imported(module)
    signal.signal(signal.SIGINT, _leave)
    try:
        return _imported(module)
    finally:
        signal.signal(signal.SIGINT, before)


def _imported(module: str) -> ModuleType:
    return importlib.import_module(f"anymodal_seg_ros.{module}")


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(STOPPED)
