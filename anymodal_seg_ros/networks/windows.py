"""Attention inside windows of a map, to any number of maps of the same place.

The windows and their shift are those of Swin (arXiv 2103.14030, section 3.2). All maps have their
channels last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """How a map is cut into windows; a map smaller than a window is one smaller window.

    Attributes:
        height: of the map.
        width: of the map.
        rows: height of a window.
        columns: width of a window.
        down: rows by which the windows are shifted, cyclically.
        right: columns by which they are shifted.
    """

    height: int
    width: int
    rows: int
    columns: int
    down: int
    right: int

    @classmethod
    def of(cls, height: int, width: int, window: int, shifted: bool) -> WindowGrid:
        """Cut a map into windows of ``window`` x ``window``, shifted by half of that or not."""
        rows, columns = min(window, height), min(window, width)
        # Where there is one window there are no other windows to hear from.
        down = rows // 2 if shifted and height > rows else 0
        right = columns // 2 if shifted and width > columns else 0
        return cls(height, width, rows, columns, down, right)

    @property
    def whole(self) -> bool:
        """Whether every token of a window may attend to every other."""
        padded = self.height % self.rows or self.width % self.columns
        return not (padded or self.down or self.right)

    def split(self, maps: Tensor) -> Tensor:
        """Cut ``[N, H, W, C]`` into ``[N, windows, rows * columns, C]``, zeros where it ends."""
        below, beside = -self.height % self.rows, -self.width % self.columns
        if below or beside:
            maps = F.pad(maps, (0, 0, 0, beside, 0, below))
        if self.down or self.right:
            maps = maps.roll((-self.down, -self.right), dims=(1, 2))
        cut = maps.unflatten(2, (-1, self.columns)).unflatten(1, (-1, self.rows))
        return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def join(self, windows: Tensor) -> Tensor:
        """Undo :meth:`split`."""
        across = -(-self.width // self.columns)
        cut = windows.unflatten(1, (-1, across)).unflatten(3, (self.rows, self.columns))
        maps = cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if self.down or self.right:
            maps = maps.roll((self.down, self.right), dims=(1, 2))
        return maps[:, : self.height, : self.width]

    def forbidden(self, device: torch.device) -> Tensor:
        """Tell which tokens must not meet, bool ``[windows, rows * columns, rows * columns]``.

        They are those that the shift brought together from opposite sides of the map, and those of
        the map with those behind its end.
        """
        y = torch.arange(-(-self.height // self.rows) * self.rows, device=device)[:, None]
        x = torch.arange(-(-self.width // self.columns) * self.columns, device=device)
        behind = (y >= self.height) | (x >= self.width)
        region = 4 * behind + 2 * (y < self.down) + (x < self.right)
        padded = replace(self, height=region.shape[0], width=region.shape[1])
        tokens = padded.split(region[None, :, :, None])[0, :, :, 0]
        return tokens[:, :, None] != tokens[:, None, :]


class WindowCrossAttention(nn.Module):
    """One map asks the maps of all sensors, each token those of its window."""

    def __init__(self, channels: int, heads: int, window: int, shifted: bool) -> None:
        """Attend with ``heads`` heads in windows of ``window`` x ``window``."""
        super().__init__()
        self.heads = heads
        self.window = window
        self.shifted = shifted
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        self.position = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        """Map ``[B, H, W, C]`` and the sensors' ``[B, M, H, W, C]`` to ``[B, H, W, C]``."""
        batch, modalities, height, width = asked.shape[:4]
        grid = WindowGrid.of(height, width, self.window, self.shifted)
        query = grid.split(self.query(asking)).flatten(0, 1)
        key, value = (
            # The tokens of a window, sensor after sensor.
            grid.split(part.flatten(0, 1))
            .unflatten(0, (batch, modalities))
            .transpose(1, 2)
            .flatten(2, 3)
            .flatten(0, 1)
            for part in self.key_value(asked).chunk(2, dim=-1)
        )
        attended = F.scaled_dot_product_attention(
            self._heads(query),
            self._heads(key),
            self._heads(value),
            attn_mask=self._bias(grid, batch, modalities).to(query.dtype),
        )
        # A copy, because eager and exported attention lay out their result differently.
        tokens = attended.transpose(1, 2).clone(memory_format=torch.contiguous_format)
        windows = tokens.flatten(2).unflatten(0, (batch, -1))
        return self.out(grid.join(windows))

    def _heads(self, tokens: Tensor) -> Tensor:
        """Turn ``[N, L, C]`` into ``[N, heads, L, C / heads]``."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _bias(self, grid: WindowGrid, batch: int, modalities: int) -> Tensor:
        """Return what is added to the scores, ``[1 or B*windows, heads, n, M*n]``."""
        device = self.position.device
        y = torch.arange(grid.rows, device=device)
        x = torch.arange(grid.columns, device=device)
        last = self.window - 1
        rows = (y[:, None] - y + last)[:, None, :, None]
        columns = (x[:, None] - x + last)[None, :, None, :]
        place = (rows * (2 * self.window - 1) + columns).flatten(2).flatten(0, 1)
        tokens = grid.rows * grid.columns
        picked = self.position.index_select(0, place.flatten())
        bias = picked.T.reshape(1, self.heads, tokens, 1, tokens)
        if not grid.whole:
            forbidden = grid.forbidden(device)[:, None, :, None, :]
            bias = bias.masked_fill(forbidden, float("-inf"))
            bias = bias.expand(batch, *bias.shape).flatten(0, 1)
        return bias.expand(-1, -1, -1, modalities, -1).flatten(3, 4)
