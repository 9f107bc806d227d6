"""Thin things that never rest: boom-gate arms, ropes and rods that sway.

They are 2 to 5 cm thick and of middling grey, too thin and too fast for a stereo matcher and with
little contrast; against a still background every edge of them makes events.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.simulation.world.classes import BARRIER, POLE
from anymodal_seg_ros.simulation.world.materials import CONCRETE, METAL, PAINT, WOOD, Parts, Surface
from anymodal_seg_ros.simulation.world.shapes import Floats, Vector, box, rod, swing
from anymodal_seg_ros.simulation.world.things.bodies import Body, Limb, body


def _stuff(rng: np.random.Generator) -> Surface:
    tone = rng.uniform(0.15, 0.5)
    r, g, b = (float(tone * j) for j in rng.uniform(0.9, 1.1, 3))
    return Surface(BARRIER, PAINT if rng.random() < 0.5 else WOOD, (r, g, b))


def cord(points: Floats, radius: float) -> Floats:
    """Three-sided prisms through ``points`` ``[N, 3]``, without caps."""
    axis = np.diff(points, axis=0)
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    helper = np.where(np.abs(axis[:, 2:]) < 0.8, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    across = np.cross(axis, helper)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    other = np.cross(axis, across)
    pieces = []
    for i in range(3):
        first, second = 2 * math.pi * i / 3, 2 * math.pi * (i + 1) / 3
        p = radius * (math.cos(first) * across + math.sin(first) * other)
        q = radius * (math.cos(second) * across + math.sin(second) * other)
        a, b, c, d = points[:-1] + p, points[1:] + p, points[1:] + q, points[:-1] + q
        pieces += [np.stack([a, b, c], 1), np.stack([a, c, d], 1)]
    return np.concatenate(pieces).astype(np.float32)


def _line(start: Vector, end: Vector, sag: float, segments: int) -> Floats:
    share = np.linspace(0.0, 1.0, segments + 1)[:, None]
    points: npt.NDArray[np.float64] = np.array(start) + share * (np.array(end) - np.array(start))
    points[:, 2] -= 4 * sag * (share * (1 - share))[:, 0]
    return points.astype(np.float32)


def boom_gate(length: float, rng: np.random.Generator) -> Body:
    """A gate whose arm points along +x and rises and falls about its hinge, 0 to 86 degrees.

    The arm is level at phase -π/2 and up at π/2.
    """
    hinge = (0.0, 0.0, rng.uniform(0.9, 1.1))
    half = math.radians(43.0)
    thick = rng.uniform(0.018, 0.026)
    arm = cord(_line(hinge, (length, 0.0, hinge[2]), 0.0, 2), thick)
    if rng.random() < 0.4:  # a second bar below the first
        low = (0.3, 0.0, hinge[2] - 0.35)
        arm = np.concatenate([arm, cord(_line(low, (length * 0.9, 0.0, low[2]), 0.0, 2), 0.015)])
    housing = Surface(POLE, METAL, (0.3, 0.3, 0.3))
    foot = Surface(POLE, CONCRETE, (0.3, 0.3, 0.29))
    # Positive angles of swing() turn +x downwards.
    limb = Limb(swing(arm, hinge, -half), _stuff(rng), hinge, -half)
    trunk: Parts = [
        (box((0.28, 0.28, hinge[2] + 0.1), (-0.05, 0.2, 0)), housing),
        (box((0.5, 0.5, 0.1), (-0.05, 0.2, 0)), foot),
    ]
    return body(trunk, [limb])


def rope(start: Vector, end: Vector, hanging: int, drop: float, rng: np.random.Generator) -> Body:
    """A sagging rope along y that sways along x, with rods hanging from it.

    Args:
        start: where it is tied, with x = 0.
        end: its other end, with x = 0.
        hanging: how many rods hang from it.
        drop: the longest of them, in metres.
        rng: source of all randomness.
    """
    sag = rng.uniform(0.03, 0.07) * abs(end[1] - start[1])
    line = _line(start, end, sag, 8)
    stuff = _stuff(rng)
    pieces = [cord(line, rng.uniform(0.010, 0.020))]
    for _ in range(hanging):
        x, y, z = (float(v) for v in line[int(rng.integers(1, 8))])
        y += float(rng.uniform(-0.4, 0.4))
        low = (x + float(rng.normal(0, 0.08)), y, z - drop * float(rng.uniform(0.5, 1.0)))
        pieces.append(cord(_line((x, y, z + 0.05), low, 0.0, 1), rng.uniform(0.010, 0.022)))
    joint = (0.0, 0.0, (start[2] + end[2]) / 2)
    reach = rng.uniform(0.25, 0.5)
    return body([], [Limb(np.concatenate(pieces), stuff, joint, reach)])


def hanging_rods(height: float, count: int, rng: np.random.Generator) -> Body:
    """Rods hanging from an arm ``height`` above the ground, swinging like pendulums along x."""
    limbs = []
    stuff = _stuff(rng)
    for _ in range(count):
        x, y = rng.uniform(-0.05, 0.05), rng.uniform(-0.6, 0.6)
        top = (float(x), float(y), height)
        length = height * rng.uniform(0.45, 0.8)
        bottom = (float(x + rng.normal(0, 0.1)), float(y + rng.normal(0, 0.1)), height - length)
        hanging = cord(_line(top, bottom, 0.0, 2), rng.uniform(0.012, 0.025))
        limbs.append(Limb(hanging, stuff, top, rng.uniform(0.15, 0.4) * float(rng.choice([-1, 1]))))
    steel = Surface(POLE, METAL, (0.3, 0.3, 0.3))
    trunk: Parts = [
        (rod((0, -0.8, 0), (0, -0.8, height + 0.05), (0.05, 0.04), 5), steel),
        (rod((0, -0.8, height), (0, 0.7, height), (0.03, 0.03), 4), steel),
    ]
    return body(trunk, limbs)


def stalks(height: float, count: int, rng: np.random.Generator) -> Body:
    """Tall bare rods in the ground that bend to and fro in the wind, as reed or saplings do."""
    limbs = []
    stuff = _stuff(rng)
    for _ in range(count):
        x, y = (float(v) for v in rng.uniform(-0.7, 0.7, 2))
        top = (x + float(rng.normal(0, 0.15)), y + float(rng.normal(0, 0.15)), height)
        stalk = cord(_line((x, y, -0.1), top, 0.0, 2), rng.uniform(0.010, 0.020))
        limbs.append(Limb(stalk, stuff, (x, y, 0.0), rng.uniform(0.1, 0.25)))
    return body([], limbs)
