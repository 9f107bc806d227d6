"""What was found in a data set, and how people are told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_training.datasets.base import Dataset
from anymodal_seg_training.datasets.plane_statistics import Measure, PlaneSums, yaml_line
from anymodal_seg_training.datasets.shared_frames import FrameMark, SharedFrame
from anymodal_seg_training.errors import UnknownLabelError


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
        marks: by which its frames are known again in another split.
    """

    frames: int = 0
    problems: list[str] = field(default_factory=list)
    unknown: list[UnknownLabelError] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    sums: dict[str, PlaneSums] = field(default_factory=dict)
    marks: list[FrameMark] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """How many units cannot be used."""
        return len(self.problems) + len(self.unknown)

    @property
    def labelled(self) -> int:
        """How many pixels have a class."""
        return self.pixels.total() - self.pixels[UNLABELED]

    def add(self, other: Findings) -> None:
        """Add what was found in other frames of the split."""
        self.frames += other.frames
        self.problems += other.problems
        self.unknown += other.unknown
        self.sizes.update(other.sizes)
        self.pixels.update(other.pixels)
        self.marks += other.marks
        for name, sums in other.sums.items():
            self.sums.setdefault(name, PlaneSums(sums.spec)).add(sums)


def findings_table(dataset: Dataset, title: str, found: dict[str, Findings]) -> Table:
    """Show the share of each class in each split, and how many frames and problems there are."""
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
    return f"{100 * found.pixels[number] / found.labelled:.2f}" if found.labelled else "–"


def _unlabelled(found: Findings) -> str:
    total = found.pixels.total()
    return f"{100 * found.pixels[UNLABELED] / total:.2f}" if total else "–"


def tell_problems(name: str, problems: list[str], most: int, console: Console) -> None:
    """Print the first of a split's problems, each once."""
    counted = Counter(problems)
    for problem, frames in list(counted.items())[:most]:
        times = f" ({frames} times)" if frames > 1 else ""
        console.print(f"{name}: {problem}{times}", markup=False, highlight=False, soft_wrap=True)
    if len(counted) > most:
        console.print(f"{name}: and {len(counted) - most} more")


def tell_unknown(errors: list[UnknownLabelError], console: Console) -> None:
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


_SHARED = {
    ("train", True): "What was learned from cannot be a measure: take these frames out of one of "
    "the two.",
    ("train", False): "Neighbours in a recording look alike, and score as if they had been learned "
    "from: leave a gap between the splits, or give each split recordings of its own.",
    ("validation", True): "The best weights are chosen on validation: a score on the same frames "
    "flatters them.",
    ("validation", False): "The best weights are chosen on validation: a score on such frames "
    "flatters them.",
}
"""What follows from frames that a split shares, exactly or nearly, with train or validation."""


def tell_shared(
    judged: str, frames: int, known: str, shared: list[SharedFrame], most: int, console: Console
) -> None:
    """Print which frames of a split are in another, by the recordings that they come from.

    Args:
        judged: the split.
        frames: how many it has.
        known: the other one, train or validation.
        shared: those that are in the other one, too.
        most: pairs of recordings to print.
        console: to print on.
    """
    for exact, what in ((True, "are in"), (False, "look nearly like frames of")):
        those = [frame for frame in shared if frame.exact is exact]
        if not those:
            continue
        lines = [f"{judged}: {len(those)} of its {frames} frames {what} {known}, too:"]
        recordings = Counter((frame.origin.recording, frame.other.recording) for frame in those)
        for (one, other), count in recordings.most_common(most):
            example = next(
                f for f in those if (f.origin.recording, f.other.recording) == (one, other)
            )
            lines.append(
                f"  {count} of {one}, such as {example.origin.moment}: in {other}, "
                f"{example.other.moment}"
            )
        if len(recordings) > most:
            lines.append(f"  and {len(recordings) - most} more")
        lines.append(f"  {_SHARED[known, exact]}")
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def tell_modalities(found: Findings, measure: Measure, console: Console) -> None:
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
