"""``anymodal-train check-data``: read every frame of a data set and name what is wrong with it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_training.command_line import run_command
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import SPLITS, Dataset, Split
from anymodal_seg_training.datasets.folders import FolderDataset, FolderOptions, layout_names
from anymodal_seg_training.datasets.mixed import MixedDataset
from anymodal_seg_training.display import Display
from anymodal_seg_training.member_view import check_modalities
from anymodal_seg_training.recipe import load_recipe


@dataclass(slots=True)
class Findings:
    """What was found in one split.

    Attributes:
        frames: how many were read.
        problems: one sentence for each unit (a frame, or a scene) that cannot be used.
        sizes: how often a label has a size, ``WIDTHxHEIGHT``.
        pixels: labelled pixels of each class, then the unlabelled ones.
    """

    frames: int = 0
    problems: list[str] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)


def check_split(split: Split, workers: int, display: Display) -> Findings:
    """Read every frame of a split, some at a time; a frame that cannot be read stops nothing."""
    found = Findings()
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda unit: _check(split, unit), range(split.units))
        for done, result in enumerate(results, start=1):
            found.frames += split.frames_per_unit
            if isinstance(result, str):
                found.problems.append(result)
            else:
                for size, counts in result:
                    found.sizes[size] += 1
                    found.pixels.update(counts)
            display.advance(f"checking {split.name}", done, split.units, "")
    return found


def _check(split: Split, unit: int) -> str | list[tuple[str, dict[int, int]]]:
    try:
        labels = [frame.label for frame in split.frames(unit)]
    except AnymodalError as error:
        return str(error)
    found = []
    for label in labels:
        ids, counts = np.unique(label, return_counts=True)
        size = f"{label.shape[1]}x{label.shape[0]}"
        found.append((size, {int(i): int(n) for i, n in zip(ids, counts, strict=True)}))
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


def _report(dataset: Dataset, title: str, found: dict[str, Findings]) -> Table:
    table = Table(title=title, caption="share of the labelled pixels, in %")
    table.add_column("class")
    for name in found:
        table.add_column(name, justify="right")
    for number, entry in enumerate(dataset.classes):
        table.add_row(entry.name, *(_share(f, number) for f in found.values()))
    table.add_section()
    table.add_row("unlabelled, of all", *(_unlabelled(f) for f in found.values()))
    table.add_row("frames", *(str(f.frames) for f in found.values()))
    table.add_row(
        "sizes", *(", ".join(s for s, _ in f.sizes.most_common(3)) for f in found.values())
    )
    table.add_row("problems", *(str(len(f.problems)) for f in found.values()))
    return table


def _share(found: Findings, number: int) -> str:
    labelled = found.pixels.total() - found.pixels[UNLABELED]
    return f"{100 * found.pixels[number] / labelled:.2f}" if labelled else "–"


def _unlabelled(found: Findings) -> str:
    total = found.pixels.total()
    return f"{100 * found.pixels[UNLABELED] / total:.2f}" if total else "–"


@click.command("check-data")
@click.argument("layout")
@click.argument("root", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--workers", default=0, help="Threads that read files; 0 means one per core.")
@click.option("--most", default=20, show_default=True, help="Problems of a split to print.")
def main(layout: str, root: Path | None, workers: int, most: int) -> None:
    """Read every file of the data set in the folder ROOT and name what is wrong.

    LAYOUT is the path of a YAML file that describes it, or one of the bundled ones: LAYOUTS.
    Without ROOT it is a recipe, and the data set that the recipe trains on is read, from bags too;
    of mixed ones, each.
    Exit code 1 if a frame cannot be used.
    """

    def command() -> None:
        console, good = Console(), True
        for dataset, title in _opened(layout, root):
            good &= _check_dataset(dataset, title, workers or os.cpu_count() or 1, most, console)
        if not good:
            sys.exit(1)

    run_command(command)


def _check_dataset(dataset: Dataset, title: str, workers: int, most: int, console: Console) -> bool:
    """Check a data set, print what was found, and return whether all of it can be used."""
    found = {}
    with Display() as display:
        for name, split in _splits(dataset, title, console):
            if isinstance(split, str):
                found[name] = Findings(problems=[split])
            else:
                found[name] = check_split(split, workers, display)
    if not found:
        raise ConfigError(f"{title} has no split at all")
    console.print(_report(dataset, title, found))
    for name, findings in found.items():
        for problem in findings.problems[:most]:
            console.print(f"{name}: {problem}", markup=False, highlight=False, soft_wrap=True)
        if len(findings.problems) > most:
            console.print(f"{name}: and {len(findings.problems) - most} more")
    return not any(findings.problems for findings in found.values())


def _opened(layout: str, root: Path | None) -> list[tuple[Dataset, str]]:
    """Open what the command line names, mixed data sets one by one; also return their titles."""
    if root is not None:
        folders = FolderDataset(FolderOptions(layout, str(root)))
        return [(folders, folders.layout.title)]
    if layout in layout_names():
        raise ConfigError(f"ROOT is missing: expected the folder in which {layout} lies")
    recipe = load_recipe(Path(layout))
    dataset = open_dataset(recipe.data)
    check_modalities(recipe, dataset)
    if isinstance(dataset, MixedDataset):
        members = dataset.members.values()
        return [(member.dataset, f"{member.name} of {layout}") for member in members]
    return [(dataset, f"{recipe.data.get('dataset')} of {layout}")]


main.help = (main.help or "").replace("LAYOUTS", ", ".join(layout_names()))

if __name__ == "__main__":
    main()
