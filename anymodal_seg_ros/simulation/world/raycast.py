"""Ray casting with Embree: nearest hits and occlusion for one soup of triangles.

``embreex`` is used directly: its ``output=True`` query gives hit, normal and distance in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from anymodal_seg_ros.simulation.world.shapes import Floats, Ints


@dataclass(frozen=True, slots=True)
class Hits:
    """Nearest hits of N rays.

    Attributes:
        triangle: int32 ``[N]``, index of the triangle, -1 where the ray escapes.
        distance: float32 ``[N]`` in lengths of the ray's direction; huge where it escapes.
        normal: float32 ``[N, 3]``, of no particular length or side.
    """

    triangle: Ints
    distance: Floats
    normal: Floats


class Caster:
    """An Embree scene over triangles ``[T, 3, 3]``; T may be 0.

    It is built when the first ray is cast: of many instants only the poses of things are asked.
    """

    def __init__(self, triangles: Floats) -> None:
        self._triangles = triangles
        self._scene: Any = None

    def _built(self) -> Any:
        if self._scene is None:
            self._scene = EmbreeScene()
            # The mesh lives as long as the scene that owns it.
            self._mesh = TriangleMesh(
                self._scene, np.ascontiguousarray(self._triangles, np.float32)
            )
        return self._scene

    def nearest(self, origins: Floats, directions: Floats, within: Floats | None = None) -> Hits:
        """The first triangle that each ray meets.

        Args:
            origins: float32 ``[N, 3]``.
            directions: float32 ``[N, 3]``.
            within: float32 ``[N]``, only nearer hits count, in lengths of the direction.
        """
        if not len(self._triangles) or not len(directions):
            return _no_hits(len(directions))
        reach = None if within is None else within.copy()
        found = self._built().run(origins, directions, dists=reach, output=True)
        return Hits(found["primID"], found["tfar"], found["Ng"])

    def occluded(self, origins: Floats, directions: Floats) -> npt.NDArray[np.bool_]:
        """Bool ``[N]``: whether anything lies on each ray within one length of its direction."""
        if not len(self._triangles) or not len(directions):
            return np.zeros(len(directions), np.bool_)
        reach = np.ones(len(directions), np.float32)
        blocked = self._built().run(origins, directions, dists=reach, query="OCCLUDED")
        hit: npt.NDArray[np.bool_] = blocked >= 0
        return hit


def _no_hits(count: int) -> Hits:
    return Hits(
        np.full(count, -1, np.int32),
        np.full(count, np.finfo(np.float32).max, np.float32),
        np.zeros((count, 3), np.float32),
    )
