"""Fusion of two streams (FRM and FFM of CMX) made a fusion of any number of sensors; a proposal.

Every sensor in turn is the first stream, the mean of all others the second. Each pair is rectified
and fused as by CMX; the fused maps are averaged. So the order of the sensors does not matter, the
cost grows linearly with their number, two sensors give the mean of both ways to name them first and
second, and one sensor alone is fused with an empty second stream.
"""

from __future__ import annotations

from torch import Tensor, nn

from anymodal_seg_ros.networks.control_prompts import mean_of_others
from anymodal_seg_ros.networks.cross_fusion import FeatureFusion
from anymodal_seg_ros.networks.rectification import FeatureRectification


class OneVersusOthers(nn.Module):
    """Rectify the maps of all sensors by each other and fuse them."""

    def __init__(self, channels: int, heads: int) -> None:
        """Fuse maps of ``channels`` C with ``heads`` heads."""
        super().__init__()
        self.rectify = FeatureRectification(channels)
        self.fuse = FeatureFusion(channels, heads)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``[B, M, C, H, W]`` to rectified maps of the same shape and one ``[B, C, H, W]``."""
        rows = features.shape[:2]
        others = mean_of_others(features).flatten(0, 1)
        first, second = self.rectify(features.flatten(0, 1), others)
        fused = self.fuse(first, second).unflatten(0, rows).mean(dim=1)
        return first.unflatten(0, rows), fused
