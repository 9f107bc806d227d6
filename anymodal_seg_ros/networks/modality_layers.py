"""Layers with parameters of its own for each kind of sensor, picked by the ids of their rows.

A row is one image of the modality axis; networks put that axis into the batch axis, so a batch of N
rows comes with ids ``[N]``. Every kind has parameters apart from the others', so that one kind can
be trained or added alone. Rows are picked with ``index_select``, which exports as a plain Gather.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SPREAD = 0.02
"""Standard deviation of the numbers that embeddings begin with."""


def ids_of_rows(modality_ids: Tensor, batch: int) -> Tensor:
    """Return the kind of each row, int64 ``[B*M]``, of images ``[B, M, ...]`` flattened."""
    return modality_ids.expand(batch, -1).flatten()


class ModalityTensor(nn.Module):
    """A learned tensor for each kind of sensor, all of one shape.

    Attributes:
        rows: the tensors, in the order of the ids; empty after :meth:`fold`.
    """

    table: Tensor | None

    def __init__(
        self, initial: Sequence[Tensor], layout: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        """Keep one parameter for each kind.

        Args:
            initial: the first values, one tensor for each kind.
            layout: turns the stacked tensors ``[kinds, ...]`` into what is picked from.
        """
        super().__init__()
        self.rows = nn.ParameterList(nn.Parameter(tensor) for tensor in initial)
        self._layout = layout
        self.register_buffer("table", None)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the tensor of each row, ``[N, ...]``, for ids int64 ``[N]``."""
        table = self._laid_out() if self.table is None else self.table
        return table.index_select(0, ids)

    def _laid_out(self) -> Tensor:
        stacked = torch.stack(list(self.rows))
        return stacked if self._layout is None else self._layout(stacked)

    @torch.no_grad()
    def add_modality(self, like: int) -> nn.Parameter:
        """Append a kind that begins as a copy of the kind ``like``, and return its parameter."""
        self.rows.append(nn.Parameter(self.rows[like].detach().clone()))
        return self.rows[-1]

    @torch.no_grad()
    def replace_modalities(self, rows: Sequence[int]) -> None:
        """Keep the kinds ``rows``, in this order; a kind named twice is copied."""
        self.rows = nn.ParameterList(nn.Parameter(self.rows[row].detach().clone()) for row in rows)

    @torch.no_grad()
    def fold(self) -> None:
        """Replace the parameters by one constant, stacked and laid out."""
        if self.table is None:
            self.table = self._laid_out()
            self.rows = nn.ParameterList()


class ModalityEmbedding(ModalityTensor):
    """A learned vector for each kind of sensor."""

    def __init__(self, modalities: int, channels: int) -> None:
        """Draw a vector of ``channels`` numbers for each kind."""
        super().__init__([_SPREAD * torch.randn(channels) for _ in range(modalities)])


class LayerNorm(nn.LayerNorm):
    """The layer norm over the last axis that serves all kinds; it takes their ids all the same."""

    def forward(self, x: Tensor, ids: Tensor | None = None) -> Tensor:
        """Normalise ``x`` ``[N, ..., C]``; ``ids`` are of no account."""
        return super().forward(x)


class ModalityLayerNorm(nn.Module):
    """A layer norm over the last axis whose scale and offset belong to the kind of sensor."""

    def __init__(self, channels: int, eps: float = 1e-5, *, modalities: int) -> None:
        """Begin as the identity after normalising, for every kind."""
        super().__init__()
        self.channels = channels
        self.eps = eps
        self.weight = ModalityTensor([torch.ones(channels) for _ in range(modalities)])
        self.bias = ModalityTensor([torch.zeros(channels) for _ in range(modalities)])

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        """Normalise ``x`` ``[N, ..., C]`` with the affines of ``ids`` ``[N]``."""
        shape = (x.shape[0],) + (1,) * (x.ndim - 2) + (self.channels,)
        weight, bias = self.weight(ids).reshape(shape), self.bias(ids).reshape(shape)
        normed = F.layer_norm(x, (self.channels,), eps=self.eps).to(weight.dtype)
        if torch.is_grad_enabled():
            return torch.addcmul(bias, normed, weight)
        # In place: to touch new memory costs more than to compute.
        return normed.mul_(weight).add_(bias)


class ModalityAdapter(nn.Module):
    """A small residual network at every position, of the kind of sensor's own; at first nothing.

    ``x + B_kind GELU(A_kind x + a_kind)``, behind a stage of a shared encoder: what all kinds have
    in common stays shared, and a kind can still see in its own way (residual adapters, arXiv
    1705.08045; here as wide as the stage). B begins as zero, so a network that is given adapters
    computes what it did before.
    """

    def __init__(self, channels: int, modalities: int) -> None:
        """Adapt tokens of ``channels`` channels of ``modalities`` kinds."""
        super().__init__()
        std = channels**-0.5
        self.inward = ModalityTensor(
            [std * torch.randn(channels, channels) for _ in range(modalities)]
        )
        self.offset = ModalityTensor([torch.zeros(channels) for _ in range(modalities)])
        self.outward = ModalityTensor([torch.zeros(channels, channels) for _ in range(modalities)])

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        """Adapt ``x`` ``[N, L, C]`` by the kinds ``ids`` ``[N]``."""
        hidden = torch.baddbmm(self.offset(ids)[:, None], x, self.inward(ids))
        return x + torch.bmm(F.gelu(hidden), self.outward(ids))

    def on_map(self, x: Tensor, ids: Tensor) -> Tensor:
        """Adapt a map ``[N, C, H, W]`` by the kinds ``ids`` ``[N]``."""
        tokens = x.permute(0, 2, 3, 1).flatten(1, 2)
        return self(tokens, ids).unflatten(1, x.shape[-2:]).permute(0, 3, 1, 2)


class ModalityStem(nn.Module):
    """A 7x7 convolution of stride 4 and padding 3, with weights of its own for each kind.

    Computed as space-to-depth by 4 and batched matrix products, because a convolution whose
    weights are picked at run time, or grouped by a shape, is poorly supported where networks are
    deployed. The 7x7 patch lies in 2x2 blocks of 4x4 pixels, whose first row and column it leaves
    out, so the result is exactly that of the convolution.
    """

    def __init__(self, in_channels: int, channels: int, modalities: int) -> None:
        """Map ``in_channels`` planes to ``channels``; see :meth:`convolution` for the weights."""
        super().__init__()
        convolutions = [nn.Conv2d(in_channels, channels, 7) for _ in range(modalities)]
        self.weight = ModalityTensor([c.weight.detach() for c in convolutions], _lay_out_patches)
        biases = [c.bias.detach() for c in convolutions if c.bias is not None]
        self.bias = ModalityTensor(biases)

    def forward(self, images: Tensor, ids: Tensor) -> tuple[Tensor, int, int]:
        """Map ``[N, C_in, H, W]`` to tokens ``[N, h*w, C]``, h and w, a quarter rounded up."""
        padded = F.pad(images, (4, -images.shape[3] % 4, 4, -images.shape[2] % 4))
        # Contiguous blocks, and a product for each block row, keep the copies small. In one step:
        # a pixel_unshuffle has its channels first, and to turn those takes three times as long.
        blocks = padded.unflatten(3, (-1, 4)).unflatten(2, (-1, 4))
        blocks = blocks.permute(0, 2, 4, 1, 3, 5).flatten(3)
        pairs = torch.cat([blocks[:, :, :-1], blocks[:, :, 1:]], dim=-1)
        height, width = pairs.shape[1] - 1, pairs.shape[2]
        upper, lower = self.weight(ids).chunk(2, dim=1)
        tokens = torch.baddbmm(self.bias(ids)[:, None], pairs[:, :-1].flatten(1, 2), upper)
        tokens = torch.baddbmm(tokens, pairs[:, 1:].flatten(1, 2), lower)
        return tokens, height, width


def _lay_out_patches(weight: Tensor) -> Tensor:
    """Turn 7x7 kernels ``[kinds, C, C_in, 7, 7]`` into matrices ``[kinds, 4*16*C_in, C]``.

    The rows are in the order of :meth:`ModalityStem.forward`: block row, block column, plane, row
    and column in the block.
    """
    padded = F.pad(weight, (1, 0, 1, 0)).unflatten(4, (2, 4)).unflatten(3, (2, 4))
    return padded.permute(0, 3, 5, 2, 4, 6, 1).flatten(1, 5)
