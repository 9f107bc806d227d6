"""How training in a simulator carries over: models that never saw a real picture, on real streets.

    python benchmarks/real_streets.py --labelled FOLDER --pairs FOLDER --model rig-nano

* ``--labelled``: a folder with ``rgb/`` and ``label/`` of one name each, labels in the eleven
  classes of CamVid (Segmentation and Recognition Using Structure from Motion Point Clouds, ECCV
  2008) numbered as in :data:`CAMVID`. RGB alone: mean IoU, IoU of each class, share of the pixels.
* ``--pairs``: a folder with ``rgb/``, ``thermal/`` and ``boxes/NAME.visible.txt``,
  ``NAME.infrared.txt`` (class cx cy w h, relative; 0 person, 2 car), day frames ending in D, night
  frames in N. A person counts as found when its class has :data:`FOUND` of the box seen by the
  thermal camera, a car of the box seen in the visible. Beside it stands the share of all pixels of
  the class that lie in a box of either camera, which falls when people are seen everywhere.

Both are for measuring only; nothing is trained on them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from anymodal_seg_ros.evaluation.image_files import load_image
from anymodal_seg_ros.evaluation.metrics import class_iou, confusion_matrix
from anymodal_seg_ros.frames import UNLABELED, Mask
from anymodal_seg_ros.inference.engine_protocol import Engine
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.preprocess import batch

CAMVID = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
"""Classes by their number in the labels; all others are void."""

AS_CAMVID = {
    "road": "road",
    "road marking": "road",
    "sidewalk": "pavement",
    "terrain": "tree",
    "building": "building",
    "wall": "building",
    "vegetation": "tree",
    "pole": "pole",
    "traffic sign": "sign",
    "car": "car",
    "truck": "car",
    "person": "pedestrian",
    "two-wheeler": "bicyclist",
    "barrier": "fence",
    "sky": "sky",
}
"""RigBench's classes as CamVid's; an obstacle is none, and counts as wrong."""

WRONG = len(CAMVID)
"""What is none of CamVid's classes."""

FOUND = 0.2
"""Share of a box that its class must have."""

PERSON, CAR = 0, 2
"""Numbers of classes in the files of boxes."""


@dataclass
class Hits:
    """Boxes and pixels of one class in one light."""

    boxes: int = 0
    found: int = 0
    pixels: int = 0
    inside: int = 0

    @property
    def row(self) -> dict[str, float]:
        """The shares, in per cent."""
        return {
            "boxes": self.boxes,
            "found": 100.0 * self.found / max(self.boxes, 1),
            "inside": 100.0 * self.inside / max(self.pixels, 1),
        }


@dataclass
class Segmenter:
    """A model that makes masks of the size of what it is given first."""

    model: Model
    engine: Engine
    names: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, source: str) -> Segmenter:
        """Load a model folder or bundled model."""
        model = load_model(source)
        engine = create_engine("onnxruntime", model, 1)
        return cls(model, engine, [spec.name for spec in model.manifest.classes])

    def mask(self, paths: dict[str, Path]) -> Mask:
        """Segment one frame, given as a file for each modality; the mask has the first's size."""
        images = [(name, load_image(path)) for name, path in paths.items()]
        result = self.engine.run(batch(images, self.model.manifest))
        if result.logits is None:
            raise SystemExit(f"{self.model.manifest.name} has no logits among its outputs")
        first = images[0][1]
        return lazy_argmax(result.logits, first.height, first.width)


def labelled(segmenter: Segmenter, folder: Path) -> dict[str, float]:
    """Compare masks from RGB alone with labels; shares in per cent."""
    as_camvid = np.full(256, WRONG, np.uint8)
    for number, name in enumerate(segmenter.names):
        if name in AS_CAMVID:
            as_camvid[number] = CAMVID.index(AS_CAMVID[name])
    confusion = np.zeros((WRONG + 1, WRONG + 1), np.int64)
    for path in track(sorted((folder / "rgb").iterdir()), "labelled", transient=True):
        label = cv2.imread(str(folder / "label" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED)
        if label is None:
            raise SystemExit(f"{folder / 'label'} has no {path.stem}.png")
        label = np.where(label < WRONG, label, UNLABELED).astype(np.uint8)
        found = as_camvid[segmenter.mask({"rgb": path})]
        confusion += confusion_matrix(label, found, WRONG + 1)
    iou = class_iou(confusion)[:WRONG]
    right = float(np.trace(confusion)) / float(confusion.sum())
    by_class = {name: 100.0 * float(iou[number]) for number, name in enumerate(CAMVID)}
    return {"mIoU": 100.0 * float(np.nanmean(iou)), "pixels": 100.0 * right, **by_class}


def boxes_of(path: Path, number: int, shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of the boxes of a class; of a missing or empty file none."""
    height, width = shape[:2]
    for line in path.read_text(encoding="ascii").splitlines() if path.is_file() else ():
        kind, x, y, w, h = (float(value) for value in line.split())
        if int(kind) == number:
            top, left = max(0, round((y - h / 2) * height)), max(0, round((x - w / 2) * width))
            bottom, right = round((y + h / 2) * height), round((x + w / 2) * width)
            if bottom > top and right > left:
                yield slice(top, bottom), slice(left, right)


def paired(
    segmenter: Segmenter, folder: Path, modalities: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Count people and cars that the masks of some sensors find."""
    counted = {f"{what} {when}": Hits() for what in ("person", "car") for when in ("day", "night")}
    for path in track(sorted((folder / "rgb").iterdir()), "+".join(modalities), transient=True):
        mask = segmenter.mask({name: folder / name / path.name for name in modalities})
        when = "night" if path.stem.endswith("N") else "day"
        for what, number, band in (("person", PERSON, "infrared"), ("car", CAR, "visible")):
            own: npt.NDArray[np.bool_] = mask == segmenter.names.index(what)
            hits, anywhere = counted[f"{what} {when}"], np.zeros(mask.shape, bool)
            for each in ("infrared", "visible"):
                boxes = folder / "boxes" / f"{path.stem}.{each}.txt"
                for rows, columns in boxes_of(boxes, number, mask.shape):
                    anywhere[rows, columns] = True
                    if each == band:
                        hits.boxes += 1
                        hits.found += bool(own[rows, columns].mean() >= FOUND)
            hits.pixels += int(own.sum())
            hits.inside += int((own & anywhere).sum())
    return {key: hits.row for key, hits in counted.items()}


def main() -> int:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", required=True, help="may be given repeatedly")
    parser.add_argument("--labelled", type=Path)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args()
    segmenters = {source: Segmenter.of(source) for source in options.model}
    results: dict[str, dict[str, dict[str, float]]] = {}
    for source, segmenter in segmenters.items():
        found = results.setdefault(source, {})
        if options.labelled:
            found["rgb, labelled"] = labelled(segmenter, options.labelled)
        for modalities in (("rgb",), ("thermal",), ("rgb", "thermal")) if options.pairs else ():
            counted = paired(segmenter, options.pairs, modalities)
            found |= {f"{'+'.join(modalities)}, {key}": row for key, row in counted.items()}
    table = Table("", *results)
    for key in next(iter(results.values())):
        for figure in results[options.model[0]][key]:
            values = (f"{found[key][figure]:.1f}" for found in results.values())
            table.add_row(f"{key}: {figure}", *values)
    Console(width=100).print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
