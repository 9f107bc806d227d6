"""Masks at the camera's size, made on the GPU of logits that are still there.

Only where that is faster than the processor: what is timed when the plans are built decides. It
makes the same mask, so wherever something is in its way, the processor goes on as for every engine.
"""

from __future__ import annotations

import threading

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.frames import Mask
from anymodal_seg_ros.inference.masks.argmax import Logits, lazy_argmax
from anymodal_seg_ros.inference.tensorrt.device import DeviceArray
from anymodal_seg_ros.inference.tensorrt.mask_graph import CANVAS
from anymodal_seg_ros.inference.tensorrt.runner import Plan

MOST_SIZES = 3
"""Of masks, for which buffers stay: of the first sensor's picture, and of those that stand in."""

_INPUTS = (CANVAS, "logits")


class MaskMaker:
    """Makes masks with a plan, at any size. Safe for threads.

    Attributes:
        note: why the processor makes some of them, in words; empty while it does not.
    """

    def __init__(self, plan: Plan) -> None:
        """Use a plan of :func:`~anymodal_seg_ros.inference.tensorrt.mask_graph.mask_graphs`."""
        self._plan = plan
        self._lock = threading.Lock()
        self._preparing = False
        self._refused: set[tuple[int, int]] = set()
        self.note = ""

    def mask(self, there: DeviceArray, here: Logits, height: int, width: int) -> Mask:
        """Return the mask of a frame.

        The first masks of a size are made on the processor, while a thread makes the buffers and
        captures the kernels: no frame waits for that.

        Args:
            there: the logits in the GPU's memory.
            here: the same, for the processor.
            height: rows of the mask.
            width: its columns.
        """
        size = (height, width)
        if self._is_ready(size):
            try:
                found, _ = self._plan.run(size, {}, {CANVAS: (), "logits": (there,)})
            except EngineError as error:
                self._refuse(size, error)
            else:
                mask: Mask = found["mask"]
                return mask
        return lazy_argmax(here, height, width)

    def prepare(self, size: tuple[int, int]) -> None:
        """Make the buffers of a size, so that the next mask of it is made on the GPU.

        Raises:
            EngineError: it cannot be, and never will.
        """
        self._plan.ready(size, _INPUTS)

    def _is_ready(self, size: tuple[int, int]) -> bool:
        if size in self._refused:
            return False
        if self._plan.is_ready(size, _INPUTS):
            return True
        with self._lock:
            if not self._preparing:
                self._preparing = True
                name = f"masks of {_words(size)}"
                threading.Thread(target=self._begin, args=(size,), name=name, daemon=True).start()
        return False

    def _begin(self, size: tuple[int, int]) -> None:
        try:
            self.prepare(size)
        except EngineError as error:
            self._refuse(size, error)
        finally:
            self._preparing = False

    def _refuse(self, size: tuple[int, int], error: EngineError) -> None:
        self._refused.add(size)
        self.note = f"masks of {_words(size)} are made on the processor: {error}"


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
