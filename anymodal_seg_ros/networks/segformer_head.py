"""The all-MLP head of SegFormer (arXiv 2105.15203, section 3.2) and its exact shorter form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.networks.set_statistics import SetStatistics, set_of


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
        self,
        in_channels: Sequence[int],
        width: int,
        num_classes: int,
        dropout: float = 0.1,
        kinds: int = 0,
    ) -> None:
        """Build the head.

        Args:
            in_channels: channels of the four maps, from stride 4 to stride 32.
            width: channels inside the head.
            num_classes: number of classes K.
            dropout: probability that a whole fused map is zeroed while training.
            kinds: of sensors, every set of which has running statistics of its own; 0 for a head
                whose maps are always those of the same sensors.
        """
        super().__init__()
        self.projections = nn.ModuleList(nn.Conv2d(c, width, 1) for c in in_channels)
        self.fuse = nn.Conv2d(len(in_channels) * width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.sets = SetStatistics(kinds, width) if kinds else None
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(width, num_classes, 1)

    def forward(self, pyramid: Sequence[Tensor], modality_ids: Tensor | None = None) -> Tensor:
        """Map four feature maps to logits ``[B, K, H/4, W/4]``.

        Args:
            pyramid: four maps ``[B, C_i, H_i, W_i]``, the finest first.
            modality_ids: int64 ``[M]``, the sensors that the maps are made of; None where all sets
                of sensors share their statistics.
        """
        size = pyramid[0].shape[-2:]
        weights, biases = self._composed(self.fuse.weight.dtype)
        fused = F.conv2d(pyramid[0], weights[0][:, :, None, None], torch.stack(biases).sum(dim=0))
        for features, weight in zip(pyramid[1:], weights[1:], strict=True):
            fused = fused + resize_map(F.conv2d(features, weight[:, :, None, None]), size)
        normal = self.sets(self.norm, fused, modality_ids) if self.sets else self.norm(fused)
        return self.classify(self.dropout(F.relu(normal)))

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
        """Return a head of constants for evaluation: composed in float64, batch norm folded in.

        Where sets of sensors have statistics of their own, what is left of the batch norm is a
        scale and an offset for each set.
        """
        norm = self.norm
        weights, biases = self._composed(torch.float64)
        moments = (norm.running_mean, norm.running_var)
        kinds = 0
        if self.sets is not None and self.sets.any_seen:
            moments, kinds = self.sets.tables(norm), self.sets.kinds
        mean, variance = (moment.double() for moment in moments if moment is not None)
        scale = norm.weight.double() / (variance + norm.eps).sqrt()
        offset = norm.bias.double() - scale * (mean - torch.stack(biases).sum(dim=0))
        head = FoldedSegFormerHead(
            [weight.shape[1] for weight in weights],
            self.fuse.out_channels,
            self.classify.out_channels,
            kinds,
        ).to(self.fuse.weight.device)
        for projection, weight in zip(head.projections, weights, strict=True):
            assert isinstance(projection, nn.Conv2d)
            scaled = weight if kinds else scale[:, None] * weight
            projection.weight.copy_(scaled[:, :, None, None])
        if kinds:
            head.scale.copy_(scale)
            head.offset.copy_(offset)
        else:
            assert isinstance(head.projections[0], nn.Conv2d)
            assert head.projections[0].bias is not None
            head.projections[0].bias.copy_(offset)
        head.classify.load_state_dict(self.classify.state_dict())
        return head.eval()


class FoldedSegFormerHead(nn.Module):
    """The head for deployment: one 1x1 convolution per stage, resize, sum, ReLU, classify.

    Attributes:
        scale: of the sum, ``[2^kinds, W]``, by the set of sensors; no row where all sets share it.
        offset: what is added then, the same.
    """

    scale: Tensor
    offset: Tensor

    def __init__(
        self, in_channels: Sequence[int], width: int, num_classes: int, kinds: int = 0
    ) -> None:
        """Build an empty head; :meth:`SegFormerHead.folded` fills it."""
        super().__init__()
        self.kinds = kinds
        self.projections = nn.ModuleList(
            # One bias is enough for the sum; that of a set is its offset.
            nn.Conv2d(channels, width, 1, bias=index == 0 and not kinds)
            for index, channels in enumerate(in_channels)
        )
        rows = 1 << kinds if kinds else 0
        self.register_buffer("scale", torch.ones(rows, width))
        self.register_buffer("offset", torch.zeros(rows, width))
        self.classify = nn.Conv2d(width, num_classes, 1)

    def forward(self, pyramid: Sequence[Tensor], modality_ids: Tensor | None = None) -> Tensor:
        """Map four feature maps to logits ``[B, K, H/4, W/4]``; see :meth:`SegFormerHead.forward`.

        The ids are needed where sets of sensors have a scale and an offset of their own.
        """
        size = pyramid[0].shape[-2:]
        total = self.projections[0](pyramid[0])
        for projection, features in zip(self.projections[1:], pyramid[1:], strict=True):
            total = total + resize_map(projection(features), size)
        if self.kinds:
            assert modality_ids is not None
            row = set_of(modality_ids, self.kinds)
            scale, offset = (table.index_select(0, row) for table in (self.scale, self.offset))
            total = total * scale[:, :, None, None] + offset[:, :, None, None]
        return self.classify(F.relu(total))
