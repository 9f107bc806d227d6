"""Frames of the synthetic rig of :mod:`anymodal_seg_ros.simulation`, rendered on demand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from anymodal_seg_ros import simulation
from anymodal_seg_ros.config import count, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_ros.simulation.rig import Rig, random_frames
from anymodal_seg_ros.simulation.world.classes import CLASSES
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig
from anymodal_seg_training.datasets.base import SPLITS, SYNTHETIC, LabelledFrame, Origin
from anymodal_seg_training.datasets.source_hash import source_hash

REFERENCE = "rgb"
"""The sensor whose labels are used; the default rig's sensors are pixel aligned."""


@dataclass(frozen=True, slots=True)
class RigOptions:
    """What a recipe says about this data set. A scene is a street of its own."""

    frames_per_scene: int = count(8, 1, 1000, "Instants rendered in each scene")
    weather: str = text("random", "random, sun, cloud, fog, night or rain")
    train_scenes: int = count(250, 1, 1_000_000, "Scenes to learn from")
    train_seed: int = count(0, 0, 2**31, "Seed of the first of them; the others follow on")
    validation_scenes: int = count(24, 1, 1_000_000, "Scenes that choose the best weights")
    validation_seed: int = count(10_000_000, 0, 2**31, "Seed of the first of them")
    test_scenes: int = count(60, 1, 1_000_000, "Scenes of the reported numbers")
    test_seed: int = count(20_000_000, 0, 2**31, "Seed of the first of them")

    def seeds(self, split: str) -> range:
        """The scene seeds of one of the three splits."""
        first, scenes = {
            "train": (self.train_seed, self.train_scenes),
            "validation": (self.validation_seed, self.validation_scenes),
            "test": (self.test_seed, self.test_scenes),
        }[split]
        return range(first, first + scenes)


@dataclass(frozen=True, slots=True)
class RigSplit:
    """The scenes of one split; a unit is a scene."""

    split_name: str
    seeds: range
    frames_per_unit: int
    weather: str
    code: str

    @property
    def name(self) -> str:
        """See :class:`.base.Split`."""
        return f"rig-{self.split_name}"

    @property
    def key(self) -> str:
        """Seeds, light, and the simulator's code: another simulator gives other frames."""
        return json.dumps([self.seeds.start, self.weather, self.code])

    @property
    def units(self) -> int:
        """The number of scenes."""
        return len(self.seeds)

    def frames(self, unit: int) -> Iterator[LabelledFrame]:
        """Render the frames of a scene."""
        rig = Rig()
        conditions = self._condition(unit)
        modality_of = {name: sensor.modality for name, sensor in rig.sensors.items()}
        frames = random_frames([self.seeds[unit]], self.frames_per_unit, rig, self.weather)
        for number, frame in enumerate(frames):
            origin = Origin(f"scene {self.seeds[unit]}", f"frame {number}")
            images = {modality_of[sensor]: image for sensor, image in frame.images.items()}
            yield LabelledFrame(images, frame.labels[REFERENCE], conditions, origin)

    def conditions(self, unit: int) -> list[dict[str, str]]:
        """See :class:`.base.Split`."""
        return [self._condition(unit)] * self.frames_per_unit

    def _condition(self, unit: int) -> dict[str, str]:
        # The configuration may leave both to chance; the scene knows what was drawn.
        scene = Scene(SceneConfig(self.seeds[unit], self.weather))
        return {"weather": scene.illumination.kind, "kind": scene.street.kind}


class RigDataset:
    """The synthetic rig as a data set."""

    def __init__(self, options: RigOptions) -> None:
        """Check that no scene is in two splits.

        Raises:
            ConfigError: the seeds of two splits overlap.
        """
        self._options = options
        taken: dict[str, range] = {}
        for split in SPLITS:
            seeds = options.seeds(split)
            for other, used in taken.items():
                if seeds.start < used.stop and used.start < seeds.stop:
                    raise ConfigError(
                        f"data: the scenes of {split} ({seeds.start} to {seeds.stop - 1}) and "
                        f"{other} ({used.start} to {used.stop - 1}) overlap: move {split}_seed"
                    )
            taken[split] = seeds

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """See :class:`.base.Dataset`."""
        return tuple(ClassSpec(entry.name, entry.color) for entry in CLASSES)

    @property
    def description(self) -> str:
        """See :class:`.base.Dataset`."""
        values = asdict(self._options)
        frames = values["frames_per_scene"]
        return (
            f"{SYNTHETIC} Frames of the simulated four-sensor rig of this project: "
            "procedurally placed streets and off-road places, ray-cast in five weathers by day, in "
            "twilight and by night, all sensors pixel aligned and exactly "
            f"simultaneous. {values['train_scenes']} scenes for training, "
            f"{values['validation_scenes']} to choose the best weights, {values['test_scenes']} "
            f"for the numbers below, {frames} instants in each; no scene is in two splits."
        )

    def split(self, name: str) -> RigSplit:
        """See :class:`.base.Dataset`."""
        options = self._options
        code = source_hash(simulation)
        return RigSplit(name, options.seeds(name), options.frames_per_scene, options.weather, code)
