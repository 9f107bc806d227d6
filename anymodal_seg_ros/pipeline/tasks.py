"""The pieces of work that a pipeline hands to its threads, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from anymodal_seg_ros.frames import FrameSet, Prediction, Sample, SensorStatus
from anymodal_seg_ros.pipeline.cross_check import SensorLook
from anymodal_seg_ros.pipeline.picture import Picture


@dataclass(slots=True)
class Order:
    """A frame set on its way to a mask.

    Attributes:
        frame_set: what was chosen.
        status: health of every sensor when it was complete.
        picture: the geometry of its mask.
        fuse_by_ns: when its fusion is to begin at the latest, on the caller's clock; None if all of
            its sensors are waited for, however long they take.
        hurries: whether there is time for every frame of its reference: it goes as it is as soon as
            the next one waits, and none is dropped for a moment's delay.
        burst: the same for those that became due at one moment, when a sensor came that they have
            all waited for: they do not wait for the network, and none supersedes another.
        together: how many have the same burst; the scheduler counts them.
    """

    frame_set: FrameSet
    status: tuple[SensorStatus, ...]
    picture: Picture
    fuse_by_ns: int | None
    hurries: bool = False
    burst: int = 0
    together: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Decode:
    """Make the pixels of a sample, which is then judged."""

    sample: Sample


@dataclass(frozen=True, slots=True, eq=False)
class Prepare:
    """Take a sample through its stages."""

    sample: Sample
    picture: str
    companions: Mapping[str, Sample] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Fuse:
    """Make the mask of a frame set.

    Attributes:
        order: with its frame set, in which older samples may stand in for those not prepared.
    """

    order: Order


MaskTask = Decode | Prepare | Fuse
"""What masks are made by."""

Task = MaskTask | SensorLook


class Progress(NamedTuple):
    """What one call of :meth:`Pipeline.work` has achieved.

    Attributes:
        worked: whether there was anything to do; if not, there is nothing before the next message,
            the next wake-up or the end of what other threads are doing.
        prediction: the mask, if that was it.
    """

    worked: bool
    prediction: Prediction | None = None
