"""The all-MLP head of SegFormer (arXiv 2105.15203, section 3.2) and its exact shorter form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def resize_map(features: Tensor, size: Sequence[int]) -> Tensor:
    """Resize ``[N, C, H, W]`` bilinearly to ``size`` (height, width), corners not aligned."""
    return F.interpolate(features, size=tuple(size), mode="bilinear", align_corners=False)


class SegFormerHead(nn.Module):
    """Bring four feature maps to one width, resize, concatenate, fuse, classify.

    The parameters are those of the published head. The arithmetic is not: between the projections
    and the batch norm there is no non-linearity, and a 1x1 convolution commutes with bilinear
    resizing, whose weights sum to one. So projection and fusion are composed and applied *before*
    the resizing, on the small maps, which gives the same result (a test holds it to that) for a
    tenth of the cost, in training too.
    """

    def __init__(
        self, in_channels: Sequence[int], width: int, num_classes: int, dropout: float = 0.1
    ) -> None:
        """Build the head.

        Args:
            in_channels: channels of the four maps, from stride 4 to stride 32.
            width: channels inside the head.
            num_classes: number of classes K.
            dropout: probability that a whole fused map is zeroed while training.
        """
        super().__init__()
        self.projections = nn.ModuleList(nn.Conv2d(c, width, 1) for c in in_channels)
        self.fuse = nn.Conv2d(len(in_channels) * width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(width, num_classes, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Map four feature maps to logits ``[B, K, H/4, W/4]``."""
        size = pyramid[0].shape[-2:]
        weights, biases = self._composed(self.fuse.weight.dtype)
        fused = F.conv2d(pyramid[0], weights[0][:, :, None, None], torch.stack(biases).sum(dim=0))
        for features, weight in zip(pyramid[1:], weights[1:], strict=True):
            fused = fused + resize_map(F.conv2d(features, weight[:, :, None, None]), size)
        return self.classify(self.dropout(F.relu(self.norm(fused))))

    def _composed(self, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
        """Return fusion times projection for each stage: weights ``[E, C_i]``, biases ``[E]``."""
        blocks = self.fuse.weight.to(dtype).flatten(1).chunk(len(self.projections), dim=1)
        weights, biases = [], []
        # The published head concatenates in the order c4, c3, c2, c1.
        for projection, block in zip(self.projections, blocks[::-1], strict=True):
            assert isinstance(projection, nn.Conv2d) and projection.bias is not None
            weights.append(block @ projection.weight.to(dtype).flatten(1))
            biases.append(block @ projection.bias.to(dtype))
        return weights, biases

    @torch.no_grad()
    def folded(self) -> FoldedSegFormerHead:
        """Return a head of constants for evaluation: composed in float64, batch norm folded in."""
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        weights, biases = self._composed(torch.float64)
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        centre = norm.running_mean.double() - torch.stack(biases).sum(dim=0)
        bias = norm.bias.double() - scale * centre
        head = FoldedSegFormerHead(
            [weight.shape[1] for weight in weights],
            self.fuse.out_channels,
            self.classify.out_channels,
        ).to(self.fuse.weight.device)
        for projection, weight in zip(head.projections, weights, strict=True):
            assert isinstance(projection, nn.Conv2d)
            projection.weight.copy_((scale[:, None] * weight)[:, :, None, None])
        assert isinstance(head.projections[0], nn.Conv2d) and head.projections[0].bias is not None
        head.projections[0].bias.copy_(bias)
        head.classify.load_state_dict(self.classify.state_dict())
        return head.eval()


class FoldedSegFormerHead(nn.Module):
    """The head for deployment: one 1x1 convolution per stage, resize, sum, ReLU, classify."""

    def __init__(self, in_channels: Sequence[int], width: int, num_classes: int) -> None:
        """Build an empty head; :meth:`SegFormerHead.folded` fills it."""
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Conv2d(channels, width, 1, bias=index == 0)  # one bias is enough for the sum
            for index, channels in enumerate(in_channels)
        )
        self.classify = nn.Conv2d(width, num_classes, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Map four feature maps to logits ``[B, K, H/4, W/4]``."""
        size = pyramid[0].shape[-2:]
        total = self.projections[0](pyramid[0])
        for projection, features in zip(self.projections[1:], pyramid[1:], strict=True):
            total = total + resize_map(projection(features), size)
        return self.classify(F.relu(total))
