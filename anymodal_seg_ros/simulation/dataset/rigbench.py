"""RigBench: a fixed, versioned data set drawn from the rig, to compare methods on."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import build, count, read_yaml
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.dataset.plan import SPLITS, ScenePlan, plan_split
from anymodal_seg_ros.simulation.dataset.writer import DatasetConfig

VERSION = 1
DEFINITION = Path(__file__).with_name(f"rigbench_v{VERSION}.yaml")
MANIFEST = Path(__file__).with_name(f"rigbench_v{VERSION}.sha256")


@dataclass(frozen=True, slots=True)
class SplitDefinition:
    """How large a split is, for each kind of place in each weather."""

    first_seed: int = count(0, 0, 2**31, "Seed of the first scene; the others count up from it")
    frames_per_scene: int = count(1, 1, 1000, "Instants drawn in each scene")
    clean_scenes: int = count(1, 0, 1000, "Scenes in which no sensor fails")
    scenes_per_case: int = count(1, 0, 1000, "Scenes with each of the failures")


@dataclass(frozen=True, slots=True)
class RigBench:
    """A definition as its file says it.

    Attributes:
        version: of the benchmark.
        width: columns of every image.
        height: rows of every image.
        kinds: of places.
        weathers: of ``plan.WEATHERS``.
        cases: of ``plan.CASES``.
        splits: by name, ``train``, ``validation`` and ``test``.
    """

    version: int
    width: int
    height: int
    kinds: tuple[str, ...]
    weathers: tuple[str, ...]
    cases: tuple[str, ...]
    splits: Mapping[str, SplitDefinition] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name with its version."""
        return f"RigBench {self.version}"

    def plans(self, split: str) -> tuple[ScenePlan, ...]:
        """The scenes of one split, in the order of their seeds."""
        size = self.splits[split]
        return tuple(
            plan_split(
                split,
                size.first_seed,
                size.frames_per_scene,
                size.clean_scenes,
                size.scenes_per_case,
                self.kinds,
                self.weathers,
                self.cases,
            )
        )

    def dataset(self) -> DatasetConfig:
        """Everything in it, ready to be drawn.

        Raises:
            ConfigError: the seeds of two splits overlap.
        """
        plans = tuple(plan for split in self.splits for plan in self.plans(split))
        return DatasetConfig(self.title, plans, self.width, self.height)


def load_rigbench(path: Path = DEFINITION) -> RigBench:
    """Read a definition.

    Raises:
        ConfigError: the file cannot be read, or says something impossible.
    """
    content = read_yaml(path, "RigBench definition")
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{path} is no RigBench definition: {reason}") from error


def _parse(content: Any) -> RigBench:
    if not isinstance(content, Mapping):
        raise ValueError("expected named entries")
    splits = content["splits"]
    if not isinstance(splits, Mapping) or set(splits) != set(SPLITS):
        raise ValueError(f"splits are {splits!r}: expected {', '.join(SPLITS)}")
    bench = RigBench(
        version=int(content["version"]),
        width=int(content["width"]),
        height=int(content["height"]),
        kinds=tuple(content["kinds"]),
        weathers=tuple(content["weathers"]),
        cases=tuple(content["cases"]),
        splits={name: build(SplitDefinition, splits[name], f"splits.{name}") for name in SPLITS},
    )
    bench.dataset()  # kinds, weathers, cases and seeds are checked where scenes are planned
    return bench


@functools.cache
def rigbench() -> RigBench:
    """The definition that comes with this version of the package."""
    return load_rigbench()
