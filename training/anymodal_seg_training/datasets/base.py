"""What a data set is: labelled frames in independent units, for three splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from anymodal_seg_ros.frames import Image, Mask
from anymodal_seg_ros.inference.manifest import ClassSpec

SPLITS = ("train", "validation", "test")

SYNTHETIC = "**Synthetic data only.**"
"""With this a description begins that is of drawn frames; it stands in the model card then."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a frame comes from, for people.

    Attributes:
        recording: what it was taken from: a folder, a bag, a scene.
        moment: the frame in it: a file's name, a time.
    """

    recording: str
    moment: str


@dataclass(frozen=True, slots=True)
class LabelledFrame:
    """One instant.

    Attributes:
        images: what each modality saw, pixel aligned, in the encodings that a node would get. Some
            data sets read an image when it is asked for, and fail then if it is damaged.
        label: uint8 ``[H, W]`` class ids, 255 where there is none.
        conditions: under which it was taken, such as weather: fog; scores are told apart by them.
        origin: where it comes from, for people; None if the data set does not tell.
    """

    images: Mapping[str, Image]
    label: Mask
    conditions: Mapping[str, str] = field(default_factory=dict)
    origin: Origin | None = None


class Split(Protocol):
    """One split of a data set; it is pickled and sent to worker processes.

    A unit (a scene, a recording) is what one worker turns into frames at a time, and what can be
    done again after a crash.
    """

    @property
    def name(self) -> str:
        """Data set and split, e.g. ``rig-train``; it becomes part of a folder name."""
        ...

    @property
    def key(self) -> str:
        """A text that differs whenever the frames would differ."""
        ...

    @property
    def units(self) -> int:
        """How many units there are."""
        ...

    @property
    def frames_per_unit(self) -> int:
        """How many frames each unit gives."""
        ...

    def frames(self, unit: int) -> Iterator[LabelledFrame]:
        """Make or read the frames of a unit; the same ones every time."""
        ...

    def conditions(self, unit: int) -> Sequence[Mapping[str, str]]:
        """Tell the conditions of each frame of a unit, without making or reading its images."""
        ...


class Dataset(Protocol):
    """A data set with its classes."""

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """The classes in the order of their ids."""
        ...

    @property
    def description(self) -> str:
        """What the data is, honestly, in Markdown, for the model card."""
        ...

    def split(self, name: str) -> Split:
        """Return one of :data:`SPLITS`."""
        ...
