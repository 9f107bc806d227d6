"""Attention inside windows of a map, to any number of maps of the same place.

The windows and their shift are those of Swin (arXiv 2103.14030, section 3.2). All maps have their
channels last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anymodal_seg_ros.networks.query_hub import has_company

ITSELF = -1e4
"""Added to the scores of a map with itself, where maps ask only others; within 16-bit floats."""


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

    @property
    def _cells(self) -> tuple[int, int, int, int]:
        """Windows from top to bottom, rows of each, windows from left to right, columns of each."""
        along, across = -(-self.height // self.rows), -(-self.width // self.columns)
        return along, self.rows, across, self.columns

    @property
    def count(self) -> int:
        """Number of windows."""
        return self._cells[0] * self._cells[2]

    def split(self, maps: Tensor) -> Tensor:
        """Cut ``[N, H, W, C]`` into ``[N, windows, rows * columns, C]``, zeros where it ends."""
        below, beside = -self.height % self.rows, -self.width % self.columns
        if below or beside:
            maps = F.pad(maps, (0, 0, 0, beside, 0, below))
        if self.down or self.right:
            maps = maps.roll((-self.down, -self.right), dims=(1, 2))
        cut = maps.reshape(-1, *self._cells, maps.shape[-1]).transpose(2, 3)
        return cut.reshape(-1, self.count, self.rows * self.columns, maps.shape[-1])

    def join(self, windows: Tensor) -> Tensor:
        """Undo :meth:`split`."""
        along, rows, across, columns = self._cells
        cut = windows.reshape(-1, along, across, rows, columns, windows.shape[-1]).transpose(2, 3)
        maps = cut.reshape(-1, along * rows, across * columns, windows.shape[-1])
        if self.down or self.right:
            maps = maps.roll((self.down, self.right), dims=(1, 2))
        return maps[:, : self.height, : self.width]

    def forbidden(self) -> npt.NDArray[np.bool_]:
        """Tell which tokens must not meet, bool ``[windows, rows * columns, rows * columns]``.

        They are those that the shift brought together from opposite sides of the map, and those of
        the map with those behind its end.
        """
        along, rows, across, columns = self._cells
        y = np.roll(np.arange(along * rows), -self.down)[:, None]
        x = np.roll(np.arange(across * columns), -self.right)
        behind = (y >= self.height) | (x >= self.width)
        region = 4 * behind + 2 * (y < self.down) + (x < self.right)
        tokens = region.reshape(self._cells).swapaxes(1, 2).reshape(self.count, rows * columns)
        return np.asarray(tokens[:, :, None] != tokens[:, None, :])

    def distances(self, window: int) -> npt.NDArray[np.int64]:
        """Number the ways from token to token, ``[(rows * columns) ** 2]``, all of a window."""
        y, x = np.arange(self.rows), np.arange(self.columns)
        rows = (y[:, None] - y + window - 1)[:, None, :, None]
        columns = (x[:, None] - x + window - 1)[None, :, None, :]
        return (rows * (2 * window - 1) + columns).ravel()


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
        return self._attend(asking[:, None], asked, apart=False)[:, 0]

    def among(self, maps: Tensor) -> Tensor:
        """Let each of the sensors' maps ``[B, M, H, W, C]`` ask the maps of all the others.

        Returns:
            The answers, of the same shape; zeros for a single sensor.
        """
        answers = self._attend(maps, maps, apart=True)
        alone = ~has_company(torch.ones(maps.shape[1], dtype=torch.bool, device=maps.device))
        return answers.masked_fill(alone[:, None, None, None], 0.0)

    def _attend(self, asking: Tensor, asked: Tensor, apart: bool) -> Tensor:
        """Map ``[B, A, H, W, C]`` and ``[B, M, H, W, C]`` to what the A read in the M.

        Args:
            asking: the maps that ask.
            asked: the maps that answer.
            apart: whether both are the same maps, none of which may read itself.
        """
        batch, rows, height, columns, channels = asking.shape
        modalities = asked.shape[1]
        grid = WindowGrid.of(height, columns, self.window, self.shifted)
        tokens, width = grid.rows * grid.columns, channels // self.heads
        # To [B * windows, heads, A * tokens of a window, channels of a head].
        query = grid.split(self.query(asking.flatten(0, 1))).reshape(
            batch, rows, grid.count, tokens, self.heads, width
        )
        query = query.permute(0, 2, 4, 1, 3, 5).reshape(-1, self.heads, rows * tokens, width)
        # To [key and value, B * windows, heads, M * tokens of a window, channels of a head].
        asked = grid.split(self.key_value(asked.flatten(0, 1))).reshape(
            batch, modalities, grid.count, tokens, 2, self.heads, width
        )
        key, value = (
            asked.permute(4, 0, 2, 5, 1, 3, 6)
            .reshape(2, -1, self.heads, modalities * tokens, width)
            .unbind()
        )
        bias = self._bias(grid, batch, rows, modalities)
        if apart:
            bias = bias + _not_itself(modalities, tokens, bias)
        bias = bias.to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        # A copy, because eager and exported attention lay out their result differently.
        attended = attended.transpose(1, 2).clone(memory_format=torch.contiguous_format)
        attended = attended.reshape(batch, grid.count, rows, tokens, channels).transpose(1, 2)
        joined = grid.join(attended.reshape(-1, grid.count, tokens, channels))
        return self.out(joined).unflatten(0, (batch, rows))

    def _bias(self, grid: WindowGrid, batch: int, rows: int, modalities: int) -> Tensor:
        """Return what is added to the scores, ``[1 or B*windows, heads, A*n, M*n]``."""
        device, tokens = self.position.device, grid.rows * grid.columns
        ways = torch.from_numpy(grid.distances(self.window)).to(device)
        bias = self.position.index_select(0, ways).T.reshape(1, self.heads, 1, tokens, 1, tokens)
        if not grid.whole:
            forbidden = torch.from_numpy(grid.forbidden()).to(device)[:, None, None, :, None, :]
            bias = bias.masked_fill(forbidden, float("-inf"))
            bias = bias.expand(batch, *bias.shape).flatten(0, 1)
        return bias.expand(-1, -1, rows, -1, modalities, -1).flatten(4, 5).flatten(2, 3)


def _not_itself(maps: int, tokens: int, like: Tensor) -> Tensor:
    """Return what keeps the tokens of each map from those of the same map, ``[M*n, M*n]``.

    A large number and not infinity: a single map must not become a mean over nothing.
    """
    own = torch.eye(maps, dtype=like.dtype, device=like.device) * ITSELF
    own = own[:, None, :, None].expand(-1, tokens, -1, tokens)
    return own.flatten(2, 3).flatten(0, 1)
