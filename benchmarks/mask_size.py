"""What a mask at the camera's size is worth: mIoU against labels rendered at that size.

    python benchmarks/mask_size.py --scenes 20

Frames of RigBench's test split, without failures, drawn at 640x480 with their labels. The network
runs once per frame and set of sensors; then its logits become a mask in three ways:

* quarter: argmax of the logits as they are (48x64), blown up by nearest neighbour;
* input: argmax at the network's input size (192x256), as graphs do it that return a mask, blown up
  by nearest neighbour;
* camera: interpolated to the camera's size, then argmax (``inference/masks/argmax.py``).

Boundary mIoU looks only at pixels within 2 of a border between two classes. Needs the extra sim.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from anymodal_seg_ros.evaluation.metrics import Confusion, confusion_matrix, mean_iou
from anymodal_seg_ros.frames import UNLABELED, Mask, Segmentation
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.masks.argmax import Logits, lazy_argmax
from anymodal_seg_ros.inference.model import DEFAULT_MODEL, load_model
from anymodal_seg_ros.inference.preprocess import batch
from anymodal_seg_ros.simulation.dataset.frames import scene_frames, sized_sensors
from anymodal_seg_ros.simulation.dataset.plan import CLEAN, ScenePlan
from anymodal_seg_ros.simulation.dataset.rigbench import rigbench

HEIGHT, WIDTH = 480, 640
NEAR_BORDER = 2
SUBSETS = (("rgb", "thermal", "depth", "event"), ("rgb",))


def chosen(scenes: int) -> list[ScenePlan]:
    """Return scenes of the test split in which no sensor fails, spread over all places."""
    plans = [plan for plan in rigbench().plans("test") if plan.case == CLEAN]
    return [plans[k * len(plans) // scenes] for k in range(scenes)]


def ways(height: int, width: int) -> dict[str, Callable[[Logits], Mask]]:
    """Return the ways from logits to a mask of the camera's size."""

    def blown_up(mask: Mask) -> Mask:
        return np.asarray(cv2.resize(mask, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST_EXACT))

    return {
        "quarter": lambda logits: blown_up(np.asarray(logits.argmax(axis=0), np.uint8)),
        "input": lambda logits: blown_up(lazy_argmax(logits, height, width)),
        "camera": lambda logits: lazy_argmax(logits, HEIGHT, WIDTH),
    }


def near_borders(label: Mask) -> Mask:
    """Return the labels near a border between classes, the others as unlabeled."""
    kernel = np.ones((2 * NEAR_BORDER + 1,) * 2, np.uint8)
    inside = cv2.erode(label, kernel) == cv2.dilate(label, kernel)
    return np.where(inside, np.uint8(UNLABELED), label)


def logits_of(result: Segmentation) -> Logits:
    """Return the logits of a network that has them."""
    if result.logits is None:
        raise SystemExit("the model has no logits among its outputs")
    return result.logits


def measure(model_path: str, scenes: int) -> dict[str, dict[str, float]]:
    """Segment the frames and compare every way with the labels."""
    model = load_model(model_path)
    engine = create_engine("onnxruntime", model, 1)
    classes = len(model.manifest.classes)
    totals: dict[str, list[Confusion]] = {}
    took: dict[str, list[float]] = defaultdict(list)
    masks_by = ways(model.manifest.height, model.manifest.width)
    for frame in scene_frames(chosen(scenes), sized_sensors(WIDTH, HEIGHT)):
        border = near_borders(frame.labels)
        for subset in SUBSETS:
            present = [(name, frame.images[name]) for name in subset]
            logits = logits_of(engine.run(batch(present, model.manifest)))
            for way, make in masks_by.items():
                started = time.thread_time()
                mask = make(logits)
                key = f"{'+'.join(subset)}, {way}"
                took[key].append(time.thread_time() - started)
                found = [confusion_matrix(each, mask, classes) for each in (frame.labels, border)]
                before = totals.get(key, [np.zeros_like(each) for each in found])
                totals[key] = [one + other for one, other in zip(before, found, strict=True)]
    return {
        key: {
            "miou": 100 * mean_iou(whole),
            "boundary_miou": 100 * mean_iou(near),
            "cpu_ms": 1e3 * float(np.median(took[key])),
            "frames": len(took[key]),
        }
        for key, (whole, near) in totals.items()
    }


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--scenes", type=int, default=20, help="three frames each, about 4 s each")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args()
    results = measure(options.model, options.scenes)
    table = Table(title=f"{options.model}, masks of {WIDTH}x{HEIGHT}")
    for name in ("", *next(iter(results.values()))):
        table.add_column(name)
    for key, row in results.items():
        table.add_row(key, *(f"{value:.4g}" for value in row.values()))
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
