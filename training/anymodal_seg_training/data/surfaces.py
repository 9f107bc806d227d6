"""Other paint, light and texture on the surfaces of a colour image, class by class.

A simulated street has few paints and clean light; a network learns them instead of shapes. Here
every class has other colours in every part of the picture, a texture that is not its own, and
shadows fall that nobody cast, while the labels stay: domain randomisation (arXiv 1703.06907) of
what a renderer would have to draw anew.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

MOST_PARTS = 8
"""Most parts of a picture that have paints of their own."""
LIGHT = 0.25
"""Spread of the logarithm of the brightness of a class, and again of its surface in a part."""
TINT = 0.08
"""Spread of the logarithm of each of their colours."""
TEXTURES = 3
"""Textures in a picture; every surface has one of them."""
MOST_TEXTURE = 0.3
"""Largest spread of the logarithm of its brightness that a texture makes."""
OCTAVES = (4, 12, 36)
"""Blobs along the shorter side of a picture, from the coarsest layer of a texture to the finest."""
SHADE = (0.25, 0.7)
"""Least and most that a shadow leaves of the light."""
Numbers = npt.NDArray[np.float64]
_LABELS = 256
"""Numbers that a label may have; what has none is a surface, too."""


def other_surfaces(image: Tensor, labels: Tensor, generator: np.random.Generator) -> Tensor:
    """Return a colour image ``[3, H, W]`` from 0 to 1 with other surfaces.

    Args:
        image: as the camera took it.
        labels: uint8 ``[H, W]``.
        generator: the only source of chance.
    """
    height, width = labels.shape
    parts = _parts(height, width, generator)
    surfaces = labels.long() * MOST_PARTS + parts
    shape = (_LABELS, MOST_PARTS)
    paints = _paints((_LABELS, 1), generator) + _paints(shape, generator)
    roughness = generator.uniform(0.0, MOST_TEXTURE, shape)
    chosen = generator.integers(0, TEXTURES, shape).astype(np.float64)
    textures = torch.stack([_texture(height, width, generator) for _ in range(TEXTURES)])
    change = _of_surfaces(paints, surfaces).permute(2, 0, 1)
    own = textures.gather(0, _of_surfaces(chosen, surfaces).long()[None])[0]
    change = change + _of_surfaces(roughness, surfaces) * own
    change = change + _shadow(height, width, generator)
    return (image * change.exp()).clamp_(0.0, 1.0)


def _paints(shape: tuple[int, int], generator: np.random.Generator) -> Numbers:
    """Draw the logarithms of brightness and colours ``[*shape, 3]``."""
    light = LIGHT * generator.standard_normal((*shape, 1))
    return light + TINT * generator.standard_normal((*shape, 3))


def _of_surfaces(table: Numbers, at: Tensor) -> Tensor:
    """Pick what each pixel's surface has, ``[H, W, ...]``, of a table ``[labels, parts, ...]``."""
    return torch.from_numpy(table).float().flatten(0, 1)[at]


def _parts(height: int, width: int, generator: np.random.Generator) -> Tensor:
    """Divide a picture by the nearest of some points; mostly side by side, as houses stand."""
    count = int(generator.integers(1, MOST_PARTS + 1))
    y, x = (torch.from_numpy(generator.random((2, count)))[:, :, None, None]).float()
    rows = torch.arange(height)[:, None] / height
    columns = torch.arange(width)[None] / width
    return ((columns - x).square() + 0.1 * (rows - y).square()).argmin(dim=0)


def _texture(height: int, width: int, generator: np.random.Generator) -> Tensor:
    """Draw noise ``[H, W]`` of several sizes, stretched along the rows or the columns."""
    stretch = 3.0 ** generator.uniform(-1.0, 1.0)
    total = torch.zeros(height, width)
    for octave in OCTAVES:
        rows = max(2, round(octave * stretch**0.5))
        columns = max(2, round(octave * width / height / stretch**0.5))
        noise = torch.from_numpy(generator.standard_normal((rows, columns), np.float32))
        weight = float(generator.random())
        total += weight * F.interpolate(noise[None, None], (height, width), mode="bilinear")[0, 0]
    return total


def _shadow(height: int, width: int, generator: np.random.Generator) -> Tensor:
    """Draw what a straight shadow leaves of the light, as a logarithm; in half the pictures none.

    Its edge goes through a point of the picture in any direction.
    """
    if generator.random() < 0.5:
        return torch.zeros(height, width)
    angle = generator.uniform(0.0, 2.0 * np.pi)
    row, column = generator.random(2)
    rows = torch.arange(height)[:, None] / height - row
    columns = torch.arange(width)[None] / width - column
    beyond = float(np.sin(angle)) * rows + float(np.cos(angle)) * columns > 0.0
    return beyond * float(np.log(generator.uniform(*SHADE)))
