"""Procedural detail: one tileable noise image, lane markings, windows, joints, symbols.

Textures lie in the frame of the thing they are on, so that they move with it. On the ground they
repeat with the street.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.simulation.world.classes import ROAD, ROAD_MARKING
from anymodal_seg_ros.simulation.world.materials import SurfaceArrays, Texture
from anymodal_seg_ros.simulation.world.shapes import Floats, Ints

_SIZE = 512


@functools.cache
def noise_image() -> Floats:
    """Tileable noise, float32 ``[512, 512]``, mean 0, standard deviation 1, power as 1/f^2.2."""
    rng = np.random.default_rng(20240)
    fy = np.fft.fftfreq(_SIZE)[:, None]
    fx = np.fft.rfftfreq(_SIZE)[None]
    radius = np.hypot(fx, fy)
    radius[0, 0] = 1.0
    white = np.fft.rfft2(rng.normal(size=(_SIZE, _SIZE)))
    image = np.fft.irfft2(white / radius**1.1, s=(_SIZE, _SIZE))
    image -= image.mean()
    normal: Floats = (image / image.std()).astype(np.float32)
    return normal


@functools.cache
def _hash_image() -> Floats:
    return np.random.default_rng(20241).random((_SIZE, _SIZE), np.float32)


def _sample(u: Floats, v: Floats, period: float) -> Floats:
    scale = np.float32(_SIZE / period)
    column = (u * scale).astype(np.int32) & (_SIZE - 1)
    row = (v * scale).astype(np.int32) & (_SIZE - 1)
    value: Floats = noise_image().ravel()[row * _SIZE + column]
    return value


MARKING_PAINT = 0.3
"""Share of paint from which a piece of road is a road marking."""


@dataclass(frozen=True, slots=True)
class Detail:
    """What texture adds to n hits.

    Attributes:
        tone: float32 ``[n]``, factor on the albedo.
        paint: float32 ``[n]``, share of white paint over the albedo.
        glass: float32 ``[n]``, 1 on a window pane, else 0.
        lit: float32 ``[n]``, brightness of the room behind the pane when lamps are on, else 0.
        grain: float32 ``[n]``, texture of about unit spread for temperatures.
    """

    tone: Floats
    paint: Floats
    glass: Floats
    lit: Floats
    grain: Floats


def detail(
    local: Floats,
    local_normal: Floats,
    surface: Ints,
    thing: Ints,
    footprint: Floats,
    surfaces: SurfaceArrays,
    period: float,
) -> Detail:
    """Evaluate the textures of n hits.

    Args:
        local: ``[n, 3]`` position in the thing's frame.
        local_normal: ``[n, 3]`` in the same frame.
        surface: ``[n]`` row of ``surfaces``.
        thing: ``[n]`` number of the thing, which varies its pattern.
        footprint: ``[n]`` width of a pixel on the surface in metres; finer detail fades out.
        surfaces: the table.
        period: length after which the large patches repeat.
    """
    n = np.abs(local_normal)
    level = n[:, 2] > 0.7
    along_x = level | (n[:, 1] >= n[:, 0])
    u = np.where(along_x, local[:, 0], local[:, 1])
    v = np.where(level, local[:, 1], local[:, 2])
    near_period = period / round(period / 10.0)
    fine = _sample(u, v, near_period) / (1.0 + (footprint / 0.25) ** 2)
    coarse = _sample(v, u, period)
    grain = fine + 0.7 * coarse
    tone = 1.0 + surfaces.fine[surface] * fine + surfaces.coarse[surface] * coarse
    zero = np.zeros(len(u), np.float32)
    paint, glass, lit = zero, zero.copy(), zero.copy()
    texture = surfaces.texture[surface]
    road = np.flatnonzero((texture == Texture.ROAD) & level)
    if len(road):
        params = surfaces.params[surface[road]]
        paint[road] = _markings(local[road], params, grain[road], period)
    wall = np.flatnonzero((texture == Texture.FACADE) & ~level)
    if len(wall):
        params = surfaces.params[surface[wall]]
        glass[wall], lit[wall] = _windows(u[wall], v[wall], params, surface[wall], thing[wall])
    tiles = np.flatnonzero(texture == Texture.TILES)
    if len(tiles):
        params = surfaces.params[surface[tiles]]
        tone[tiles] *= _joints(u[tiles], v[tiles], params, footprint[tiles])
    sign = np.flatnonzero((texture == Texture.SIGN) & ~level)
    if len(sign):
        params = surfaces.params[surface[sign]]
        ink = _symbol(u[sign], v[sign], params, surface[sign]) / (1.0 + footprint[sign] / 0.15)
        paint[sign] = np.where(params[:, 4] > 0, ink, 0.0)
        tone[sign] *= np.where(params[:, 4] > 0, 1.0, 1.0 - 0.92 * ink)
    return Detail(np.clip(tone, 0.06, 2.5), paint, glass, lit, grain)


def class_ids(surface: Ints, texture: Detail, surfaces: SurfaceArrays) -> npt.NDArray[np.uint8]:
    """Class of n hits, uint8 ``[n]``: that of their surface, or road marking where paint lies.

    Args:
        surface: ``[n]`` row of ``surfaces``.
        texture: what :func:`detail` says about the same hits.
        surfaces: the table.
    """
    ids = surfaces.class_id[surface]
    ids[(ids == ROAD) & (texture.paint > MARKING_PAINT)] = ROAD_MARKING
    return ids


def _markings(local: Floats, params: Floats, wear: Floats, period: float) -> Floats:
    x = local[:, 0]
    half, dash, zebra, zebra_length, middle, border, bend, phase = params.T
    y = local[:, 1] - bend * np.sin(2 * np.pi * x / period + phase)
    dashed = (np.abs(y) < 0.08) & ((np.mod(x, dash) < 0.5 * dash) | (middle != 1))
    double = np.abs(np.abs(y) - 0.16) < 0.06
    center = np.where(middle == 3, double, dashed & (middle > 0))
    edge = (np.abs(np.abs(y) - half + 0.35) < 0.07) & (border > 0)
    inside = (x > zebra) & (x < zebra + zebra_length)
    stripes = inside & (np.mod(y, 1.0) < 0.5)
    before = (x > zebra - 1.6) & (x < zebra - 1.2) & (y < 0)
    after = (x > zebra + zebra_length + 1.2) & (x < zebra + zebra_length + 1.6) & (y > 0)
    painted = ((center | edge) & ~inside) | stripes | before | after
    painted &= np.abs(y) < half - 0.2
    paint: Floats = painted * np.clip(0.75 - 0.2 * wear, MARKING_PAINT + 0.02, 1.0)
    return paint


def _joints(u: Floats, v: Floats, params: Floats, footprint: Floats) -> Floats:
    """Factor on the tone: dark joints, each tile a little lighter or darker; gone far away."""
    width, height, joint, shift = params.T[:4]
    row = np.floor(v / height)
    column = np.floor(u / width + shift * row)
    in_u = np.mod(u / width + shift * row, 1.0) * width < joint
    in_v = np.mod(v, height) < joint
    key = (column.astype(np.int32) & (_SIZE - 1), row.astype(np.int32) & (_SIZE - 1))
    level = np.where(in_u | in_v, -0.45, 0.30 * (_hash_image()[key] - 0.5))
    factor: Floats = 1.0 + level / (1.0 + (footprint / 0.06) ** 2)
    return factor.astype(np.float32)


def _symbol(u: Floats, v: Floats, params: Floats, surface: Ints) -> Floats:
    """1 where ink lies: a mirrored pattern of blocks, or lines of text."""
    across = (u - params[:, 0]) / params[:, 2]
    up = (v - params[:, 1]) / params[:, 3]
    text = params[:, 5] > 0
    column = np.where(text, (u - params[:, 0]) / 0.11, np.abs(across) * 3.5)
    row = np.floor(np.where(text, up * 2.5 + 40, up * 3.5 + 40))
    key_x = (column.astype(np.int32) + 11 * row.astype(np.int32)) & (_SIZE - 1)
    chance = _hash_image()[key_x, (surface * 7) & (_SIZE - 1)]
    line = np.abs(np.mod(up * 2.5, 1.0) - 0.5) < 0.3
    inside = np.where(text, (np.abs(across) < 0.85) & (np.abs(up) < 0.8), across**2 + up**2 < 0.3)
    ink: Floats = (inside & (chance < np.where(text, 0.75, 0.62)) & (line | ~text)).astype(
        np.float32
    )
    return ink


def _windows(
    u: Floats, z: Floats, params: Floats, surface: Ints, thing: Ints
) -> tuple[npt.NDArray[np.float32], Floats]:
    pitch, floor, share, lit_share = params.T[:4]
    column, row = np.floor(u / pitch), np.floor(z / floor)
    cu = np.abs(u / pitch - column - 0.5)
    cz = np.abs(z / floor - row - 0.55)
    pane = (cu < 0.5 * share) & (cz < 0.27) & (cu > 0.02)
    key_x = (column.astype(np.int32) * 37 + surface * 101) & (_SIZE - 1)
    key_y = (row.astype(np.int32) * 53 + thing * 29) & (_SIZE - 1)
    chance = _hash_image()[key_y, key_x]
    lit = pane & (chance < lit_share)
    return pane.astype(np.float32), lit * (0.4 + chance / np.maximum(lit_share, 0.01))
