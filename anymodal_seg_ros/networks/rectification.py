"""The feature rectification module (FRM): two streams correct each other before they are fused."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNEL_SHARE = 0.5
SPATIAL_SHARE = 0.5
"""How much of the other stream, weighted by channel and by place, is added to each stream."""


class FeatureRectification(nn.Module):
    """Add to each of two maps what it lacks and the other has, by channel and by place.

    From CMX (arXiv 2203.04838, section III-B), as CMNeXt (arXiv 2303.01480) uses it.
    """

    def __init__(self, channels: int) -> None:
        """Build the module for two maps of ``channels`` C each."""
        super().__init__()
        self.channel_weights = nn.Sequential(
            nn.Linear(4 * channels, 4 * channels),
            nn.ReLU(),
            nn.Linear(4 * channels, 2 * channels),
            nn.Sigmoid(),
        )
        self.spatial_weights = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, 2, 1), nn.Sigmoid()
        )

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Rectify two maps by each other.

        Args:
            first: ``[N, C, H, W]``.
            second: ``[N, C, H, W]``, the other view of the same places.

        Returns:
            Both maps rectified, of the same shapes and in the same order.
        """
        both = torch.cat((first, second), dim=1)
        pooled = torch.cat((both.mean(dim=(2, 3)), both.amax(dim=(2, 3))), dim=1)
        of_first, of_second = self.channel_weights(pooled)[:, :, None, None].chunk(2, dim=1)
        at_first, at_second = self.spatial_weights(both).chunk(2, dim=1)
        return (
            first + (CHANNEL_SHARE * of_second + SPATIAL_SHARE * at_second) * second,
            second + (CHANNEL_SHARE * of_first + SPATIAL_SHARE * at_first) * first,
        )
