"""mIoU at the size of the labels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from fixtures.tiny_training import CLASSES, HEIGHT, WIDTH, TinySplit, tiny_recipe
from torch import Tensor

from anymodal_seg_ros.evaluation.metrics import mean_iou
from anymodal_seg_ros.networks import AnyModalNetwork, Decoded
from anymodal_seg_training.evaluation.cases import combinations
from anymodal_seg_training.evaluation.native_evaluation import _starts, native_confusions

CPU = torch.device("cpu")
RECIPE = tiny_recipe()


class Oracle(AnyModalNetwork):
    """Reads the class off the brightness, at the full size; notes what it is shown."""

    def __init__(self) -> None:
        super().__init__(len(CLASSES), RECIPE.modality_names)
        self.seen: list[tuple[int, ...]] = []

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        self.seen.append(tuple(images.shape[3:]))
        return [images]

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        level = features[0][:, :1].mean(dim=(1, 2))
        centres = (-0.6, 0.0, 0.8)
        return Decoded(torch.stack([-(level - centre).abs() for centre in centres], dim=1))


@pytest.mark.parametrize("sliding", [False, True])
def test_every_labelled_pixel_of_the_label_counts_once(sliding: bool) -> None:
    split, network = TinySplit("tiny-test"), Oracle()
    cases = combinations(("rgb",))
    found = native_confusions(network, split, RECIPE, CPU, cases, sliding)
    labels = [frame.label for unit in range(split.units) for frame in split.frames(unit)]
    assert labels[0].shape == (40, 80), "another size than the network's input"
    assert int(found["rgb"].sum()) == sum(int((label != 255).sum()) for label in labels)
    truth = np.bincount(np.concatenate([label[label != 255] for label in labels]), minlength=3)
    assert (found["rgb"].sum(axis=1) == truth).all()
    assert set(network.seen) == {(HEIGHT, WIDTH)}, "it sees pictures of its own size only"
    # Windows show every pixel as it is; a scaled picture blurs the edges.
    assert mean_iou(found["rgb"]) > (0.99 if sliding else 0.85)


def test_windows_cover_a_picture_and_end_with_it() -> None:
    for length, window in ((64, 64), (80, 64), (200, 64), (129, 64)):
        starts = list(_starts(length, window))
        assert starts[0] == 0 and starts[-1] == length - window
        assert all(b - a <= window * 2 / 3 + 1 for a, b in itertools.pairwise(starts))
