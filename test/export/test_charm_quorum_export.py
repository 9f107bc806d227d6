"""One graph of CHARM and one of Quorum serve every subset of sensors."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.zoo import HEIGHT, WIDTH, network_of

from anymodal_seg_ros.networks import DeployedNetwork
from anymodal_seg_training.onnx_file import agreement, write_onnx

pytestmark = pytest.mark.export

SUBSETS = [list(s) for n in range(1, 5) for s in itertools.combinations(range(4), n)]
MORE = [0, 2, 0, 3, 1, 2]
"""More sensors than there are kinds."""


@pytest.mark.parametrize("name", ["quorum", pytest.param("charm", marks=pytest.mark.slow)])
def test_the_graph_computes_the_same_for_all_subsets(name: str, tmp_path: Path) -> None:
    network = network_of(name)
    frame = torch.randn(6, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():  # so that the classes compete
        logits = network(frame[None, :4], torch.arange(4))
    network.head.classify.bias.data -= logits.mean(dim=(0, 2, 3))
    deployed = DeployedNetwork(network)
    write_onnx(deployed, HEIGHT, WIDTH, tmp_path / "model.onnx")
    for ids in [*SUBSETS, MORE]:
        images = frame[ids].numpy() if ids != MORE else frame.numpy()
        share = agreement(deployed, tmp_path / "model.onnx", images[None], np.array(ids))
        assert share >= 0.999, ids
    with torch.inference_mode():
        assert len(deployed(frame[:4], torch.arange(4)).unique()) > 3
