"""The page that tells people what a model is good for, written from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from anymodal_seg_training.datasets.base import SYNTHETIC, Dataset
from anymodal_seg_training.markdown import cell
from anymodal_seg_training.recipe import Recipe

_Column = tuple[Mapping[str, float], float]
"""Something by subset, and its mean over them; 0 to 1."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A run whose numbers stand beside the model's.

    Attributes:
        name: of its model.
        description: of it, one sentence.
        metrics: its evaluation on the same split.
    """

    name: str
    description: str
    metrics: Mapping[str, Any]


def model_card(
    recipe: Recipe,
    dataset: Dataset,
    metrics: Mapping[str, Any],
    rival: Rival | None,
    parameters: int,
) -> str:
    """Write ``MODEL_CARD.md``.

    Args:
        recipe: of the model.
        dataset: what it was trained on.
        metrics: its evaluation, as :class:`.Evaluation` gives it.
        rival: what it is compared with, if anything.
        parameters: number of learned parameters.
    """
    sections = [
        f"# {recipe.name} {recipe.version}",
        recipe.description,
        _facts(recipe, dataset, parameters),
        f"## Training data\n\n{dataset.description}",
        *_results(metrics, rival),
        _limits(recipe, dataset, metrics),
        _REPEAT,
    ]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def _facts(recipe: Recipe, dataset: Dataset, parameters: int) -> str:
    architecture, initial = recipe.architecture, recipe.initial_weights
    rows = {
        "Network": f"{architecture['network']}, backbone {architecture.get('backbone', '')}",
        "Parameters": f"{parameters / 1e6:.2f} M",
        "Input": f"{recipe.input.height}x{recipe.input.width}, any number of modalities",
        "Modalities": ", ".join(recipe.modality_names),
        "Classes": ", ".join(cell(entry.name) for entry in dataset.classes),
        "Begins with": initial.model or initial.encoder or "random weights",
        "Training": f"{_course(recipe)}; all settings are in model.yaml",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())])


def _course(recipe: Recipe) -> str:
    """Say how a run went, its length by what counted for it."""
    training = recipe.training
    if not (training.epochs or training.steps):
        return "none: the weights are those that it begins with"
    length = f"{training.epochs:g} epochs in" if training.epochs else f"{training.steps}"
    frames = f"steps of {training.batch_size} frames"
    return f"{length} {frames}, seed {recipe.seed}, {training.precision}"


def _results(metrics: Mapping[str, Any], rival: Rival | None) -> list[str]:
    """Show the numbers of a data set, or of several one by one."""
    if "sets" not in metrics:
        return [_numbers(metrics, rival), *_rest(metrics)]
    sections = []
    for name, found in metrics["sets"].items():
        other = None if rival is None else replace(rival, metrics=rival.metrics["sets"][name])
        which = f" of {name}"
        sections += [_numbers(found, other, which), *_rest(found, which)]
    return sections


def _rest(metrics: Mapping[str, Any], which: str = "") -> list[str]:
    return [_benchmark(metrics, which), _conditions(metrics, which), _classes(metrics, which)]


def _numbers(metrics: Mapping[str, Any], rival: Rival | None, which: str = "") -> str:
    text = [
        f"## mIoU on {metrics['frames']} held-out frames{which} ({metrics['split']} split)",
        "",
        f"Protocol: {metrics['protocol']}. In percent.",
        "",
    ]
    if rival is None:
        columns, notes = _measured(metrics)
    else:
        text += [f"The last column is {rival.name}: {rival.description}", ""]
        columns, notes = {"this model": _miou(metrics), rival.name: _miou(rival.metrics)}, []
    text += [f"| sensors alive | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for key in metrics["miou"]:
        cells = (f"{100 * scores[key]:.1f}" for scores, _ in columns.values())
        text.append(f"| {key} | {' | '.join(cells)} |")
    cells = (f"**{100 * mean:.1f}**" for _, mean in columns.values())
    text.append(f"| **mean over subsets** | {' | '.join(cells)} |")
    return "\n".join([*text, *(line for note in notes for line in ("", note))])


def _measured(metrics: Mapping[str, Any]) -> tuple[dict[str, _Column], list[str]]:
    """Return the mIoU and, where they were measured, what else is known, with what it means."""
    columns, notes = {"mIoU": _miou(metrics)}, []
    if native := metrics.get("native"):
        columns["at the labels' size"] = _miou(native)
        protocol = native["protocol"]
        notes.append(f"{protocol[:1].upper()}{protocol[1:]}.")
    if errors := metrics.get("calibration_error"):
        columns["calibration error"] = errors, sum(errors.values()) / len(errors)
        notes.append(_CALIBRATION.format(temperature=metrics.get("temperature", 1.0)))
    return columns, notes


def _miou(metrics: Mapping[str, Any]) -> _Column:
    return metrics["miou"], metrics["mean_over_subsets"]


def _conditions(metrics: Mapping[str, Any], which: str = "") -> str:
    """Show the scores by weather, failure and the like, where the data set knows them."""
    if not metrics.get("conditions"):
        return ""
    text = [
        f"## mIoU by condition{which}",
        "",
        "| | frames | all sensors | mean over subsets | worst subset |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, values in metrics["conditions"].items():
        for value, found in values.items():
            scores = (found[key] for key in ("all_sensors", "mean_over_subsets", "last_1"))
            cells = " | ".join(f"{100 * score:.1f}" for score in scores)
            text.append(f"| {cell(name)}: {cell(value)} | {found['frames']} | {cells} |")
    return "\n".join(text)


def _benchmark(metrics: Mapping[str, Any], which: str = "") -> str:
    """Show what zeros and noise in the place of sensors cost, if that was measured."""
    if "benchmark" not in metrics:
        return ""
    found = metrics["benchmark"]
    missing = {"EMM": found["emm"]}
    missing |= {f"RMM, {ratio} lost": scores for ratio, scores in found["rmm"].items()}
    rows = {
        f"{kind}: {name}": score
        for kind, scores in missing.items()
        for name, score in scores.items()
        if name in ("average", "E(0.1)")
    }
    rows |= {f"NM {level}": score for level, score in found["nm"].items()}
    text = [
        f"## Missing and noisy sensors{which}",
        "",
        "Entire-missing (EMM), random-missing (RMM) and noisy modalities (NM) of arXiv 2503.18445, "
        f"the robustness score of arXiv 2509.24505. Protocol: {found['protocol']}. In percent.",
        "",
        "| | |",
        "|---|---:|",
        *(f"| {name} | {100 * score:.1f} |" for name, score in rows.items()),
        f"| **robustness score** | **{100 * found['robustness_score']:.1f}** |",
    ]
    return "\n".join(text)


def _classes(metrics: Mapping[str, Any], which: str = "") -> str:
    """Show what the mean hides: the IoU of each class, all sensors and each one alone."""
    whole = list(metrics["class_iou"])[-1]
    keys = [key for key in metrics["class_iou"] if "+" not in key and key != whole] + [whole]
    names = list(metrics["class_iou"][keys[-1]])
    text = [
        f"## IoU of the classes{which}",
        "",
        "| sensors alive | " + " | ".join(map(cell, names)) + " |",
    ]
    text.append("|---|" + "---:|" * len(names))
    for key in keys:
        ious = metrics["class_iou"][key]
        cells = [f"{100 * ious[name]:.1f}" if name in ious else "–" for name in names]
        text.append(f"| {key} | " + " | ".join(cells) + " |")
    return "\n".join(text)


def _limits(recipe: Recipe, dataset: Dataset, metrics: Mapping[str, Any]) -> str:
    """Say what the model is not good for, as far as that is known of its data."""
    own = _RECORDED
    if dataset.description.startswith(SYNTHETIC):
        begun = recipe.initial_weights.encoder
        it = "But for those that its encoder's first weights are of, it" if begun else "It"
        own = _SIMULATED.format(it=it)
    weakest = [
        f"- Its weakest classes{f' of {name}' if name else ''}: {_weakest(found)}."
        for name, found in metrics.get("sets", {"": metrics}).items()
    ]
    return "\n".join(["## Limits", "", own.strip(), *weakest, _ALL.strip()])


def _weakest(metrics: Mapping[str, Any]) -> str:
    """Name the three classes with the lowest IoU when all sensors are alive."""
    ious = metrics["class_iou"][list(metrics["class_iou"])[-1]]
    lowest = sorted(ious, key=lambda name: ious[name])[:3]
    return ", ".join(f"{name} ({100 * ious[name]:.1f})" for name in lowest)


_CALIBRATION = (
    "Calibration error: how far the confidence of the likeliest class is from how often it is "
    "right, in 15 bins; logits divided by {temperature:g}."
)

_SIMULATED = """
- {it} has never seen a real image. It shows that the pipeline works and what losing a sensor costs;
  it is not fit to steer a vehicle or to protect people.
- The numbers say how well it does on new scenes of the same simulator, and nothing about the world.
- Its sensors were pixel aligned and simultaneous; on a robot they must be registered.
"""

_RECORDED = """
- The numbers hold for data like the test split's. If its frames were taken beside those that it was
  trained on, expect worse ones at a new place.
- Sensors must be registered on the robot as they were in the training data.
- Nobody has judged whether it is fit to steer a vehicle or to protect people.
"""

_ALL = """
- A sensor that delivers plausible nonsense does harm, though less than its equal share where the
  network weighs its sensors; a sensor that is left out does none.
"""

_REPEAT = """
## Repeating it

The recipe in `model.yaml` under `recipe` holds every setting. Save it as a YAML file and run

    anymodal-train train RECIPE.yaml
    anymodal-train evaluate runs/NAME --benchmark
    anymodal-train export runs/NAME OUT

The same machine, thread count and library versions give the same weights.
"""
