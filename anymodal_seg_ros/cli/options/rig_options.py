"""Options of the commands that drive a simulated rig through a scene."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from anymodal_seg_ros.cli.options.finite_range import FiniteRange
from anymodal_seg_ros.cli.options.one_of import OneOf
from anymodal_seg_ros.simulation.rigs import RIGS
from anymodal_seg_ros.simulation.world.scene import SceneConfig
from anymodal_seg_ros.simulation.world.street import KINDS
from anymodal_seg_ros.simulation.world.weather import WEATHERS

_OPTIONS = (
    click.option(
        "--rig",
        default="aligned",
        show_default=True,
        type=OneOf(RIGS),
        help="aligned: all behind one camera; mounted: each with its own place, lens, size, rate "
        "and latency.",
    ),
    click.option(
        "--seed",
        default=1006,
        show_default=True,
        type=click.IntRange(min=0),
        help="Of the place and all that moves in it.",
    ),
    click.option(
        "--kind",
        default="random",
        show_default=True,
        type=OneOf(("random", *KINDS)),
        help="Of the place.",
    ),
    click.option(
        "--weather",
        default="sun",
        show_default=True,
        type=OneOf(("random", *WEATHERS)),
        help="Light, air and ground.",
    ),
    click.option(
        "--hour",
        default=-1.0,
        show_default=True,
        type=FiniteRange(min=-1.0, max=24.0),
        help="Local time, 0 to 24; -1 draws one that fits the weather.",
    ),
    click.option(
        "--ego",
        default="driving",
        show_default=True,
        type=OneOf(("random", "driving", "standing")),
        help="Whether the vehicle drives.",
    ),
)


def scene_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a scene; it is called with ``scene`` and ``rig``."""

    @functools.wraps(command)
    def with_scene(seed: int, kind: str, weather: str, hour: float, ego: str, **others: Any) -> Any:
        scene = SceneConfig(seed, weather=weather, hour=hour, kind=kind, ego=ego)
        return command(scene=scene, **others)

    for option in reversed(_OPTIONS):
        with_scene = option(with_scene)
    return with_scene
