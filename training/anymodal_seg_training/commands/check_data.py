"""``anymodal-train check-data``: read every frame of a data set and name what is wrong with it."""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.config import read_yaml
from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import SPLITS, Dataset, Origin, Split
from anymodal_seg_training.datasets.data_findings import (
    Findings,
    findings_table,
    tell_modalities,
    tell_problems,
    tell_shared,
    tell_unknown,
)
from anymodal_seg_training.datasets.folders import FolderDataset, FolderOptions, layout_names
from anymodal_seg_training.datasets.mixed import MixedDataset
from anymodal_seg_training.datasets.plane_statistics import Measure
from anymodal_seg_training.datasets.shared_frames import mark_of, shared_frames
from anymodal_seg_training.errors import UnknownLabelError
from anymodal_seg_training.evaluation.member_view import check_modalities, member_recipe
from anymodal_seg_training.recipe import InputOptions, Recipe, load_recipe
from anymodal_seg_training.runs.command_line import run_command
from anymodal_seg_training.runs.display import Display
from anymodal_seg_training.strategies import makes_masks


def check_split(
    split: Split,
    workers: int,
    display: Display,
    measure: Measure | None = None,
    modalities: Collection[str] | None = None,
) -> Findings:
    """Read every frame of a split, some at a time; a frame that cannot be read stops nothing.

    With ``measure`` what a network would see of the frames is summed up too. Images are read of
    these ``modalities``, of all where it is None.
    """
    found = Findings()
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(
            lambda unit: _check(split, unit, measure, modalities), range(split.units)
        )
        for done, result in enumerate(results, start=1):
            found.add(result)
            display.advance(f"checking {split.name}", done, split.units, "")
    return found


def _check(
    split: Split, unit: int, measure: Measure | None, modalities: Collection[str] | None
) -> Findings:
    found = Findings(frames=split.frames_per_unit)
    try:
        for number, frame in enumerate(split.frames(unit), start=unit * split.frames_per_unit):
            offered, wanted = frame.images, modalities
            if wanted is None or not set(wanted) <= set(offered):
                wanted = offered  # where a name is wrong, the error tells all that there are
            images = {name: offered[name] for name in wanted}  # read, measured or not
            ids, counts = np.unique(frame.label, return_counts=True)
            sums = {} if measure is None else measure.frame(images)
            pixels = {int(i): int(n) for i, n in zip(ids, counts, strict=True)}
            size = f"{frame.label.shape[1]}x{frame.label.shape[0]}"
            mark = mark_of(images, frame.origin or Origin(split.name, f"frame {number}"))
            marks = [] if mark is None else [mark]
            found.add(Findings(0, [], [], Counter([size]), Counter(pixels), sums, marks))
    except UnknownLabelError as error:
        return Findings(frames=split.frames_per_unit, unknown=[error])
    except AnymodalError as error:
        return Findings(frames=split.frames_per_unit, problems=[str(error)])
    return found


def _splits(dataset: Dataset, title: str, console: Console) -> Iterator[tuple[str, Split | str]]:
    """The splits that the data set has; one without a frame is a problem: the text of an error."""
    # Only what lies on a disk can lack a split.
    offered = getattr(dataset, "offered", SPLITS)
    for name in SPLITS:
        if name not in offered:
            console.print(f"{title} has no split {name}")
            continue
        try:
            yield name, dataset.split(name)
        except AnymodalError as error:
            yield name, str(error)


_NO_LABEL = (
    "no pixel of all frames has a label, so that nothing can be learned or measured: look at "
    "label.ignore and label.renumber of the layout"
)


@click.command("check-data")
@click.argument("layout")
@click.argument("root", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=0,
    help="Threads that read files; 0 means one per core.",
)
@click.option(
    "--most",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Problems of a split to print.",
)
def main(layout: str, root: Path | None, workers: int, most: int) -> None:
    """Read every file of the data set in the folder ROOT and name what is wrong.

    LAYOUT is the path of a YAML file that describes it, or one of the bundled ones: LAYOUTS.
    Without ROOT it is a recipe, and the data set that the recipe trains on is read, from bags too;
    of mixed ones, each.
    Frames of validation or test that are in train, too, are named, and those that look nearly
    like one of them.
    Exit code 1 if a frame cannot be used, nothing in a split is labelled, or a frame is in train
    and in another split.

    Also prints the section 'modalities' of a recipe, with mean and standard deviation as measured
    on the training frames.
    """

    def command() -> None:
        console, threads = PlainConsole(), workers or os.cpu_count() or 1
        opened = _opened(layout, root)
        found = [_check_dataset(one, threads, most, console) for one in opened]
        bad = any(split.bad for splits in found for split in splits.values())
        if _tell_leaks(found, most, console) or bad:
            sys.exit(1)

    run_command(command)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A data set to check.

    Attributes:
        dataset: see there.
        title: of it, for people.
        measure: how its training frames are measured.
        modalities: whose images are read; None for all.
        needs_labels: whether what is trained on it learns from labels.
    """

    dataset: Dataset
    title: str
    measure: Measure
    modalities: tuple[str, ...] | None = None
    needs_labels: bool = True


def _check_dataset(
    opened: _Opened, workers: int, most: int, console: Console
) -> dict[str, Findings]:
    """Check a data set, and return and print what was found in each split."""
    found: dict[str, Findings] = {}
    with Display() as display:
        for name, split in _splits(opened.dataset, opened.title, console):
            if isinstance(split, str):
                found[name] = Findings(problems=[split])
            else:
                measure = opened.measure if name == "train" else None
                found[name] = check_split(split, workers, display, measure, opened.modalities)
                if opened.needs_labels and found[name].pixels and not found[name].labelled:
                    found[name].problems.append(_NO_LABEL)
    if not found:
        raise ConfigError(f"{opened.title} has no split at all")
    console.print(findings_table(opened.dataset, opened.title, found))
    for name, findings in found.items():
        tell_problems(name, findings.problems, most, console)
    if "train" in found and found["train"].sums:
        tell_modalities(found["train"], opened.measure, console)
    tell_unknown([error for findings in found.values() for error in findings.unknown], console)
    return found


def _tell_leaks(found: list[dict[str, Findings]], most: int, console: Console) -> bool:
    """Print which frames are in two splits, and return whether something was learned from them.

    Sets that are mixed are learned from together, so any of them may have another one's frames.
    """
    leak = False
    for known, judged in itertools.combinations(SPLITS, 2):
        marks = [mark for splits in found if known in splits for mark in splits[known].marks]
        for split in (splits[judged] for splits in found if judged in splits):
            shared = shared_frames(split.marks, marks)
            tell_shared(judged, split.frames, known, shared, most, console)
            leak |= known == "train" and any(frame.exact for frame in shared)
    return leak


def _opened(layout: str, root: Path | None) -> list[_Opened]:
    """Open what the command line names, mixed data sets one by one."""
    if root is not None:
        folders = FolderDataset(FolderOptions(layout, str(root)))
        size = InputOptions()
        return [_Opened(folders, folders.layout.title, Measure(size.height, size.width))]
    if layout in layout_names():
        raise ConfigError(f"ROOT is missing: expected the folder in which {layout} lies")
    content = read_yaml(Path(layout), "recipe")
    if isinstance(content, Mapping) and "images" in content:
        raise ConfigError(f"ROOT is missing: expected the folder that {layout} describes")
    recipe = load_recipe(Path(layout))
    dataset, labels = open_dataset(recipe.data), makes_masks(recipe.strategy.get("name"))
    if isinstance(dataset, MixedDataset):
        check_modalities(recipe, dataset)
        return [
            _Opened(
                member.dataset,
                f"{member.name} of {layout}",
                _measure(member_recipe(recipe, member.modalities)),
                member.modalities,
                labels,
            )
            for member in dataset.members.values()
        ]
    title = f"{recipe.data.get('dataset')} of {layout}"
    return [_Opened(dataset, title, _measure(recipe), recipe.modality_names, labels)]


def _measure(recipe: Recipe) -> Measure:
    return Measure(recipe.input.height, recipe.input.width, recipe.modalities)


main.help = (main.help or "").replace("LAYOUTS", ", ".join(layout_names()))

if __name__ == "__main__":
    main()
