"""What one step of training costs for each method of a study, and its number of parameters.

    PYTHONPATH=.:training python benchmarks/training_steps.py training/studies/rigbench.yaml \
        [--device cuda] [--steps 20] [--threads 1]

Forward, backward and optimiser on frames of noise that lie on the device already; reading and
varying frames is the same for all. The methods take turns, step by step, so that whatever else the
machine does meets all of them; medians of wall time. `ratio` is the time over that of the study's
first method. Random subsets are drawn as in training, so their median is that of typical draws;
`mean` is what a run takes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from anymodal_seg_ros.networks import build_network
from anymodal_seg_training.checkpoint import save_weights
from anymodal_seg_training.data.augmentation import Batch
from anymodal_seg_training.data.sampling import step_generator
from anymodal_seg_training.fabric import open_fabric
from anymodal_seg_training.runs.command_line import choose_device
from anymodal_seg_training.runs.optimisation import build_optimiser
from anymodal_seg_training.strategies import build_strategy
from anymodal_seg_training.strategies.base import Setting
from anymodal_seg_training.studies.study import PlannedRun, load_study

CLASSES = 16
WARM_UP = 3

Step = Callable[[int], None]


def training_step(run: PlannedRun, device: torch.device) -> tuple[Step, int]:
    """Return a function that does the step of a number, and how many parameters there are."""
    recipe, names = run.recipe, run.recipe.modality_names
    torch.manual_seed(0)
    if run.after is not None:  # a teacher with random weights costs the same
        run.after.create(recipe)
        teacher = build_network(recipe.architecture, CLASSES, names)
        save_weights(run.after.best_file, teacher.state_dict())
    fabric = open_fabric(device, recipe.training.precision)
    network = build_network(recipe.architecture, CLASSES, names)
    network = network.to(device, memory_format=torch.channels_last).train()
    strategy = build_strategy(
        recipe.strategy, Setting(names, np.full(CLASSES, 1 / CLASSES), device)
    )
    strategy.prepare(network)
    optimiser = build_optimiser(network, recipe.training, strategy.rate_of)
    crop, size = recipe.augmentation, recipe.training.batch_size
    images = torch.randn(size, len(names), 3, crop.crop_height, crop.crop_width, device=device)
    labels = torch.randint(CLASSES, (size, crop.crop_height, crop.crop_width), device=device)

    def step(number: int) -> None:
        chosen = strategy.modalities(step_generator(recipe.seed, number), names)
        rows = torch.tensor([names.index(name) for name in chosen], device=device)
        optimiser.zero_grad(set_to_none=True)
        with fabric.autocast():
            batch = Batch(images[:, rows], rows, labels)
            found = strategy.loss(network, batch, step_generator(recipe.seed, number, True))
        found.total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step, sum(p.numel() for p in network.parameters() if p.requires_grad)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    device = choose_device(arguments.device, arguments.threads)
    study = load_study(arguments.study)
    with tempfile.TemporaryDirectory() as folder:
        runs = {run.method.name: run for run in reversed(study.runs(Path(folder)))}
        steps = {m.name: training_step(runs[m.name], device) for m in study.methods}
        times: dict[str, list[float]] = {name: [] for name in steps}
        for number in track(range(WARM_UP + arguments.steps), "measuring", transient=True):
            for name, (step, _) in steps.items():
                begun = time.perf_counter()
                step(number)
                if number >= WARM_UP:
                    times[name].append(1e3 * (time.perf_counter() - begun))
    table = Table("method", "parameters, M", "median, ms", "mean, ms", "ratio of means")
    first = statistics.mean(next(iter(times.values())))
    for method in study.methods:
        found = times[method.name]
        mean = statistics.mean(found)
        table.add_row(
            method.title,
            f"{steps[method.name][1] / 1e6:.2f}",
            f"{statistics.median(found):.1f}",
            f"{mean:.1f}",
            f"{mean / first:.2f}",
        )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    Console(width=100).print(f"{study.title}, on {name}", table)


if __name__ == "__main__":
    main()
