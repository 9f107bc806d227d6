"""The values that flow through the pipeline: image, sample, frame set, batch, prediction.

All are frozen dataclasses. Times are integer nanoseconds and carry the suffix ``_ns``. Two clocks
occur and are never mixed: *stamps* are header times, *received* times come from the clock that the
caller passes in as ``now_ns`` (a steady clock on a robot, the log time of a bag at a desk).
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.foreign_text import quote

UNLABELED = 255
"""Class id of a pixel without a class, as in vision_msgs for 8-bit label images."""

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.uint8]


class SensorState(enum.Enum):
    """Health of one sensor. ``OK``, ``DEGRADED`` and ``SLOW`` ones are waited for and fused.

    ``DOUBTFUL`` ones are waited for, and fused where nobody knows who is right.
    """

    WAITING = "WAITING"
    """Never seen, still within the start-up grace."""
    OK = "OK"
    DEGRADED = "DEGRADED"
    """Its pictures are damaged, but most of what they show is true."""
    DOUBTFUL = "DOUBTFUL"
    """Its pictures are sound, but show another world than those of the others."""
    SLOW = "SLOW"
    """Good messages come, but far fewer than promised."""
    LATE = "LATE"
    """A message is overdue: this frame goes without the sensor."""
    STALE = "STALE"
    """Several periods without a message: back to OK only after a run of good messages."""
    FAILED = "FAILED"
    """Silent for so long that it needs somebody's attention, or never seen at all."""
    FROZEN = "FROZEN"
    """Messages come, but they repeat one payload."""
    INVALID = "INVALID"
    """Messages come, but what they hold is no picture of the world."""
    CLOCK = "CLOCK"
    """Messages come, but their stamps cannot be believed."""
    DISABLED = "DISABLED"
    """Switched off in the configuration."""

    def __init__(self, word: str) -> None:
        # Attributes, because every message asks for them and hashing an enum member is slow.
        self.alive: bool = word in ("OK", "DEGRADED", "DOUBTFUL", "SLOW")
        """Whether frame sets wait for this sensor and the network sees it."""
        self.down: bool = word in ("STALE", "FAILED", "FROZEN", "INVALID", "CLOCK")
        """Whether the sensor has failed, so that only a run of good messages brings it back."""


@dataclass(frozen=True, slots=True)
class Image:
    """One decoded image message.

    Attributes:
        pixels: ``[H, W]`` or ``[H, W, C]`` in the encoding's own dtype and channel order, usually a
            read-only view on the message's bytes (rows may be strided, bytes may be big-endian).
        encoding: the sensor_msgs encoding of the pixels, e.g. ``rgb8``, ``mono16``, ``32FC1``.
    """

    pixels: Pixels
    encoding: str

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def nbytes(self) -> int:
        """Memory of the pixels."""
        return int(self.pixels.nbytes)


class DeferredImage(Image):
    """An image whose pixels take work to make: a compressed one, a Bayer mosaic, YUV.

    Size and encoding are known at once. The pixels are made when they are first asked for, by the
    thread that asks, and kept; a damaged payload raises the same error every time.
    """

    __slots__ = ("_height", "_lock", "_made", "_make", "_width")
    _height: int
    _width: int
    _make: Callable[[], Pixels] | None
    _made: Pixels | str
    _lock: threading.Lock

    def __init__(self, height: int, width: int, encoding: str, make: Callable[[], Pixels]) -> None:
        """Promise an image.

        Args:
            height: rows.
            width: columns.
            encoding: of the pixels that ``make`` returns.
            make: returns the pixels, ``[height, width]`` or ``[height, width, C]``, or raises
                ``DecodeError``. It is called once at most, and forgotten with all that it holds.
        """
        self._set("encoding", encoding)
        self._set("_height", height)
        self._set("_width", width)
        self._set("_make", make)
        self._set("_made", "")
        self._set("_lock", threading.Lock())

    @property
    def pixels(self) -> Pixels:
        """The pixels, read-only.

        Raises:
            DecodeError: the payload is damaged, or nothing could be made of it.
        """
        with self._lock:
            if self._make is not None:
                try:
                    pixels = self._make()
                    pixels.flags.writeable = False
                    self._set("_made", pixels)
                except DecodeError as error:
                    self._set("_made", str(error))
                except Exception as error:  # nobody foresaw it, but it would be the same again
                    said = f"{type(error).__name__} {quote(error, 120)}".rstrip()
                    self._set("_made", f"data cannot be unpacked: {said}")
                self._set("_make", None)
        if isinstance(self._made, str):
            raise DecodeError(self._made, "data")
        return self._made

    @property
    def height(self) -> int:
        """Rows."""
        return self._height

    @property
    def width(self) -> int:
        """Columns."""
        return self._width

    @property
    def nbytes(self) -> int:
        """Memory of the pixels once they are made; what they are made of takes less."""
        return 3 * self._height * self._width

    def __repr__(self) -> str:
        return f"DeferredImage({self._height}, {self._width}, {self.encoding!r})"

    # Comparing or hashing must not make the pixels.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # frozen for everybody else


@dataclass(frozen=True, slots=True)
class Sample:
    """One accepted message of one sensor.

    Attributes:
        sensor: name of the sensor in the configuration.
        stamp_ns: the header stamp as the driver wrote it.
        time_ns: the stamp with the sensor's configured offset added; sensors are compared in it.
        received_ns: when it arrived, on the caller's clock.
        frame_id: the header's coordinate frame.
        image: the decoded pixels.
        made: what has been made of it on its way to the network, by what that depends on: kept with
            the sample, so that each stage is made once. The pipeline fills it.
    """

    sensor: str
    stamp_ns: int
    time_ns: int
    received_ns: int
    frame_id: str
    image: Image
    made: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class FrameSet:
    """What the rig saw at one instant.

    Attributes:
        reference: the sensor whose stamp, frame and geometry the mask will carry.
        samples: one sample for each sensor that contributed, and always that of the reference: its
            header and geometry hold even where its image must not be fused.
        missing: for every configured sensor that did not contribute, the reason in words; also for
            a reference whose image must not be fused.
        completed_ns: when the set was complete or its deadline had passed, on the caller's clock.
        clock_jump: header time began anew with this set: its stamp may lie before that of the last.
    """

    reference: str
    samples: Mapping[str, Sample]
    missing: Mapping[str, str]
    completed_ns: int
    clock_jump: bool = False

    @property
    def reference_sample(self) -> Sample:
        """The sample of the reference sensor."""
        return self.samples[self.reference]

    @property
    def fused(self) -> tuple[str, ...]:
        """The sensors whose images may be fused, in configured order."""
        return tuple(name for name in self.samples if name not in self.missing)


@dataclass(frozen=True, slots=True)
class ModalityBatch:
    """What an engine takes: the sensors that are present, on one axis.

    Attributes:
        images: float32 ``[M, 3, H, W]``, normalised as the model's manifest says.
        modality_ids: int64 ``[M]``, which kind of sensor each row is.
    """

    images: npt.NDArray[np.float32]
    modality_ids: npt.NDArray[np.int64]


OUTPUTS = ("mask", "logits", "confidence", "contributions")
"""What a graph may say about a frame; see :class:`Segmentation`. It has a mask or logits."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What an engine makes of a batch.

    Attributes:
        mask: class ids, uint8 ``[H, W]`` at the network's input size; None where there are logits.
        confidence: the largest class probability, uint8 ``[ceil(H/4), ceil(W/4)]``, 255 being 1;
            None where it was not asked for.
        contributions: how much each row of the batch counted in the whole picture, float32
            ``[M]``, summing to 1; None where the network does not weight its sensors.
        logits: float32 ``[K, ceil(H/4), ceil(W/4)]``, from which the mask follows at any size; None
            where the graph has made the mask itself.
        mask_at: makes the mask of the logits at a size, rows and columns, where the engine has a
            faster way than the processor; None where it has none.
    """

    mask: Mask | None = None
    confidence: Mask | None = None
    contributions: npt.NDArray[np.float32] | None = None
    logits: npt.NDArray[np.float32] | None = None
    mask_at: Callable[[int, int], Mask] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What the encoder of a network makes of one sensor's planes, whoever else is alive.

    Attributes:
        modality_id: which kind of sensor it is.
        pyramid: the engine's own arrays, on its own device; nobody else looks into them.
        nbytes: memory that they take.
    """

    modality_id: int
    pyramid: tuple[Any, ...]
    nbytes: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found in the newest message of a sensor.

    Attributes:
        name: of the check, e.g. ``black``.
        figure: what was measured, in the check's own unit.
        threshold: where it fails.
        passed: whether it did not.
    """

    name: str
    figure: float
    threshold: float
    passed: bool


@dataclass(frozen=True, slots=True)
class FusedShare:
    """What became of one sensor in the last masks.

    Attributes:
        used: of the last masks, in how many it was fused.
        masks: how many masks were looked at.
        reason: why it was left out most often, in words with the mend; empty if it never was.
        benign: whether that reason is no fault, such as a scene in which nothing moves.
        late: that its nearest samples come too late to be waited for, in words with the mend; empty
            if they do not.
        encoded: samples that were encoded so far.
        reused: times that features were fused once more.
        skipped: samples that there was no time to encode.
    """

    used: int = 0
    masks: int = 0
    reason: str = ""
    benign: bool = False
    late: str = ""
    encoded: int = 0
    reused: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class SensorStatus:
    """Health of one sensor at one moment, for diagnostics and for the mask's evidence.

    Attributes:
        sensor: its name.
        state: its health.
        age_ns: time since its last message arrived, good or bad; None if there was none.
        received: accepted messages so far.
        arrived: all messages so far, of event cameras also the pictures made of them. Each is
            taken, dropped or rejected in the end.
        taken: those that were in a frame set.
        rejected: rejected messages so far, by reason.
        dropped: accepted samples that no frame set could use, by reason.
        transitions: how often the state changed.
        first_failure_ns: when it first went down (STALE, FAILED, FROZEN, INVALID or CLOCK); None if
            never.
        rate_hz: mean rate over the last messages; None before the second, and after an outage.
        last_error: the newest rejection in words; empty if there was none.
        since_ns: when it entered its state; None before any time has passed.
        entered: how often it entered each state, by the state's name.
        lately: the last states that it entered, by name, and when, the oldest first.
        fault: what is wrong with its messages, in words; empty while nothing is.
        checks: what the checks found in its newest message.
        fused: in how many of the last masks it was seen, and what became of its samples.
    """

    sensor: str
    state: SensorState
    age_ns: int | None
    received: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    transitions: int = 0
    first_failure_ns: int | None = None
    rate_hz: float | None = None
    last_error: str = ""
    since_ns: int | None = None
    entered: Mapping[str, int] = field(default_factory=dict)
    lately: tuple[tuple[str, int], ...] = ()
    fault: str = ""
    checks: tuple[CheckResult, ...] = ()
    fused: FusedShare = field(default_factory=lambda: FusedShare())
    arrived: int = 0
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Prediction:
    """A semantic mask and the evidence it rests on.

    Attributes:
        mask: uint8 ``[H, W]`` class ids in the geometry of the image of ``picture``.
        frame_set: the samples the mask was made from, and why others are missing.
        sensors: the sensors that were fused, in configured order; empty if ``unlabeled``.
        status: health of every configured sensor when the set was completed.
        network_ns: wall time spent inside the engine.
        process_ns: wall time from frame set to mask: preprocessing, network, resizing.
        unlabeled: why too little was seen to segment, in words: then the whole mask is
            :data:`UNLABELED`. Empty if the network made the mask.
        confidence: uint8 ``[H, W]`` like the mask, 255 times the largest class probability; None
            where it was not asked for, or nothing was segmented.
        contributions: share of each sensor in ``sensors`` in the mask, 0..1, by its name; empty
            where the network does not weight its sensors.
        picture: the sensor whose camera sees what the mask shows: that of a fixed geometry may be
            dead. Empty where nobody has said.
    """

    mask: Mask
    frame_set: FrameSet
    sensors: tuple[str, ...]
    status: tuple[SensorStatus, ...]
    network_ns: int
    process_ns: int
    unlabeled: str = ""
    confidence: Mask | None = None
    contributions: Mapping[str, float] = field(default_factory=dict)
    picture: str = ""

    @property
    def owner(self) -> str:
        """The sensor in whose picture the mask is; the reference's where nobody has said."""
        return self.picture or self.frame_set.reference
