"""A block of the Mix Transformer after whose halves the sensors tell each other what they know.

From StitchFusion (arXiv 2408.01343): MultiAdapter behind attention and behind the feed-forward.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from anymodal_seg_ros.networks.mix_transformer_block import Block
from anymodal_seg_ros.networks.modality_layers import ids_of_rows
from anymodal_seg_ros.networks.pair_adapters import PairAdapters
from anymodal_seg_ros.networks.slots import fill_slots

UPDATES = ("at_once", "in_turn")
"""Whether all sensors tell each other what they know at the same time, or one kind after the other,
those that come later telling also what they have just been told."""


class Stitches(nn.Module):
    """The adapters of one block."""

    def __init__(
        self, channels: int, pairs: str, kinds: int, update: str, dropout: float = 0.1
    ) -> None:
        """Build the adapters of a block of ``channels`` C; see :class:`PairAdapters`.

        Args:
            channels: width C of the tokens.
            pairs: one of :data:`.pair_adapters.PAIRS`.
            kinds: number of kinds of sensors N.
            update: one of :data:`UPDATES`.
            dropout: in the adapters, while training.
        """
        super().__init__()
        self.kinds = kinds
        self.in_turn = update == "in_turn"
        self.after_attention = PairAdapters(channels, pairs, kinds, dropout)
        self.after_feed_forward = PairAdapters(channels, pairs, kinds, dropout)

    def forward(
        self, block: Block, tokens: Tensor, height: int, width: int, modality_ids: Tensor
    ) -> Tensor:
        """Run a block of the encoder with these adapters in it.

        Args:
            block: of the encoder that all sensors share.
            tokens: ``[B, M, L, C]``, L = height times width.
            height: of the map.
            width: of the map.
            modality_ids: int64 ``[M]``.

        Returns:
            Tokens of the same shape.
        """
        batch, rows = tokens.shape[:2]
        ids = ids_of_rows(modality_ids, batch)
        drop = block.drop_path.probability if self.training else 0.0
        for half, norm, adapters in (
            (block.attend, block.attention_norm, self.after_attention),
            (block.feed, block.feed_forward_norm, self.after_feed_forward),
        ):
            tokens = half(tokens.flatten(0, 1), height, width, ids).unflatten(0, (batch, rows))
            exchange = self._in_turn if self.in_turn else self._at_once
            tokens = exchange(tokens, modality_ids, adapters, norm, drop)
        return tokens

    def _at_once(
        self,
        tokens: Tensor,
        modality_ids: Tensor,
        adapters: PairAdapters,
        norm: Callable[[Tensor], Tensor],
        drop: float,
    ) -> Tensor:
        """Let every sensor tell every other one what it knows, all at the same time."""
        weights = _weights(tokens, tokens.shape[1], drop)
        return tokens + adapters(norm(tokens), modality_ids, weights)

    def _in_turn(
        self,
        tokens: Tensor,
        modality_ids: Tensor,
        adapters: PairAdapters,
        norm: Callable[[Tensor], Tensor],
        drop: float,
    ) -> Tensor:
        """Let the kinds speak in the order of their ids, whatever the order of the rows."""
        present = fill_slots(tokens.new_ones((1, tokens.shape[1])), modality_ids, self.kinds)
        weights = _weights(tokens, self.kinds, drop) * present[:, :, None]
        places = fill_slots(tokens, modality_ids, self.kinds)
        for source in range(self.kinds):
            told = adapters.tell(norm(places[:, source]), source)
            places = places + weights[:, source, :, None, None] * told
        return places.index_select(1, modality_ids)


def _weights(tokens: Tensor, rows: int, drop: float) -> Tensor:
    """Return how much each pair counts ``[B, rows, rows]``: nobody tells itself anything."""
    weights = 1.0 - torch.eye(rows, dtype=tokens.dtype, device=tokens.device)
    weights = weights.expand(tokens.shape[0], rows, rows)
    if drop == 0.0:
        return weights
    return weights * torch.empty_like(weights).bernoulli_(1.0 - drop) / (1.0 - drop)
