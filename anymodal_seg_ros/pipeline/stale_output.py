"""Does an engine look at what it is given? One that answers the same for ever has failed.

A buffer that is not copied any more, a captured graph that reads an old address, a device that has
stopped: the masks go on, well-formed, and show a world of long ago.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.preprocess import planes

REPEATS = 5
"""Answers in a row, to other pictures than the first and equal to it, that no network gives."""

_CHANGED = 0.05
"""Standard deviations by which pictures differ in the mean, at the least, to be others. Noise alone
does not reach it, and what an engine of 8 bits takes for equal is closer together."""

_STEP = 4
"""Every so manieth row and column of the logits is kept."""


class StaleOutput:
    """Compares logits with those before, bit by bit; where an engine gives none, nothing."""

    def __init__(self, rig: RigConfig, manifest: Manifest) -> None:
        """Begin without any answer."""
        self._rig, self._manifest = rig, manifest
        self._logits: npt.NDArray[np.float32] | None = None
        self._images: dict[str, Image] = {}
        """Of which the first of the equal answers was made."""
        self._repeats = 0

    def look(self, logits: npt.NDArray[np.float32] | None, images: Mapping[str, Image]) -> None:
        """Look at what an engine has made of the images of some sensors.

        Args:
            logits: float32 ``[K, h, w]``; None where there are none.
            images: as they were fused, by sensor.

        Raises:
            EngineError: it has answered the same to other pictures several times in a row.
        """
        if logits is None:
            return
        kept = logits[:, ::_STEP, ::_STEP]
        if self._logits is None or not np.array_equal(kept, self._logits):
            self._logits, self._images, self._repeats = kept.copy(), dict(images), 0
            return
        # All of them: a network may all but ignore the one that moves.
        self._repeats += all(self._differs(name, image) for name, image in images.items())
        if self._repeats >= REPEATS:
            raise EngineError(
                f"the engine gave the same logits for {self._repeats} frames in a row, although "
                "all pictures had changed: its output is stale"
            )

    def _differs(self, name: str, image: Image) -> bool:
        """Whether an image is clearly not what the sensor showed when the answer was new."""
        before = self._images.get(name)
        if before is None or image is before:
            return before is None
        sensor, manifest = self._rig.sensors[name], self._manifest
        spec, size = manifest.modalities[sensor.modality], (manifest.height, manifest.width)
        now, then = (planes(one, spec, *size, counts=sensor.counts) for one in (image, before))
        return float(np.abs(now - then).mean()) > _CHANGED
