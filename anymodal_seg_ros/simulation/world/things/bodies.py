"""Bodies that move within themselves: a rigid trunk and limbs that swing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.simulation.world.materials import Part, Parts, Surface
from anymodal_seg_ros.simulation.world.shapes import Floats, Vector, swing


@dataclass(frozen=True, slots=True)
class Limb:
    """Triangles that turn about the y axis through ``joint`` by ``reach`` radians at most."""

    triangles: Floats
    surface: Surface
    joint: Vector
    reach: float


@dataclass(frozen=True, slots=True)
class Body:
    """A thing in its own frame: standing on z = 0, facing +x.

    Attributes:
        parts: all parts in the resting pose, the limbs' first.
        limbs: what swings.
        trunk: the triangles of the other parts, in order.
        from_afar: a stiff one of fewer triangles, for far away; none if this one is coarse enough.
    """

    parts: Parts
    limbs: tuple[Limb, ...]
    trunk: Floats
    from_afar: Parts

    def posed(self, phase: float) -> Floats:
        """All triangles of ``parts``, in order, at ``phase`` radians of the swing."""
        if not self.limbs:
            return self.trunk
        angle = math.sin(phase)
        moving = [swing(m.triangles, m.joint, m.reach * angle) for m in self.limbs]
        return np.concatenate([*moving, self.trunk])


def body(parts: Parts, limbs: Sequence[Limb] = (), from_afar: Sequence[Part] = ()) -> Body:
    """A body of rigid ``parts`` and ``limbs``; see :class:`Body`."""
    trunk = [t for t, _ in parts] or [np.zeros((0, 3, 3), np.float32)]
    whole: Parts = [(limb.triangles, limb.surface) for limb in limbs] + parts
    return Body(whole, tuple(limbs), np.concatenate(trunk), list(from_afar))


def moved(parts: Parts, shift: Vector) -> Parts:
    """``parts`` moved by ``shift``, for building a thing of several others."""
    offset = np.array(shift, np.float32)
    return [(triangles + offset, surface) for triangles, surface in parts]
