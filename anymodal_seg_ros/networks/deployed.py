"""The form of a network that runs on the robot: one frame in, class ids out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from anymodal_seg_ros.networks.base import AnyModalNetwork, upsample_logits


class DeployedNetwork(nn.Module):
    """A network without batch axis, with folded head, upsampling and argmax inside.

    Engines run this module, or the ONNX graph that is exported from it.
    """

    def __init__(self, network: AnyModalNetwork) -> None:
        """Take a copy of ``network``, fold it and set it to evaluation."""
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        self.network.fold()
        self.eval()

    def forward(self, images: Tensor, modality_ids: Tensor) -> Tensor:
        """Map ``images`` ``[M, 3, H, W]`` and ``modality_ids`` ``[M]`` to uint8 ``[H, W]``."""
        logits = self.network(images.unsqueeze(0), modality_ids)
        logits = upsample_logits(logits, images.shape[-2], images.shape[-1])
        return logits.argmax(dim=1).to(torch.uint8)[0]
