"""Frames that are in two splits: exactly, or so nearly that it makes no difference."""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image, Pixels
from anymodal_seg_training.datasets.base import Origin

ALIKE = 0.95
"""From this correlation on two pictures count as nearly the same.

Copies that were compressed, scaled, brightened or made noisy have 0.97 and more, neighbouring
frames of a drive 0.9 to 1, pictures of two real streets up to 0.7, the most alike of 35,000 pairs
of simulated ones 0.9.
"""

_GRID = 16
"""Cells along each side, whose differences from their neighbours are what a picture looks like."""

_NUMBERS = 128
"""As which a picture's look is kept; a million frames are 256 MB then."""

_BLOCK = 8192
"""Frames of each split that are compared at a time."""


@dataclass(frozen=True, slots=True)
class FrameMark:
    """By what a frame is known again.

    Attributes:
        content: digest of the pixels of its first image that shows something.
        look: float16 ``[128]`` of length 1; the product of two is about their correlation.
        origin: where the frame comes from.
    """

    content: bytes
    look: npt.NDArray[np.float16]
    origin: Origin


@dataclass(frozen=True, slots=True)
class SharedFrame:
    """A frame of one split that is in another, too.

    Attributes:
        origin: where it comes from.
        other: where the frame of the other split comes from.
        exact: whether the pixels are the same, not only nearly.
    """

    origin: Origin
    other: Origin
    exact: bool


def mark_of(images: Mapping[str, Image], origin: Origin) -> FrameMark | None:
    """Mark a frame by its first image that shows something; None if all are of one value."""
    for modality, image in images.items():
        look = _look(image.pixels)
        if look is not None:
            content = hashlib.blake2b(np.ascontiguousarray(image.pixels).data, digest_size=16)
            content.update(f"{modality} {image.pixels.shape}".encode())
            return FrameMark(content.digest(), _shortened(look, modality), origin)
    return None


def shared_frames(judged: Sequence[FrameMark], known: Sequence[FrameMark]) -> list[SharedFrame]:
    """Find the frames of ``judged`` that are in ``known``, too, in their order."""
    first: dict[bytes, Origin] = {}
    for mark in known:
        first.setdefault(mark.content, mark.origin)
    found = {
        number: SharedFrame(mark.origin, first[mark.content], exact=True)
        for number, mark in enumerate(judged)
        if mark.content in first
    }
    rest = [number for number in range(len(judged)) if number not in found]
    for place, twin in _alike([judged[number] for number in rest], known):
        number = rest[place]
        found[number] = SharedFrame(judged[number].origin, known[twin].origin, exact=False)
    return [found[number] for number in sorted(found)]


def _alike(judged: Sequence[FrameMark], known: Sequence[FrameMark]) -> Iterator[tuple[int, int]]:
    """Tell which frames look nearly like one of ``known``, and like which the most."""
    for start in range(0, len(judged), _BLOCK):
        looks = _stacked(judged[start : start + _BLOCK])
        best = np.full(len(looks), ALIKE, np.float32)
        twin = np.full(len(looks), -1)
        for begin in range(0, len(known), _BLOCK):
            alike = looks @ _stacked(known[begin : begin + _BLOCK]).T
            nearest = alike.argmax(1)
            value = alike[np.arange(len(looks)), nearest]
            better = value > best
            best[better], twin[better] = value[better], begin + nearest[better]
        yield from ((start + int(row), int(twin[row])) for row in np.flatnonzero(twin >= 0))


def _stacked(marks: Sequence[FrameMark]) -> npt.NDArray[np.float32]:
    return np.stack([mark.look for mark in marks]).astype(np.float32)


def _look(pixels: Pixels) -> npt.NDArray[np.float32] | None:
    """Return the edges of a coarse grey picture, of length 1; None if there are none."""
    gray = np.asarray(pixels, np.float32)
    if gray.ndim == 3:
        gray = gray.mean(2)
    gray = np.nan_to_num(gray, posinf=0.0, neginf=0.0)  # unknown distances
    cells = cv2.resize(gray, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    edges = np.concatenate([np.diff(cells, axis=axis).ravel() for axis in (0, 1)])
    length = float(np.linalg.norm(edges))
    # Rounding alone gives a picture of one value edges.
    if length <= 1e-4 * float(np.abs(cells).max()):
        return None
    return np.asarray(edges / length, np.float32)


def _shortened(look: npt.NDArray[np.float32], modality: str) -> npt.NDArray[np.float16]:
    short = look @ _projection(modality)
    return np.asarray(short / np.linalg.norm(short), np.float16)


@functools.cache
def _projection(modality: str) -> npt.NDArray[np.float32]:
    """Random directions keep angles; a kind of sensor has its own, as two are never alike."""
    rng = np.random.default_rng(zlib.crc32(modality.encode()))
    size = 2 * _GRID * (_GRID - 1)
    return rng.standard_normal((size, _NUMBERS), dtype=np.float32)
