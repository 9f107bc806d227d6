"""``anymodal-train agreement``: what the sensors of a model usually have in common.

Drives of the simulated rig are looked at as the node looks at its sensors: as they are, and with
each sensor in turn telling of another world. What comes of both goes into the model's folder.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from rich.progress import track

from anymodal_seg_ros.faults.kinds import Moved, Turned
from anymodal_seg_ros.faults.other_views import other_view
from anymodal_seg_ros.faults.pictures import wrong_picture
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.agreement import ROLE
from anymodal_seg_ros.inference.manifest import FileSpec, Manifest, dump_manifest
from anymodal_seg_ros.inference.model import load_model, sha256
from anymodal_seg_ros.pipeline.cross_check import structure_of
from anymodal_seg_ros.sensing.health.accord.contradiction import Chance, NormalAccord, Usual
from anymodal_seg_ros.sensing.health.accord.normal_accord import dump_normal
from anymodal_seg_ros.sensing.health.accord.structure import (
    CLEAR,
    LOOKS,
    RunningAccord,
    Structure,
)
from anymodal_seg_ros.simulation.drives import learning_drives
from anymodal_seg_ros.simulation.sequence import render_sequence
from anymodal_seg_ros.written_files import write_file
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.runs.command_line import run_command

_SELDOM, _OFTEN, _HARDLY = 0.02, 0.95, 0.99
"""Quantiles of what is usual, and of chance."""

_FILE = "agreement.json"

Drive = Mapping[str, Sequence[Image]]
"""The images of one drive by modality, as many of each, taken at the same moments."""


@click.command("agreement")
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--places",
    default=35,
    show_default=True,
    type=click.IntRange(2, 10_000),
    help="Drives that are looked at, of every weather and kind of place, driving and standing.",
)
@click.option(
    "--cache-dir",
    default=Path(".cache/drives"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where drives are kept once they are drawn.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64))
def main(model: Path, places: int, cache_dir: Path, workers: int) -> None:
    """Learn how far the sensors of MODEL, a model folder, usually agree, and write it there.

    With it the node checks its sensors against each other (rig.cross_check).
    """
    run_command(lambda: _learn_into(model, places, cache_dir, workers))


def _learn_into(folder: Path, places: int, cache_dir: Path, workers: int) -> None:
    opened = load_model(str(folder))
    manifest = opened.manifest
    drives = drawn(places, cache_dir, workers, set(manifest.modalities))
    normal = learn(track(drives, "looking at drives", places, transient=True), manifest)
    path = folder / _FILE
    write_file(path, dump_normal(normal))
    files = {**manifest.files, ROLE: FileSpec(_FILE, sha256(path))}
    dump_manifest(dataclasses.replace(manifest, files=files), folder)
    print(summary(normal))


def drawn(places: int, cache_dir: Path, workers: int, known: set[str]) -> Iterator[Drive]:
    """Yield drives of the simulated rig, every weather and kind of place in turn."""
    for config in learning_drives(places):
        sequence = render_sequence(config, cache_dir, workers)
        yield {
            sensor.modality: [sequence.image(sensor.name, k) for k in range(len(sequence))]
            for sensor in config.sensors
            if sensor.modality in known
        }


def learn(drives: Iterable[Drive], manifest: Manifest) -> NormalAccord:
    """Learn what is usual and what is chance.

    Args:
        drives: of sensors whose pictures lie on each other.
        manifest: of the model, as which the images are scaled.

    Raises:
        TrainingError: there are too few drives, or fewer than two kinds of sensors in them.
    """
    usual: dict[tuple[str, tuple[str, ...]], list[npt.NDArray[np.float64]]] = {}
    chance: dict[int, list[float]] = {}
    before: Mapping[str, Sequence[Structure]] = {}
    drives_seen = looks = 0
    for drive in drives:
        seen = {k: [structure_of(i, manifest.modalities[k]) for i in drive[k]] for k in drive}
        healthy = {
            pair: accords(seen[pair[0]], seen[pair[1]])
            for pair in itertools.combinations(sorted(seen), 2)
        }
        for kind in seen:
            for others in _subsets(sorted(set(seen) - {kind})):
                best = _best(kind, others, healthy)
                if len(best):
                    usual.setdefault((kind, others), []).append(best)
            for lie in _lies(kind, drive[kind], manifest, before):
                told = {other: accords(lie, seen[other]) for other in seen if other != kind}
                for others in _subsets(sorted(told)):
                    best = np.nanmax(np.stack([told[o] for o in others]), axis=0, initial=-1.0)
                    chance.setdefault(len(others), []).extend(best[best > -1.0])
        before = seen
        drives_seen += 1
        looks += len(next(iter(seen.values()), ())) - LOOKS
    if drives_seen < 2 or not usual:
        raise TrainingError("expected at least two drives with at least two kinds of sensors")
    return NormalAccord(
        {key: _usual(places) for key, places in usual.items()},
        [_chance(chance[count]) for count in sorted(chance)],
        looks,
    )


def accords(one: Sequence[Structure], other: Sequence[Structure]) -> npt.NDArray[np.float64]:
    """Return the accord of two sensors after each look, NaN where there is none to tell of."""
    running, found = RunningAccord(), []
    for a, b in zip(one, other, strict=True):
        clear = min(a.clarity, b.clarity) >= CLEAR
        found.append(running.add(a, b).here if clear else math.nan)
    return np.array(found[LOOKS:])


def _lies(
    kind: str,
    images: Sequence[Image],
    manifest: Manifest,
    before: Mapping[str, Sequence[Structure]],
) -> Iterator[Sequence[Structure]]:
    """Yield what a sensor may show that tells of another world."""
    dice = np.random.default_rng(0)
    spec = manifest.modalities[kind]
    shown = [
        [wrong_picture(image, "mirrored", dice) for image in images],
        *(
            [other_view(fault, image) for image in images]
            for fault in (
                Moved(share=1 / 3),
                Moved(share=0.1),
                Turned(axis="yaw"),
                Turned(axis="pitch"),
            )
        ),
    ]
    for pictures in shown:
        yield [structure_of(image, spec) for image in pictures]
    if kind in before:
        yield before[kind]


def _subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    return [
        chosen
        for size in range(1, len(names) + 1)
        for chosen in itertools.combinations(names, size)
    ]


def _best(
    kind: str, others: Sequence[str], healthy: Mapping[tuple[str, str], npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """Return the best accord of a kind with some others at each look that has one, as logarithm."""
    rows = np.stack([healthy[min(kind, o), max(kind, o)] for o in others])
    best = np.where(np.isnan(rows), -1.0, rows).max(axis=0)
    return np.log1p(np.maximum(best[best > -1.0], 0.0))


def _usual(places: Sequence[npt.NDArray[np.float64]]) -> Usual:
    """Join the spread from place to place with that within one."""
    means = np.array([place.mean() for place in places])
    within = float(np.mean([place.var() for place in places]))
    every = np.concatenate(places)
    deviation = max(math.sqrt(float(means.var()) + within), 0.05)
    return Usual(float(means.mean()), deviation, float(np.expm1(np.quantile(every, _SELDOM))))


def _chance(accords_: Sequence[float]) -> Chance:
    values = np.log1p(np.maximum(np.array(accords_), 0.0))
    often, hardly = np.expm1(np.quantile(values, (_OFTEN, _HARDLY)))
    return Chance(float(values.mean()), float(values.std()), float(often), float(hardly))


def summary(normal: NormalAccord) -> str:
    """Return in words what was learned."""
    lines = [f"learned from {normal.looks} looks; a sensor's best accord with the others:"]
    for (kind, others), usual in sorted(normal.usual.items()):
        judged = "" if normal.of(kind, others) else ", too little to judge it by"
        lines.append(
            f"  {kind} among {', '.join(others)}: usually {math.expm1(usual.mean):.0f}, "
            f"seldom below {usual.seldom:.1f}{judged}"
        )
    for count, chance in enumerate(normal.chance, start=1):
        lines.append(f"  by chance with {count}: hardly ever above {chance.hardly:.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
