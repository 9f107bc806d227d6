"""Predictions as files: masks, overlays, one line of JSON each, and the sum of it all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.image_files import write_picture
from anymodal_seg_ros.frames import Prediction, SensorState, SensorStatus
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.masks.legend import annotated_overlay
from anymodal_seg_ros.messages.evidence import left_out, out_of_order, paired_late, too_fast
from anymodal_seg_ros.written_files import naming

_NO_SENSOR = "unlabeled"


@dataclass(slots=True)
class Summary:
    """What a run amounted to.

    Attributes:
        subsets: number of masks by the sensors they were made from, e.g. ``rgb+thermal``.
        references: number of masks by reference sensor.
        network_ms: time inside the engine, for every mask.
        process_ms: time from frame set to mask, for every mask.
        unlabeled: number of masks without labels, by the reason.
        status: health of the sensors at the last mask, or at the end.
        expected_hz: promised rates by sensor; those of which none is promised may lack.
    """

    subsets: Counter[str] = field(default_factory=Counter)
    references: Counter[str] = field(default_factory=Counter)
    network_ms: list[float] = field(default_factory=list)
    process_ms: list[float] = field(default_factory=list)
    unlabeled: Counter[str] = field(default_factory=Counter)
    status: tuple[SensorStatus, ...] = ()
    expected_hz: Mapping[str, float] = field(default_factory=dict)

    @property
    def masks(self) -> int:
        """Number of masks."""
        return len(self.process_ms)

    def add(self, prediction: Prediction) -> None:
        """Take one more prediction into account."""
        self.subsets["+".join(prediction.sensors) or _NO_SENSOR] += 1
        self.references[prediction.frame_set.reference] += 1
        self.network_ms.append(prediction.network_ns / 1e6)
        self.process_ms.append(prediction.process_ns / 1e6)
        if prediction.unlabeled:
            self.unlabeled[prediction.unlabeled] += 1
        self.status = prediction.status

    @property
    def labelled(self) -> int:
        """Number of masks that were made from at least one sensor."""
        return self.masks - self.subsets[_NO_SENSOR]

    def troubles(self) -> list[str]:
        """Say what is wrong with each sensor that is not well, or had messages rejected."""
        rates = self.expected_hz
        troubles = ((s.sensor, _trouble(s, rates.get(s.sensor, 0.0))) for s in self.status)
        return [f"{sensor}: {trouble}" for sensor, trouble in troubles if trouble]

    def blanks(self) -> list[str]:
        """Say how many masks have no labels, and why."""
        return [f"{n} masks without labels: {why}" for why, n in self.unlabeled.most_common()]

    def why_none(self) -> str:
        """Say why no mask could be made, sensor by sensor."""
        return "; ".join(self.troubles())


def _trouble(status: SensorStatus, expected_hz: float) -> str:
    """Say in words what was wrong with a sensor; '' if nothing was, or it takes no part."""
    if status.state is SensorState.DISABLED:
        return ""
    parts = []
    if status.fault and status.fault not in status.last_error:
        parts.append(f"{status.state.value}, {status.fault}")
    elif status.age_ns is None:
        parts.append("no message")
    elif status.state.down and not status.fault:
        parts.append(f"{status.state.value}, silent for {status.age_ns / 1e9:.1f} s at the end")
    if rejected := sum(status.rejected.values()):
        parts.append(f"messages rejected: {rejected}, the last one: {status.last_error}")
    elif status.last_error:
        parts.append(status.last_error)
    parts += filter(
        None,
        (
            left_out(status, at_the_end=True),
            paired_late(status),
            out_of_order(status),
            too_fast(status, expected_hz),
        ),
    )
    return "; ".join(parts)


class ResultFolder:
    """A folder that predictions are written to.

    ``masks/STAMP.png`` holds class ids (8 bit grey, 255 = unlabeled), ``overlays/STAMP.jpg`` the
    class colours over the reference image, and ``predictions.jsonl`` a line for each mask: its
    stamp, reference, sensors with the offsets of their stamps from the reference's, why the others
    are missing, and every sensor's state. STAMP is the header stamp of the reference sensor in
    nanoseconds; where stamps come again, as in a recording of a bag that loops, the second mask is
    ``STAMP_2``, and so on.
    """

    def __init__(self, folder: Path, manifest: Manifest, alpha: float | None = 0.5) -> None:
        """Create the folder; an earlier run's files in it are replaced.

        Args:
            folder: where to write.
            manifest: of the model, for the class colours.
            alpha: opacity of the overlays' colours, 0..1; None writes no overlays.

        Raises:
            ConfigError: the folder cannot be written to, or holds something else.
        """
        self._folder, self._manifest, self._alpha = folder, manifest, alpha
        self._written = Counter[int]()
        self._path = lines = folder / "predictions.jsonl"
        if folder.is_dir() and any(folder.iterdir()) and not lines.exists():
            raise ConfigError(f"{folder} is not empty and no earlier run's: choose another folder")
        for there in (lines, folder / "masks", folder / "overlays"):
            # A pipe would be waited for, a link leads to where nobody asked to write.
            if there.is_symlink() or (there == lines and there.exists() and not there.is_file()):
                raise ConfigError(f"{there} is a link or no file: choose another folder")
        try:
            for name in ("masks", "overlays") if alpha is not None else ("masks",):
                (folder / name).mkdir(parents=True, exist_ok=True)
            for old in (*folder.glob("masks/*.png"), *folder.glob("overlays/*.jpg")):
                old.unlink()
            self._lines = lines.open("w", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"cannot write results to {folder} ({error.strerror}): choose another folder"
            ) from error

    def __enter__(self) -> ResultFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        with naming(self._path):  # what was still to be written
            self._lines.close()

    def write(self, prediction: Prediction) -> None:
        """Write one prediction."""
        stamp_ns = prediction.frame_set.reference_sample.stamp_ns
        self._written[stamp_ns] += 1
        again = self._written[stamp_ns]
        name = f"{stamp_ns:019d}" + (f"_{again}" if again > 1 else "")
        write_picture(self._folder / "masks" / f"{name}.png", prediction.mask)
        if self._alpha is not None:
            picture = annotated_overlay(prediction, self._manifest, self._alpha)
            bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            write_picture(self._folder / "overlays" / f"{name}.jpg", np.asarray(bgr))
        with naming(self._path):
            self._lines.write(json.dumps(describe(prediction)) + "\n")


def describe(prediction: Prediction) -> dict[str, Any]:
    """Return the evidence of a prediction as plain values for JSON."""
    frames = prediction.frame_set
    time_ns = frames.reference_sample.time_ns
    offsets_ns = {name: frames.samples[name].time_ns - time_ns for name in prediction.sensors}
    return {
        "stamp_ns": frames.reference_sample.stamp_ns,
        "reference": frames.reference,
        "frame_id": frames.reference_sample.frame_id,
        "picture": prediction.owner,
        "sensors": list(prediction.sensors),
        "offsets_ms": {name: round(ns / 1e6, 3) for name, ns in offsets_ns.items()},
        "contributions": {n: round(share, 4) for n, share in prediction.contributions.items()},
        "unlabeled": prediction.unlabeled,
        "missing": dict(frames.missing),
        "states": {status.sensor: status.state.value for status in prediction.status},
        "completed_ns": frames.completed_ns,
        "network_ms": round(prediction.network_ns / 1e6, 3),
        "process_ms": round(prediction.process_ns / 1e6, 3),
    }
