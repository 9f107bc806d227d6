"""``anymodal-seg simulate dataset``: a data set of one's own, in the DELIVER layout."""

from __future__ import annotations

import time
from pathlib import Path

import click

from anymodal_seg_ros.cli.console.frames_progress import WORKERS, frames_progress
from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.simulation.dataset.plan import (
    CASES,
    CLEAN,
    SPLITS,
    plan_scenes,
)
from anymodal_seg_ros.simulation.dataset.writer import DatasetConfig, write_dataset
from anymodal_seg_ros.simulation.world.street import KINDS
from anymodal_seg_ros.simulation.world.weather import WEATHERS

_SEED_GAP = 1_000_000


class Words(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """Some of the words that are known, separated by commas."""

    name = "words"

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split the text, or fail naming the word that is unknown."""
        if isinstance(value, tuple):
            return value
        words = tuple(dict.fromkeys(word for word in str(value).split(",") if word))
        for word in words or ("",):
            if word not in self._known:
                self.fail(f"{word!r} is unknown: expected of {', '.join(self._known)}", param, ctx)
        return words


@click.command("dataset")
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--scenes", default=100, show_default=True, help="Scenes to train on.")
@click.option("--validation-scenes", default=10, show_default=True, help="Scenes to choose by.")
@click.option("--test-scenes", default=20, show_default=True, help="Scenes to judge on.")
@click.option(
    "--frames",
    default=4,
    show_default=True,
    type=click.IntRange(min=1, max=10_000),
    help="Instants in each scene.",
)
@click.option(
    "--seed",
    default=10_000_000,
    show_default=True,
    type=click.IntRange(min=0, max=2**30),
    help="Of the first scene; RigBench's are below 3000000. The splits lie a million apart.",
)
@click.option(
    "--kinds",
    type=Words(KINDS),
    default=",".join(KINDS),
    show_default=True,
    help="Places, in equal parts.",
)
@click.option(
    "--weathers",
    type=Words(WEATHERS),
    default=",".join(WEATHERS),
    show_default=True,
    help="Weathers, in equal parts.",
)
@click.option(
    "--cases",
    type=Words((CLEAN, *CASES)),
    default=",".join((CLEAN, *CASES)),
    show_default=True,
    help="Sensor failures, in equal parts; 'clean' is none.",
)
@click.option("--width", default=320, show_default=True, help="Columns of every image.")
@click.option("--height", default=240, show_default=True, help="Rows of every image.")
@WORKERS
def command(
    out: Path,
    scenes: int,
    validation_scenes: int,
    test_scenes: int,
    frames: int,
    seed: int,
    kinds: tuple[str, ...],
    weathers: tuple[str, ...],
    cases: tuple[str, ...],
    width: int,
    height: int,
    workers: int,
) -> None:
    """Write a labelled data set to OUT, in the folders of DELIVER.

    \b
    OUT/{img,depth,hha,event,lidar,semantic,thermal}/WEATHER/{train,val,test}/SCENE/*_front.png

    Loaders of DELIVER read it; thermal is an extra of ours (16-bit, 0.01 K per count). Labels are
    DELIVER's. Every scene has one place, weather and failure, which are in its name. A run that was
    stopped goes on where it was when it is started again with the same options.

    \b
    Fog and nothing else, all sensors alive:
      anymodal-seg simulate dataset fog --weathers fog --cases clean --scenes 50
    """  # noqa: D301  a backspace is what click takes
    counts = dict(zip(SPLITS, (scenes, validation_scenes, test_scenes), strict=True))
    plans = [
        plan
        for number, (split, count) in enumerate(counts.items())
        for plan in plan_scenes(
            split, seed + number * _SEED_GAP, count, frames, kinds, weathers, cases
        )
    ]
    console = PlainConsole()
    config = DatasetConfig("frames of the synthetic rig", tuple(plans), width, height)
    started = time.monotonic()
    with frames_progress("drawing", console) as progress:
        write_dataset(out, config, workers, progress)
    console.print(
        f"{out}: {config.frames} frames of {len(plans)} scenes in "
        f"{time.monotonic() - started:.0f} s",
        soft_wrap=True,
    )
