"""The worst masks of a replay, kept as small pictures for the report."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from anymodal_seg_ros.evaluation.scorecard.pixels import mean_iou
from anymodal_seg_ros.evaluation.scorecard.records import MaskRecord
from anymodal_seg_ros.evaluation.scorecard.run_folder import WorstMask
from anymodal_seg_ros.frames import Mask, Prediction
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.visualize import Rgb, colorize, overlay, viewable

WIDTH = 320
"""Of the pictures, in pixels."""

_APART_S = 0.5
"""Of masks closer together than this only the worst is kept: they show the same."""


class WorstMasks:
    """Keeps the few masks with the lowest score: mIoU, or what stayed since the mask before."""

    def __init__(self, manifest: Manifest, count: int = 4) -> None:
        """Begin with none.

        Args:
            manifest: of the model, for the colours.
            count: how many to keep.
        """
        self._manifest, self._count = manifest, count
        self._kept: dict[int, tuple[float, MaskRecord, dict[str, bytes]]] = {}

    def add(self, record: MaskRecord, prediction: Prediction, label: Mask | None) -> None:
        """Look at one mask; pictures are made only of one that is kept."""
        score = _score(record)
        if score is None:
            return
        place = int(record.time_s / _APART_S)
        if place in self._kept:
            if score >= self._kept[place][0]:
                return
        elif len(self._kept) >= self._count:
            best = max(self._kept, key=lambda key: self._kept[key][0])
            if score >= self._kept[best][0]:
                return
            del self._kept[best]
        self._kept[place] = (score, record, self._pictures(prediction, label))

    def write(self, folder: Path) -> tuple[WorstMask, ...]:
        """Write the pictures as JPEG files, and return what they show, the worst first."""
        found: list[WorstMask] = []
        if self._kept:
            folder.mkdir()
        for score, record, pictures in sorted(self._kept.values(), key=lambda kept: kept[0]):
            files = {}
            for place, (what, data) in enumerate(pictures.items()):
                files[what] = f"{len(found)}-{place}.jpg"
                (folder / files[what]).write_bytes(data)
            found.append(
                WorstMask(
                    time_s=round(record.time_s, 3),
                    score=round(score, 4),
                    of="kept" if record.overlap is None else "miou",
                    subset=record.subset,
                    states=dict(record.states),
                    pictures=files,
                )
            )
        return tuple(found)

    def _pictures(self, prediction: Prediction, label: Mask | None) -> dict[str, bytes]:
        frames = prediction.frame_set
        image = frames.reference_sample.image
        shown = {
            name: viewable(sample.image)
            for name, sample in frames.samples.items()
            if sample.image.encoding != "PointCloud2"
        }
        shown["overlay"] = overlay(image, prediction.mask, self._manifest)
        if label is not None:
            shown["label"] = colorize(label, self._manifest)
        return {what: _jpeg(picture) for what, picture in shown.items()}


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
