"""A stage of EQUISeg (arXiv 2509.24505): sensors learn from each other, each the first in turn.

The cross-modal transformer block (CMTB) is a transformer block of one sensor, the primary, that
also attends to what a self-query hub and a pooling mixer make of all other sensors. Every sensor is
the primary once, and all of them are computed as one batch. Where the paper's text is silent, the
choices are those of docs/explanation/methods/equiseg.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.networks.mix_transformer import HEADS, REDUCTIONS, Stage, initialise
from anymodal_seg_ros.networks.mix_transformer_block import (
    DropPath,
    map_to_tokens,
    split_heads,
    tokens_to_map,
)
from anymodal_seg_ros.networks.modality_layers import (
    ModalityLayerNorm,
    ModalityTensor,
    ids_of_rows,
)
from anymodal_seg_ros.networks.pooling_mixer import HIDDEN_RATIOS, PoolingMixer
from anymodal_seg_ros.networks.query_hub import SelfQueryHub, has_company, strongest_of_the_others


def by_branch(branches: Sequence[Callable[..., Tensor]], rows: Tensor, *rest: object) -> Tensor:
    """Let the only branch do all rows ``[B*M, ...]``, or each of M branches its own ``[B, ...]``.

    ``rest`` is passed on; what comes back has the order of ``rows``.
    """
    if len(branches) == 1:
        return branches[0](rows, *rest)
    parts = rows.unflatten(0, (-1, len(branches))).unbind(1)
    done = [branch(part, *rest) for branch, part in zip(branches, parts, strict=True)]
    return torch.stack(done, dim=1).flatten(0, 1)


class ModalityLinear(nn.Module):
    """A linear layer with weights of its own for each kind of sensor, as one batched product."""

    def __init__(self, in_channels: int, channels: int, kinds: int) -> None:
        """Map ``in_channels`` to ``channels``; begin as the linear layers of a MiT do."""
        super().__init__()
        shape = (in_channels, channels)
        self.weight = ModalityTensor(
            [nn.init.trunc_normal_(torch.empty(shape), std=0.02) for _ in range(kinds)]
        )
        self.bias = ModalityTensor([torch.zeros(channels) for _ in range(kinds)])

    def forward(self, tokens: Tensor, ids: Tensor) -> Tensor:
        """Map ``[N, L, C_in]`` of the kinds ``ids`` ``[N]`` to ``[N, L, C]``."""
        return torch.baddbmm(self.bias(ids)[:, None], tokens, self.weight(ids))


class CrossModalAttention(nn.Module):
    """Attention of a sensor to its auxiliary map; all but the reduction is the sensor's own.

    Keys and values come from a smaller map, as in the self-attention of a MiT. The strided
    convolution that makes it belongs to the branch and not to the kind of sensor: it only
    resamples, and convolutions with weights chosen at run time are to be avoided.
    """

    def __init__(self, index: int, channels: int, kinds: int, branches: int) -> None:
        """Build the attention of stage ``index`` (0..3) for ``kinds`` kinds of sensors."""
        super().__init__()
        self.heads = HEADS[index]
        self.query_norm = ModalityLayerNorm(channels, eps=1e-6, modalities=kinds)
        self.source_norm = ModalityLayerNorm(channels, eps=1e-6, modalities=kinds)
        self.query = ModalityLinear(channels, channels, kinds)
        self.key_value = ModalityLinear(channels, 2 * channels, kinds)
        self.out = ModalityLinear(channels, channels, kinds)
        self.reduce = nn.ModuleList()
        reduction = REDUCTIONS[index]
        if reduction > 1:
            self.reduce.extend(
                nn.Conv2d(channels, channels, reduction, reduction) for _ in range(branches)
            )
            self.reduce.apply(initialise)
            self.reduce_norm = ModalityLayerNorm(channels, modalities=kinds)

    def forward(self, x: Tensor, source: Tensor, height: int, width: int, ids: Tensor) -> Tensor:
        """Map tokens ``x`` and what they ask, both ``[N, H*W, C]``, to ``[N, H*W, C]``."""
        source = self.source_norm(source, ids)
        if self.reduce:
            smaller = by_branch(list(self.reduce), tokens_to_map(source, height, width))
            source = self.reduce_norm(map_to_tokens(smaller), ids)
        key, value = self.key_value(source, ids).chunk(2, dim=-1)
        query = self.query(self.query_norm(x, ids), ids)
        query, key, value = (split_heads(t, self.heads) for t in (query, key, value))
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.out(attended.transpose(1, 2).flatten(2), ids)


class CrossModalStage(nn.Module):
    """What one stage of EQUISeg adds to the stage of a MiT, or of one MiT for each sensor."""

    def __init__(
        self,
        index: int,
        channels: int,
        kinds: int,
        branches: int,
        mixers: int,
        attending: Sequence[int],
        drop_path: float,
    ) -> None:
        """Build the parts between the sensors.

        Args:
            index: of the stage, 0..3.
            channels: its width C.
            kinds: number of kinds of sensors.
            branches: 1, or ``kinds`` where each kind has its own mixer and reduction.
            mixers: number of pooling mixers after the hub.
            attending: places of the blocks that attend to the other sensors.
            drop_path: probability that a residual branch is skipped while training.
        """
        super().__init__()
        self.stride = 4 if index == 0 else 2
        self.hub = SelfQueryHub(channels, kinds)
        ratio = HIDDEN_RATIOS[index]
        self.mixers = nn.ModuleList(
            nn.Sequential(*(PoolingMixer(channels, ratio, drop_path) for _ in range(mixers)))
            for _ in range(branches)
        )
        self.attentions = nn.ModuleDict(
            {str(at): CrossModalAttention(index, channels, kinds, branches) for at in attending}
        )
        self.drop_path = DropPath(drop_path)

    def forward(
        self, stages: Sequence[Stage], features: Tensor, ids: Tensor, present: Tensor | None
    ) -> Tensor:
        """Run the stage for every sensor as the primary.

        Args:
            stages: of the encoders, one for all sensors or one for each row of the modality axis.
            features: ``[B, M, C_in, H, W]``.
            ids: kind of each row, int64 ``[M]``.
            present: which rows there are, bool ``[M]``; None if there is only one, which then
                learns from nobody.

        Returns:
            ``[B, M, C, H', W']``.
        """
        batch, rows, _, *size = features.shape
        height, width = (-(-side // self.stride) for side in size)
        kinds = ids_of_rows(ids, batch)
        own = kinds if len(stages) == 1 else None
        x = by_branch([partial(_embed, stage) for stage in stages], features.flatten(0, 1), own)
        others = alone = None
        if present is not None:
            others = self._auxiliary(x.unflatten(0, (batch, rows)), ids, present, height, width)
            alone = ids_of_rows(~has_company(present), batch)[:, None, None]
        for at, blocks in enumerate(zip(*(stage.blocks for stage in stages), strict=True)):
            x = by_branch([block.attend for block in blocks], x, height, width, own)
            if others is not None and alone is not None and str(at) in self.attentions:
                learned = self.attentions[str(at)](x, others, height, width, kinds)
                x = x + self.drop_path(learned.masked_fill(alone, 0.0))
            x = by_branch([block.feed for block in blocks], x, height, width, own)
        maps = by_branch([stage.finish for stage in stages], x, height, width, own)
        return maps.unflatten(0, (batch, rows))

    def _auxiliary(
        self, x: Tensor, ids: Tensor, present: Tensor, height: int, width: int
    ) -> Tensor:
        """Turn tokens ``[B, M, L, C]`` into those of all others, ``[B*M, L, C]``."""
        scored = self.hub(x, ids, height, width)
        others = strongest_of_the_others(scored, present).flatten(0, 1)
        return map_to_tokens(by_branch(list(self.mixers), tokens_to_map(others, height, width)))


def _embed(stage: Stage, features: Tensor, ids: Tensor | None) -> Tensor:
    tokens: Tensor = stage.embedding(features, ids)[0]
    return tokens
