"""What one spoiled sensor among all costs a network, and how much of the votes it keeps.

    PYTHONPATH=.:training python benchmarks/liars.py runs/rig-nano [RUN ...] [--frames 80]

Each run's best weights segment frames of the test split with all sensors present, one of them
spoiled: mIoU in %, and in brackets the sensor's mean share of the votes, where the network has
such. Noise is drawn from a fixed seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from anymodal_seg_ros.evaluation.metrics import mean_iou
from anymodal_seg_ros.networks import upsample_logits
from anymodal_seg_training.data.sampling import spread_indices
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.export.trained_network import load_best
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.command_line import choose_device, open_split
from anymodal_seg_training.runs.display import Display

BATCH = 8

Way = Callable[[Tensor], Tensor]
"""From the planes of one sensor, ``[B, 3, H, W]``, to spoiled ones."""

WAYS: dict[str, Way] = {
    "nothing": lambda planes: planes,
    "zero everywhere": torch.zeros_like,
    "one level everywhere": lambda planes: torch.full_like(planes, 2.0),
    "nothing but noise": torch.randn_like,
    "strong noise over the picture": lambda planes: planes + 1.5 * torch.randn_like(planes),
    "half of the readings lost": lambda planes: planes * (torch.rand_like(planes) < 0.5),
    "another frame, mirrored": lambda planes: planes.roll(1, dims=0).flip(-1),
    "the picture moved by a third": lambda p: p.roll(p.shape[-1] // 3, dims=-1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--cache-dir", type=Path, default=Path(".cache/frames"))
    arguments = parser.parse_args()
    device = choose_device(arguments.device, arguments.threads)
    for path in arguments.runs:
        table = measure(path, device, arguments.frames, arguments.cache_dir)
        Console(width=110).print(table)


@torch.inference_mode()
def measure(path: Path, device: torch.device, wanted: int, cache_dir: Path) -> Table:
    run = RunFolder(path)
    recipe = run.recipe
    dataset, names = open_dataset(recipe.data), recipe.modality_names
    classes = len(dataset.classes)
    network = load_best(run, classes, device)
    with Display() as display:
        frames = open_split(dataset, "test", recipe, cache_dir, 0, display)
    chosen = spread_indices(wanted, len(frames))
    ids = torch.arange(len(names), device=device)
    counts = {(way, name): np.zeros((classes, classes), np.int64) for way in WAYS for name in names}
    shares: dict[tuple[str, str], list[float]] = {key: [] for key in counts}
    torch.manual_seed(0)
    for first in track(range(0, len(chosen), BATCH), path.name, transient=True):
        planes, labels = frames.read(chosen[first : first + BATCH], names)
        whole, truth = planes.to(device).float(), labels.numpy().astype(np.int64)
        for (way, name), count in counts.items():
            row = names.index(name)
            fed = whole.clone()
            fed[:, row] = WAYS[way](whole[:, row])
            found = network.decode(network.forward_features(fed, ids), ids)
            masks = upsample_logits(found.logits, *truth.shape[1:]).argmax(dim=1).cpu().numpy()
            known = truth < classes
            np.add.at(count, (truth[known], masks[known]), 1)
            if found.contributions is not None:
                shares[way, name].append(float(found.contributions[:, row].mean()))
    table = Table("spoiled", *names, title=f"{path.name}, {len(chosen)} test frames")
    for way in WAYS:
        cells = []
        for name in names:
            share = shares[way, name]
            votes = f" ({np.mean(share):.2f})" if share else ""
            cells.append(f"{100 * mean_iou(counts[way, name]):.1f}{votes}")
        table.add_row(way, *cells)
    return table


if __name__ == "__main__":
    main()
