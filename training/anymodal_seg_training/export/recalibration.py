"""The statistics of every set of sensors, measured anew on frames without labels.

While training, the statistics of a head follow varied crops and weights that still move, and those
of a set that is seldom drawn follow few of them. Here they are made for the weights as they are,
which stay untouched, on whole frames: the mean over all of them, not over the last ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import torch
from torch import Tensor, nn

from anymodal_seg_ros.networks import AnyModalNetwork
from anymodal_seg_ros.networks.set_statistics import SetStatistics, set_of
from anymodal_seg_training.data.sampling import Indices, spread_indices
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.frame_source import FrameSource, read_frames
from anymodal_seg_training.datasets.mixed_frames import shares_of
from anymodal_seg_training.evaluation.cases import combinations
from anymodal_seg_training.evaluation.encoded_once import EncodedOnce
from anymodal_seg_training.evaluation.member_view import seen_by
from anymodal_seg_training.export.trained_network import open_trained
from anymodal_seg_training.recipe import Recipe
from anymodal_seg_training.runs.command_line import (
    choose_device,
    machine_options,
    open_source,
    run_command,
)
from anymodal_seg_training.runs.display import Display

if TYPE_CHECKING:  # it takes torchmetrics along, which takes as long as all the rest
    from anymodal_seg_training.evaluation.case_evaluation import Progress

_BATCH = 4


@dataclass(slots=True)
class _Moments:
    """Sums of the values of each channel, in float64."""

    ids: Tensor
    values: int = 0
    batches: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    deviation: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    """Sum of the squared distances from the mean."""

    def add(self, x: Tensor) -> None:
        """Take in a map ``[B, C, H, W]``, by Chan's formula, which does not cancel."""
        channels = x.transpose(0, 1).flatten(1).double()
        count, mean = channels.shape[1], channels.mean(dim=1)
        deviation = (channels - mean[:, None]).square().sum(dim=1)
        total = self.values + count
        step = mean - self.mean
        self.deviation = self.deviation + deviation + step.square() * self.values * count / total
        self.mean = self.mean + step * count / total
        self.values, self.batches = total, self.batches + 1


class _HeadRecorder:
    """Notes the maps that reach a head, by the set of the sensors that they are made of."""

    def __init__(self, sets: SetStatistics) -> None:
        self._sets = sets
        self._found: dict[int, _Moments] = {}
        self._handle = sets.register_forward_pre_hook(self._note)

    def _note(
        self, module: nn.Module, arguments: tuple[nn.BatchNorm2d, Tensor, Tensor | None]
    ) -> None:
        _, x, ids = arguments
        if ids is not None:
            row = int(set_of(ids, self._sets.kinds))
            self._found.setdefault(row, _Moments(ids)).add(x)

    def put(self) -> int:
        """Give the head what was found; return of how many sets."""
        for found in self._found.values():
            variance = found.deviation / max(found.values - 1, 1)
            self._sets.put(found.ids, found.mean, variance, found.batches)
        return len(self._found)

    def leave(self) -> None:
        """Note nothing any more."""
        self._handle.remove()


@torch.inference_mode()
def recalibrate(
    network: AnyModalNetwork,
    frames: FrameSource,
    recipe: Recipe,
    device: torch.device,
    count: int,
    progress: Progress = lambda done, total: None,
) -> int:
    """Measure mean and variance in the heads of a network for every subset of its sensors.

    Args:
        network: whose statistics are replaced; its weights are not touched.
        frames: that it was trained on, of one data set or of several; labels are not used.
        recipe: of the run.
        device: where the network is.
        count: of frames, spread over each data set.
        progress: see :data:`.Progress`.

    Returns:
        How many sets of sensors have statistics now, 0 for a network without such a head.
    """
    was_training = network.training
    network.eval()
    heads = [m for m in network.modules() if isinstance(m, SetStatistics) and len(m.batches)]
    recorders = [_HeadRecorder(sets) for sets in heads]
    try:
        for share in shares_of(frames, recipe.modality_names) if heads else ():
            own, view = seen_by(share, recipe, network)
            chosen = spread_indices(count, len(share.source))
            _show(view, share.source, chosen, own.modality_names, device, progress)
    finally:
        for recorder in recorders:
            recorder.leave()
        network.train(was_training)
    return max((recorder.put() for recorder in recorders), default=0)


def _show(
    network: AnyModalNetwork,
    frames: FrameSource,
    chosen: Indices,
    modalities: Sequence[str],
    device: torch.device,
    progress: Progress,
) -> None:
    """Let a network see frames with every subset of their sensors."""
    parts = np.array_split(chosen, -(-len(chosen) // _BATCH))
    done = 0
    read = partial(read_frames, modalities=modalities)
    for planes, _ in frames.run(parts, read):
        encoded = EncodedOnce(network, planes.to(device).float())
        for case in combinations(modalities):
            encoded.logits(case.rows)
        done += len(planes)
        progress(done, len(chosen))


@click.command("recalibrate")
@click.argument("path", metavar="RUN|MODEL", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--frames",
    "count",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="Of the training split, spread over it; of every data set of a mixture.",
)
@machine_options
def main(path: Path, count: int, device: str, threads: int, workers: int, cache_dir: Path) -> None:
    """Measure the statistics of every set of sensors anew, for the weights as they are.

    Do so after training and before evaluating: a network with some sensors gains, one with all
    loses nothing. No label is used and no weight changes. Of a run folder the best weights are
    replaced; of a model folder the weights and the ONNX file: measure its numbers anew then.
    """

    def command() -> None:
        trained = open_trained(path)
        recipe = trained.recipe
        dataset = open_dataset(recipe.data)
        chosen = choose_device(device, threads)
        network = trained.network(len(dataset.classes), chosen)
        with Display() as display:
            frames = open_source(dataset, "train", recipe, cache_dir, workers, display)
            report = partial(display.advance, "measuring the statistics of every set of sensors")
            sets = recalibrate(network, frames, recipe, chosen, count, report)
        if not sets:
            click.echo(
                f"{path} stays as it is: its network normalises nothing that depends on which "
                "sensors are there"
            )
            return
        trained.replace(network)
        click.echo(f"written: {trained.weights_file}, with statistics of {sets} sets of sensors")

    run_command(command)


if __name__ == "__main__":
    main()
