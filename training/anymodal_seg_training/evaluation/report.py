"""An evaluation for people: tables for the terminal, a CSV file, a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_training.checkpoint import write_atomically

_SHOWN = 24
"""Characters of a class's name that are shown below a picture."""


def combination_table(result: dict[str, Any]) -> Table:
    """Draw the scores of all subsets and what they come to."""
    title = f"mIoU on {result['frames']} {result['split']} frames"
    table = Table(title=title, caption=result["protocol"])
    table.add_column("sensors alive")
    table.add_column("mIoU", justify="right", style="bold")
    table.add_column("ECE", justify="right")
    for key, miou in result["miou"].items():
        table.add_row(key, _percent(miou), _percent(result["calibration_error"][key], 1))
    table.add_section()
    for name, key in (
        ("mean over subsets", "mean_over_subsets"),
        ("best subset", "top_1"),
        ("worst subset", "last_1"),
    ):
        table.add_row(name, _percent(result[key]))
    return table


def class_table(result: dict[str, Any], classes: Sequence[str]) -> Table:
    """Draw the IoU of each class with each sensor alone and with all of them."""
    subsets = [key for key in result["miou"] if "+" not in key]
    subsets += [key for key in list(result["miou"])[-1:] if key not in subsets]
    table = Table(title="IoU of the classes")
    table.add_column("class")
    for key in subsets:
        table.add_column(key if "+" not in key else "all", justify="right")
    for name in classes:
        table.add_row(name, *(_percent(result["class_iou"][k].get(name), 1) for k in subsets))
    return table


def condition_table(result: dict[str, Any]) -> Table:
    """Draw the scores under each condition, such as each weather, over all subsets."""
    title = f"mIoU on {result['split']} frames by condition"
    table = Table(title=title, caption=result["protocol"])
    table.add_column("condition")
    for name in ("frames", "all sensors", "mean over subsets", "best subset", "worst subset"):
        table.add_column(name, justify="right")
    for name, values in result["conditions"].items():
        for value, found in values.items():
            scores = (found[key] for key in ("all_sensors", "mean_over_subsets", "top_1", "last_1"))
            table.add_row(f"{name}: {value}", str(found["frames"]), *map(_percent, scores))
        table.add_section()
    return table


def benchmark_table(result: dict[str, Any]) -> Table:
    """Draw the scores of EMM, RMM and NM."""
    table = Table(title="missing and noisy modalities, mIoU", caption=result["protocol"])
    expectations = list(result["emm"])
    table.add_column("")
    for name in expectations:
        table.add_column(name, justify="right")
    table.add_row("entire-missing (EMM)", *(_percent(v) for v in result["emm"].values()))
    for ratio, found in result["rmm"].items():
        table.add_row(f"random-missing (RMM) {ratio}", *(_percent(v) for v in found.values()))
    table.add_section()
    table.add_row("clean", _percent(result["clean"]))
    for level, value in result["nm"].items():
        table.add_row(f"noise (NM) {level}", _percent(value))
    table.add_row("robustness score", _percent(result["robustness_score"]), style="bold")
    return table


def set_table(result: dict[str, Any]) -> Table:
    """Draw the scores of several data sets and their means."""
    title = f"mIoU on {result['frames']} {result['split']} frames of {len(result['sets'])} sets"
    table = Table(title=title, caption=result["protocol"])
    table.add_column("data set")
    for name in ("frames", "all sensors", "mean over subsets"):
        table.add_column(name, justify="right")
    for name, found in result["sets"].items():
        whole = list(found["miou"].values())[-1]
        means = (_percent(whole), _percent(found["mean_over_subsets"]))
        table.add_row(name, str(found["frames"]), *means)
    table.add_section()
    means = (_percent(result["all_sensors"]), _percent(result["mean_over_subsets"]))
    table.add_row("mean", str(result["frames"]), *means, style="bold")
    return table


def write_report(
    path: Path, result: dict[str, Any], classes: Sequence[str], title: str, console: Console
) -> None:
    """Print the tables of one data set and write its files.

    Args:
        path: of the files, without their endings.
        result: of the evaluation.
        classes: of the data set.
        title: of the picture.
        console: where to print.

    Raises:
        TrainingError: a file cannot be written.
    """
    write_csv(path.with_name(f"{path.name}.csv"), result, classes)
    save_heat_map(path.with_name(f"{path.name}.png"), result, classes, title)
    console.print(combination_table(result))
    console.print(class_table(result, classes))
    if result["conditions"]:
        write_condition_csv(path.with_name(f"{path.name}-conditions.csv"), result)
        console.print(condition_table(result))
    if "benchmark" in result:
        console.print(benchmark_table(result["benchmark"]))


def write_csv(path: Path, result: dict[str, Any], classes: Sequence[str]) -> None:
    """Write a row for each subset: mIoU, calibration error and IoU of each class, 0 to 1.

    Raises:
        TrainingError: the file cannot be written.
    """
    write_atomically(path, lambda temporary: _write_rows(temporary, result, classes))


def write_condition_csv(path: Path, result: dict[str, Any]) -> None:
    """Write a row for each condition and subset: frames and mIoU, 0 to 1.

    Raises:
        TrainingError: the file cannot be written.
    """
    write_atomically(path, lambda temporary: _write_conditions(temporary, result))


def save_heat_map(path: Path, result: dict[str, Any], classes: Sequence[str], title: str) -> None:
    """Draw the IoU of each class (columns) with each subset (rows) as a PNG file.

    Raises:
        TrainingError: the file cannot be written.
    """
    subsets = list(result["miou"])
    ious = [[result["class_iou"][s].get(name, np.nan) for name in classes] for s in subsets]
    values = 100 * np.column_stack([np.array([result["miou"][s] for s in subsets]), ious])
    columns = ["mIoU", *(quote(name, _SHOWN) for name in classes)]
    figure = Figure(figsize=(3 + 0.55 * len(columns), 1.6 + 0.32 * len(subsets)), dpi=110)
    axes = figure.add_subplot()
    picture = axes.imshow(values, vmin=0.0, vmax=100.0, cmap="viridis", aspect="auto")
    # A class may have a dollar in its name: that is no formula.
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(subsets)), [quote(name) for name in subsets])
    axes.axvline(0.5, color="white", linewidth=2)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            color = "white" if value < 60 else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=color, size=8)
    axes.set_title(f"{title}: IoU in % by class and sensors alive")
    figure.colorbar(picture, ax=axes, pad=0.01)
    figure.tight_layout()
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))


def _write_rows(path: Path, result: dict[str, Any], classes: Sequence[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sensors", "miou", "calibration_error", *classes])
        for key, miou in result["miou"].items():
            ious = result["class_iou"][key]
            error = result["calibration_error"][key]
            rows.writerow([key, miou, error, *(ious.get(name, "") for name in classes)])


def _write_conditions(path: Path, result: dict[str, Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["condition", "value", "frames", "sensors", "miou"])
        for name, values in result["conditions"].items():
            for value, found in values.items():
                for key, miou in found["miou"].items():
                    rows.writerow([name, value, found["frames"], key, miou])


def _percent(value: float | None, digits: int = 2) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{100 * value:.{digits}f}"
