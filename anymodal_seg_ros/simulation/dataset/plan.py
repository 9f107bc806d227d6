"""What a data set is to hold, before anything is drawn: one plan per scene."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.world.street import KINDS
from anymodal_seg_ros.simulation.world.weather import WEATHERS

SPLITS = ("train", "validation", "test")
CASES = {
    "motionblur": ("rgb", "motion_blur"),
    "overexposure": ("rgb", "over_exposure"),
    "underexposure": ("rgb", "under_exposure"),
    "lidarjitter": ("lidar", "lidar_jitter"),
    "eventlowres": ("event", "event_low_resolution"),
}
"""DELIVER's five sensor failures, by the words in its paths: which modality fails, and how."""

CLEAN = "clean"
"""The case in which no sensor fails."""

_SEVERITY = (0.4, 1.0)


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """One scene of a data set and what becomes of it.

    Attributes:
        split: one of ``SPLITS``.
        seed: of the scene; equal seeds give equal geometry, so no seed is in two splits.
        kind: of place, one of ``street.KINDS``.
        weather: one of ``WEATHERS``.
        case: ``CLEAN`` or one of ``CASES``, for all frames of the scene.
        frames: how many instants are drawn, spread over the scene's loop.
    """

    split: str
    seed: int
    kind: str
    weather: str
    case: str = CLEAN
    frames: int = 1

    def __post_init__(self) -> None:
        for name, known in (
            ("split", SPLITS),
            ("kind", KINDS),
            ("weather", WEATHERS),
            ("case", (CLEAN, *CASES)),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}: expected one of {', '.join(known)}"
                )
        if self.seed < 0 or self.frames < 1:
            raise ConfigError(
                f"a scene has seed {self.seed} and {self.frames} frames: "
                "expected a seed of 0 or more and at least one frame"
            )

    @property
    def name(self) -> str:
        """Unique in its data set, with the case in it as in DELIVER: ``urban_0000012_fog``."""
        words = [self.kind, f"{self.seed:07d}", self.weather]
        return "_".join(words if self.case == CLEAN else [*words, self.case])

    @property
    def severity(self) -> float:
        """How badly the case hits, 0.4 to 1; drawn from the seed."""
        return float(np.random.default_rng((self.seed, 77)).uniform(*_SEVERITY))

    def instants_ns(self, loop_s: float) -> list[int]:
        """The times of the frames, one drawn in each of as many equal parts of the loop."""
        draws = np.random.default_rng((self.seed, 99)).random(self.frames)
        return [int((n + draw) / self.frames * loop_s * 1e9) for n, draw in enumerate(draws)]


def plan_split(
    split: str,
    first_seed: int,
    frames_per_scene: int,
    clean_scenes: int,
    scenes_per_case: int,
    kinds: Sequence[str] = KINDS,
    weathers: Sequence[str] = WEATHERS,
    cases: Sequence[str] = tuple(CASES),
) -> Iterator[ScenePlan]:
    """Plan every kind in every weather, without and with every failure.

    Args:
        split: one of ``SPLITS``.
        first_seed: of the first scene; the others count up from it.
        frames_per_scene: instants in each scene.
        clean_scenes: scenes without a failure, of each kind in each weather.
        scenes_per_case: scenes with each failure, of each kind in each weather.
        kinds: of place.
        weathers: of ``WEATHERS``.
        cases: of ``CASES``.
    """
    all_cases = [CLEAN] * clean_scenes + [c for c in cases for _ in range(scenes_per_case)]
    # The case changes slowest, so that any beginning of the list holds every kind and weather.
    for number, (case, weather, kind) in enumerate(itertools.product(all_cases, weathers, kinds)):
        yield ScenePlan(split, first_seed + number, kind, weather, case, frames_per_scene)


def plan_scenes(
    split: str,
    first_seed: int,
    scenes: int,
    frames_per_scene: int,
    kinds: Sequence[str] = KINDS,
    weathers: Sequence[str] = WEATHERS,
    cases: Sequence[str] = (CLEAN, *CASES),
) -> Iterator[ScenePlan]:
    """Plan any number of scenes in which kinds, weathers and cases are as even as can be.

    Args:
        split: one of ``SPLITS``.
        first_seed: of the first scene; the others count up from it.
        scenes: how many.
        frames_per_scene: instants in each scene.
        kinds: of place.
        weathers: of ``WEATHERS``.
        cases: of ``CASES``, and ``CLEAN``.
    """
    mixture = list(itertools.product(kinds, weathers, cases))
    # Shuffled, so that a small number of scenes has some of everything.
    order = np.random.default_rng(first_seed).permutation(len(mixture))
    for number in range(scenes):
        kind, weather, case = mixture[order[number % len(mixture)]]
        yield ScenePlan(split, first_seed + number, kind, weather, case, frames_per_scene)


def check_disjoint(plans: Sequence[ScenePlan]) -> None:
    """Make sure that no scene occurs twice, in one split or in two.

    Raises:
        ConfigError: naming the seed and the splits.
    """
    owner: dict[int, str] = {}
    for plan in plans:
        if plan.seed in owner:
            raise ConfigError(
                f"the seed {plan.seed} occurs in {owner[plan.seed]} and in {plan.split}: "
                "keep the first seeds of the splits further apart"
            )
        owner[plan.seed] = plan.split
