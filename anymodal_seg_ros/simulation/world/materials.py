"""What surfaces are made of: how they look, how warm they are, and which class they carry.

One table serves all sensors, so that RGB, thermal and labels cannot contradict each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.simulation.world.shapes import Floats, Ints

Color = tuple[float, float, float]
_PARAMS = 8
"""The most parameters that a texture has."""


class Texture(IntEnum):
    """Which procedural pattern lies on a surface, on top of its noise."""

    PLAIN = 0
    ROAD = 1
    """Lane markings. Parameters: half width, dash period, zebra position, zebra length [m], middle
    (0 none, 1 dashed, 2 solid, 3 double), border lines (0 or 1), bend amplitude [m] and phase."""
    FACADE = 2
    """Windows. Parameters: window pitch, floor height [m], window share, share lit at night."""
    TILES = 3
    """Joints of bricks or paving. Parameters: width, height, joint [m], shift from row to row."""
    SIGN = 4
    """A symbol on the face of a sign. Parameters: middle across, middle up, half width, half height
    [m], ink (1 white, -1 black), kind (0 symbol, 1 lines of text)."""


@dataclass(frozen=True, slots=True)
class Material:
    """Physical properties that do not depend on colour.

    Attributes:
        emissivity: in the thermal infrared, 0..1; the rest reflects the surroundings.
        sun_gain_k: how much warmer than the air it is in full sun, in kelvin.
        night_k: how much warmer (or colder) than the air it is long after sunset, in kelvin.
        fine: contrast of its small-scale texture, relative to its albedo.
        coarse: contrast of its large patches.
        thermal_noise_k: kelvin per unit of texture.
    """

    emissivity: float
    sun_gain_k: float
    night_k: float
    fine: float
    coarse: float
    thermal_noise_k: float = 0.3


ASPHALT = Material(0.95, 14.0, 2.5, 0.12, 0.14, 0.4)
CONCRETE = Material(0.94, 9.0, 1.5, 0.10, 0.12, 0.4)
GRASS = Material(0.98, 3.0, -2.5, 0.30, 0.25, 0.9)
DIRT = Material(0.95, 8.0, -0.6, 0.20, 0.25, 0.8)
PLASTER = Material(0.93, 8.0, 1.2, 0.10, 0.10, 0.5)
ROOF = Material(0.92, 14.0, -3.5, 0.12, 0.10, 0.5)
GLASS = Material(0.80, 1.0, -0.5, 0.03, 0.03, 0.1)
FOLIAGE = Material(0.97, 1.5, -0.3, 0.55, 0.30, 0.5)
BARK = Material(0.95, 2.5, 0.3, 0.30, 0.20, 0.4)
METAL = Material(0.70, 6.0, -1.5, 0.05, 0.08, 0.2)
PAINT = Material(0.88, 13.0, -2.5, 0.02, 0.05, 0.2)
RUBBER = Material(0.95, 6.0, 0.0, 0.08, 0.05, 0.2)
CLOTH = Material(0.97, 2.0, 0.0, 0.15, 0.12, 0.5)
GRAVEL = Material(0.95, 9.0, 0.5, 0.18, 0.10, 0.7)
SAND = Material(0.93, 11.0, -2.0, 0.12, 0.20, 0.5)
ROCK = Material(0.94, 9.0, 2.0, 0.25, 0.30, 0.6)
WOOD = Material(0.93, 6.0, -0.5, 0.16, 0.10, 0.3)
SKIN = Material(0.98, 0.5, 0.0, 0.06, 0.03, 0.3)


@dataclass(frozen=True, slots=True)
class Surface:
    """A material in a colour on a thing of some class.

    Attributes:
        class_id: the label of every pixel that shows it.
        material: its physics.
        albedo: linear RGB reflectance, 0..1.
        texture: pattern, with ``params`` as the pattern defines them.
        glow: linear RGB radiance that it emits while lamps are on.
        warm_to_k: temperature of the heat source behind it (an engine, a body, a heated room).
        warm_share: how far it is pulled from the air's temperature to the source's, 0..1.
    """

    class_id: int
    material: Material
    albedo: Color
    texture: Texture = Texture.PLAIN
    params: tuple[float, ...] = ()
    glow: Color = (0.0, 0.0, 0.0)
    warm_to_k: float = 300.0
    warm_share: float = 0.0


Part = tuple[Floats, Surface]
Parts = list[Part]
"""A thing: triangles with the surface on them, in the thing's own frame."""


@dataclass(frozen=True, slots=True)
class SurfaceArrays:
    """The columns of a table of S surfaces, for vectorised look-up; see ``Surface``."""

    class_id: npt.NDArray[np.uint8]
    albedo: Floats
    texture: npt.NDArray[np.uint8]
    params: Floats
    glow: Floats
    warm_to_k: Floats
    warm_share: Floats
    emissivity: Floats
    sun_gain_k: Floats
    night_k: Floats
    fine: Floats
    coarse: Floats
    thermal_noise_k: Floats


class SurfaceTable:
    """Collects surfaces and gives each distinct one an index."""

    def __init__(self) -> None:
        self._index: dict[Surface, int] = {}

    def index(self, surface: Surface) -> int:
        """The row of ``surface``, added if it is new."""
        return self._index.setdefault(surface, len(self._index))

    def indices(self, parts: Parts) -> Ints:
        """The row of every triangle of ``parts``, int32 ``[T]``."""
        rows = np.fromiter((self.index(s) for _, s in parts), np.int32, len(parts))
        return np.repeat(rows, [len(t) for t, _ in parts])

    def arrays(self) -> SurfaceArrays:
        """The table as columns, float32 unless the field says otherwise."""
        rows = list(self._index)

        def column(values: list[object]) -> Floats:
            return np.array(values, np.float32)

        return SurfaceArrays(
            class_id=np.array([s.class_id for s in rows], np.uint8),
            albedo=column([s.albedo for s in rows]),
            texture=np.array([s.texture for s in rows], np.uint8),
            params=column([s.params + (0.0,) * (_PARAMS - len(s.params)) for s in rows]),
            glow=column([s.glow for s in rows]),
            warm_to_k=column([s.warm_to_k for s in rows]),
            warm_share=column([s.warm_share for s in rows]),
            emissivity=column([s.material.emissivity for s in rows]),
            sun_gain_k=column([s.material.sun_gain_k for s in rows]),
            night_k=column([s.material.night_k for s in rows]),
            fine=column([s.material.fine for s in rows]),
            coarse=column([s.material.coarse for s in rows]),
            thermal_noise_k=column([s.material.thermal_noise_k for s in rows]),
        )
