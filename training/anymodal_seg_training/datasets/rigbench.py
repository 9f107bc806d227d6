"""RigBench, drawn on demand or read from the folder that ``anymodal-seg simulate`` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from anymodal_seg_ros.config import count, text
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Mask, Pixels
from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_ros.json_files import read_json
from anymodal_seg_ros.simulation.dataset.deliver_layout import read_frame
from anymodal_seg_ros.simulation.dataset.frames import scene_frames, sized_sensors
from anymodal_seg_ros.simulation.dataset.plan import CLEAN, ScenePlan, plan_scenes
from anymodal_seg_ros.simulation.dataset.rigbench import RigBench, rigbench
from anymodal_seg_ros.simulation.dataset.source import source_digest
from anymodal_seg_ros.simulation.dataset.stored import MODALITIES, restored
from anymodal_seg_ros.simulation.dataset.writer import CONTENT
from anymodal_seg_ros.simulation.world.classes import CLASSES
from anymodal_seg_training.datasets.base import SYNTHETIC, LabelledFrame, Origin

VARIED_SEED = 3_000_000
"""Seed of the first varied scene, beyond those of every split of the benchmark."""


@dataclass(frozen=True, slots=True)
class RigBenchOptions:
    """What a recipe says about this data set. Its content is fixed by its version."""

    folder: str = text(
        "", "Where 'anymodal-seg simulate rigbench' wrote it; empty: drawn here, the same pixels"
    )
    varied_scenes: int = count(
        0,
        0,
        100_000,
        "Scenes to learn from beside the benchmark's own, with bare trees, hedges, pavements like "
        "roads and pipes on facades; drawn here",
    )


@dataclass(frozen=True, slots=True)
class RigBenchSplit:
    """The scenes of one split; a unit is a scene.

    Attributes:
        plans: of the scenes: what each shows, and which sensor fails in it.
        bench: the definition.
        folder: of the generated files; empty to draw the frames.
        source: fingerprint of the code that draws them, or that wrote the files.
        varied: plans of scenes that the benchmark does not have, which come after its own.
    """

    plans: tuple[ScenePlan, ...]
    bench: RigBench
    folder: str
    source: str
    varied: tuple[ScenePlan, ...] = ()

    @property
    def name(self) -> str:
        """See :class:`.base.Split`."""
        return f"rigbench{self.bench.version}-{self.plans[0].split}"

    @property
    def key(self) -> str:
        """Every plan, and the code that draws: equal for files and for drawn frames of one code."""
        size = [self.bench.width, self.bench.height]
        own = [size, [asdict(plan) for plan in self.plans], self.source]
        if not self.varied:
            return json.dumps(own)
        return json.dumps([own, [asdict(plan) for plan in self.varied], source_digest()])

    @property
    def units(self) -> int:
        """The number of scenes."""
        return len(self.plans) + len(self.varied)

    @property
    def frames_per_unit(self) -> int:
        """How many instants each scene has."""
        return self.plans[0].frames

    def frames(self, unit: int) -> Iterator[LabelledFrame]:
        """Draw or read the frames of a scene."""
        plan = self._plan(unit)
        stored = self._stored(plan, unit >= len(self.plans))
        for number, ((pixels, label), conditions) in enumerate(
            zip(stored, self.conditions(unit), strict=True)
        ):
            images = {m: restored(m, pixels[m]) for m in MODALITIES}
            origin = Origin(f"scene {plan.name}", f"frame {number}")
            yield LabelledFrame(images, label, conditions, origin)

    def conditions(self, unit: int) -> list[dict[str, str]]:
        """See :class:`.base.Split`."""
        plan = self._plan(unit)
        found = {"weather": plan.weather, "case": plan.case, "kind": plan.kind}
        return [found] * plan.frames

    def _plan(self, unit: int) -> ScenePlan:
        return (self.plans + self.varied)[unit]

    def _stored(self, plan: ScenePlan, varied: bool) -> Iterator[tuple[dict[str, Pixels], Mask]]:
        if self.folder and not varied:
            for index in range(plan.frames):
                yield read_frame(Path(self.folder), plan, index, MODALITIES)
            return
        sensors = sized_sensors(self.bench.width, self.bench.height)
        for frame in scene_frames([plan], sensors, varied):
            yield dict(frame.pixels), frame.labels


class RigBenchDataset:
    """RigBench as a data set."""

    def __init__(self, options: RigBenchOptions) -> None:
        """Take the definition of this version.

        Raises:
            ConfigError: the folder of the files does not exist, or holds something else.
        """
        self._options = options
        self._bench = rigbench()
        self._source = source_digest()
        if options.folder:
            self._source = self._source_of(Path(options.folder))

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """See :class:`.base.Dataset`."""
        return tuple(ClassSpec(entry.name, entry.color) for entry in CLASSES)

    @property
    def description(self) -> str:
        """See :class:`.base.Dataset`."""
        bench = self._bench
        frames = {name: sum(p.frames for p in bench.plans(name)) for name in bench.splits}
        numbers = ", ".join(f"{count} frames for {name}" for name, count in frames.items())
        return (
            f"{SYNTHETIC} RigBench {bench.version} of this project: {numbers}, "
            f"{bench.width}x{bench.height}, of {len(bench.kinds)} kinds of places in "
            f"{len(bench.weathers)} weathers, without and with {len(bench.cases)} sensor failures; "
            "all sensors pixel aligned and exactly simultaneous; no scene is in two splits."
            + self._variety()
        )

    def split(self, name: str) -> RigBenchSplit:
        """See :class:`.base.Dataset`."""
        bench, folder = self._bench, self._options.folder
        varied = self._varied() if name == "train" else ()
        return RigBenchSplit(bench.plans(name), bench, folder, self._source, varied)

    def _varied(self) -> tuple[ScenePlan, ...]:
        bench = self._bench
        frames = bench.splits["train"].frames_per_scene
        # As many clean scenes as failing ones, as in the benchmark.
        cases = (*bench.cases, *[CLEAN] * len(bench.cases))
        plans = plan_scenes(
            "train",
            VARIED_SEED,
            self._options.varied_scenes,
            frames,
            bench.kinds,
            bench.weathers,
            cases,
        )
        return tuple(plans)

    def _variety(self) -> str:
        drawn = self._options.varied_scenes * self._bench.splits["train"].frames_per_scene
        if not drawn:
            return ""
        return (
            f" Beside these, {drawn} frames for training of scenes that the benchmark does not "
            "have, with bare trees, hedges, pavements like roads and pipes on facades."
        )

    def _source_of(self, folder: Path) -> str:
        """Make sure that a folder is this benchmark's, and return what code wrote it."""
        try:
            content = read_json(folder / CONTENT)
            title, source = str(content["title"]), str(content["source"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"data.folder is {str(folder)!r}: expected a folder that 'anymodal-seg simulate "
                f"rigbench' wrote, or none to draw the frames here ({error})"
            ) from error
        if title != self._bench.title:
            raise ConfigError(f"data.folder {folder} is {title}: expected {self._bench.title}")
        return source
