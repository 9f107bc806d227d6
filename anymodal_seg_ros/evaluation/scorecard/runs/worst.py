"""The worst masks of a replay, kept as small pictures for the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anymodal_seg_ros.evaluation.scorecard.runs.pixels import mean_iou
from anymodal_seg_ros.evaluation.scorecard.runs.records import MaskRecord
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import WorstMask
from anymodal_seg_ros.frames import Image, Mask, Prediction
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.masks.visualize import Rgb, colorize, overlay, viewable
from anymodal_seg_ros.written_files import write_file

WIDTH = 320
"""Of the pictures, in pixels."""

_MOST = 4
"""Masks that are kept."""

_APART_S = 0.5
"""Of masks closer together than this only the worst is kept: they show the same."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """One mask, as far as it may have to be shown; pictures are made when all is over."""

    score: float
    record: MaskRecord
    images: Mapping[str, Image]
    picture: Image
    mask: Mask
    label: Mask | None


class WorstMasks:
    """Keeps the few masks with the lowest score: mIoU, or what stayed since the mask before.

    The two are no scores to compare: with the first label, masks without one do not count any more.
    """

    def __init__(self, manifest: Manifest) -> None:
        """Begin with none; the model's manifest has the colours."""
        self._manifest = manifest
        self._kept: dict[int, _Kept] = {}
        self._labelled = False

    def add(self, record: MaskRecord, prediction: Prediction, label: Mask | None) -> None:
        """Look at one mask; of one that is kept the images are kept, too."""
        score = _score(record)
        if score is None or (self._labelled and record.overlap is None):
            return
        if record.overlap is not None and not self._labelled:
            self._labelled = True
            self._kept.clear()
        place = int(record.time_s / _APART_S)
        if place in self._kept:
            if score >= self._kept[place].score:
                return
        elif len(self._kept) >= _MOST:
            best = max(self._kept, key=lambda key: self._kept[key].score)
            if score >= self._kept[best].score:
                return
            del self._kept[best]
        frames = prediction.frame_set
        images = {
            name: sample.image
            for name, sample in frames.samples.items()
            if sample.image.encoding != "PointCloud2"
        }
        picture = frames.reference_sample.image
        self._kept[place] = _Kept(score, record, images, picture, prediction.mask, label)

    def write(self, folder: Path) -> tuple[WorstMask, ...]:
        """Write the pictures as JPEG files, and return what they show, the worst first."""
        found: list[WorstMask] = []
        if self._kept:
            folder.mkdir()
        for kept in sorted(self._kept.values(), key=lambda kept: kept.score):
            record, files = kept.record, {}
            for place, (what, picture) in enumerate(self._pictures(kept)):
                files[what] = f"{len(found)}-{place}.jpg"
                write_file(folder / files[what], _jpeg(picture))
            found.append(
                WorstMask(
                    time_s=round(record.time_s, 3),
                    score=round(kept.score, 4),
                    of="kept" if record.overlap is None else "miou",
                    subset=record.subset,
                    states=dict(record.states),
                    pictures=files,
                )
            )
        return tuple(found)

    def _pictures(self, kept: _Kept) -> Iterator[tuple[str, Rgb]]:
        for name, image in kept.images.items():
            yield name, viewable(image)
        yield "overlay", overlay(kept.picture, kept.mask, self._manifest)
        if kept.label is not None:
            yield "label", colorize(kept.label, self._manifest)


def _score(record: MaskRecord) -> float | None:
    if record.overlap is not None:
        return mean_iou(record.overlap)
    if record.kept is not None and record.kept[1]:
        return record.kept[0] / record.kept[1]
    return None


def _jpeg(picture: Rgb) -> bytes:
    height = max(1, round(picture.shape[0] * WIDTH / picture.shape[1]))
    small = cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    return np.asarray(data, np.uint8).tobytes()
