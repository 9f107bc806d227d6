"""``anymodal-train check-data``: read every frame of a data set and name what is wrong with it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from anymodal_seg_ros.config import read_yaml
from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_training.command_line import run_command
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import SPLITS, Dataset, Split
from anymodal_seg_training.datasets.folders import FolderDataset, FolderOptions, layout_names
from anymodal_seg_training.display import Display
from anymodal_seg_training.errors import UnknownLabelError
from anymodal_seg_training.plane_statistics import Measure, PlaneSums, yaml_line
from anymodal_seg_training.recipe import InputOptions, load_recipe


@dataclass(slots=True)
class Findings:
    """What was found in one split.

    Attributes:
        frames: how many were read.
        problems: one sentence for each unit (a frame, or a scene) that cannot be used.
        unknown: labels with values that are no class; each is a unit that cannot be used, too.
        sizes: how often a label has a size, ``WIDTHxHEIGHT``.
        pixels: labelled pixels of each class, then the unlabelled ones.
        sums: what a network would see of each modality, where it was measured.
    """

    frames: int = 0
    problems: list[str] = field(default_factory=list)
    unknown: list[UnknownLabelError] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    sums: dict[str, PlaneSums] = field(default_factory=dict)

    @property
    def bad(self) -> int:
        """How many units cannot be used."""
        return len(self.problems) + len(self.unknown)

    def add(self, other: Findings) -> None:
        """Add what was found in other frames of the split."""
        self.frames += other.frames
        self.problems += other.problems
        self.unknown += other.unknown
        self.sizes.update(other.sizes)
        self.pixels.update(other.pixels)
        for name, sums in other.sums.items():
            self.sums.setdefault(name, PlaneSums(sums.spec)).add(sums)


def check_split(
    split: Split, workers: int, display: Display, measure: Measure | None = None
) -> Findings:
    """Read every frame of a split, some at a time; a frame that cannot be read stops nothing.

    With ``measure`` what a network would see of the frames is summed up too.
    """
    found = Findings()
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda unit: _check(split, unit, measure), range(split.units))
        for done, result in enumerate(results, start=1):
            found.add(result)
            display.advance(f"checking {split.name}", done, split.units, "")
    return found


def _check(split: Split, unit: int, measure: Measure | None) -> Findings:
    found = Findings(frames=split.frames_per_unit)
    try:
        for frame in split.frames(unit):
            ids, counts = np.unique(frame.label, return_counts=True)
            sums = {} if measure is None else measure.frame(frame.images)
            pixels = {int(i): int(n) for i, n in zip(ids, counts, strict=True)}
            size = f"{frame.label.shape[1]}x{frame.label.shape[0]}"
            found.add(Findings(sizes=Counter([size]), pixels=Counter(pixels), sums=sums))
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
    table.add_row("problems", *(str(f.bad) for f in found.values()))
    return table


def _share(found: Findings, number: int) -> str:
    labelled = found.pixels.total() - found.pixels[UNLABELED]
    return f"{100 * found.pixels[number] / labelled:.2f}" if labelled else "–"


def _unlabelled(found: Findings) -> str:
    total = found.pixels.total()
    return f"{100 * found.pixels[UNLABELED] / total:.2f}" if total else "–"


def _tell_problems(name: str, problems: list[str], most: int, console: Console) -> None:
    """Print the first of a split's problems, each once."""
    counted = Counter(problems)
    for problem, frames in list(counted.items())[:most]:
        times = f" ({frames} times)" if frames > 1 else ""
        console.print(f"{name}: {problem}{times}", markup=False, highlight=False, soft_wrap=True)
    if len(counted) > most:
        console.print(f"{name}: and {len(counted) - most} more")


def _tell_unknown(errors: list[UnknownLabelError], console: Console) -> None:
    """Print all label values that are no class at once: they are mended in one place."""
    for kind in sorted({error.kind for error in errors}):
        those = [error for error in errors if error.kind == kind]
        labels = Counter(value for error in those for value in error.values)
        values = ", ".join(f"{value} (in {count})" for value, count in labels.most_common())
        console.print(
            f"{len(those)} labels, such as {those[0].path}, have {kind} that are no class: "
            f"{values}. {those[0].mend[0].upper()}{those[0].mend[1:]}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _tell_modalities(found: Findings, measure: Measure, console: Console) -> None:
    """Print a recipe's modalities with the mean and the spread that were measured."""
    frames = next(iter(found.sums.values())).pixels // (measure.height * measure.width)
    lines = [
        f"With mean and std of {frames} training frames at {measure.height}x{measure.width}, for "
        "the recipe:",
        "",
        "modalities:",
        *(yaml_line(name, sums.measured()) for name, sums in found.sums.items()),
    ]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


@click.command("check-data")
@click.argument("layout")
@click.argument("root", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--workers", default=0, help="Threads that read files; 0 means one per core.")
@click.option("--most", default=20, show_default=True, help="Problems of a split to print.")
def main(layout: str, root: Path | None, workers: int, most: int) -> None:
    """Read every file of the data set in the folder ROOT and name what is wrong.

    LAYOUT is the path of a YAML file that describes it, or one of the bundled ones: LAYOUTS.
    Without ROOT it is a recipe, and the data set that the recipe trains on is read, from bags too.
    Exit code 1 if a frame cannot be used.

    Also prints the section 'modalities' of a recipe, with mean and standard deviation as measured
    on the training frames.
    """

    def command() -> None:
        console = Console()
        dataset, title, measure = _opened(layout, root)
        found = {}
        with Display() as display:
            for name, split in _splits(dataset, title, console):
                if isinstance(split, str):
                    found[name] = Findings(problems=[split])
                else:
                    found[name] = check_split(
                        split,
                        workers or os.cpu_count() or 1,
                        display,
                        measure if name == "train" else None,
                    )
        if not found:
            raise ConfigError(f"{title} has no split at all")
        console.print(_report(dataset, title, found))
        for name, findings in found.items():
            _tell_problems(name, findings.problems, most, console)
        if "train" in found and found["train"].sums:
            _tell_modalities(found["train"], measure, console)
        _tell_unknown([error for findings in found.values() for error in findings.unknown], console)
        if any(findings.bad for findings in found.values()):
            sys.exit(1)

    run_command(command)


def _opened(layout: str, root: Path | None) -> tuple[Dataset, str, Measure]:
    """Open what the command line names; also return its title, and how frames are measured."""
    if root is not None:
        dataset = FolderDataset(FolderOptions(layout, str(root)))
        size = InputOptions()
        return dataset, dataset.layout.title, Measure(size.height, size.width)
    if layout in layout_names():
        raise ConfigError(f"ROOT is missing: expected the folder in which {layout} lies")
    content = read_yaml(Path(layout), "recipe")
    if isinstance(content, Mapping) and "images" in content:
        raise ConfigError(f"ROOT is missing: expected the folder that {layout} describes")
    recipe = load_recipe(Path(layout))
    measure = Measure(recipe.input.height, recipe.input.width, recipe.modalities)
    return open_dataset(recipe.data), f"{recipe.data.get('dataset')} of {layout}", measure


main.help = (main.help or "").replace("LAYOUTS", ", ".join(layout_names()))

if __name__ == "__main__":
    main()
