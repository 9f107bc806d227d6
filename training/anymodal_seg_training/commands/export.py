"""``anymodal-train export RUN OUT``: a run becomes a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.inference.manifest import FileSpec, Manifest, dump_manifest
from anymodal_seg_ros.inference.model import load_model, sha256
from anymodal_seg_ros.inference.verification.self_test import HALF
from anymodal_seg_ros.json_files import read_json
from anymodal_seg_ros.networks import AnyModalNetwork, DeployedNetwork
from anymodal_seg_ros.written_files import write_file
from anymodal_seg_training.checkpoint import save_weights
from anymodal_seg_training.data.sampling import all_subsets, spread_indices, subset_key
from anymodal_seg_training.datasets import open_dataset
from anymodal_seg_training.datasets.base import Dataset
from anymodal_seg_training.datasets.frame_source import FrameSource
from anymodal_seg_training.datasets.mixed_frames import shares_of
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.evaluation.temperature import fit_temperature
from anymodal_seg_training.export.graphs import (
    GraphComparison,
    demand_agreement,
    deploy,
    half_agreement,
    write_graphs,
    write_half_graphs,
    write_self_test,
)
from anymodal_seg_training.export.model_card import Rival, model_card
from anymodal_seg_training.export.trained_network import load_best
from anymodal_seg_training.recipe import Recipe
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.command_line import (
    choose_device,
    machine_options,
    open_source,
    run_command,
)
from anymodal_seg_training.runs.display import Display

CHECKED_FRAMES = 8
WEIGHTS_FILE = "model.safetensors"


def export(
    recipe: Recipe,
    network: AnyModalNetwork,
    dataset: Dataset,
    frames: FrameSource,
    metrics: dict[str, Any],
    rival: Rival | None,
    out: Path,
    confidence: bool = True,
    half: bool = False,
) -> dict[str, float]:
    """Write a model folder and check it.

    With ``confidence`` the ONNX graphs can say how sure they are. How much each sensor contributes
    they say whenever the network weights its sensors. With ``half`` they are also written in half
    precision.

    Returns:
        For each subset of the modalities, the share of pixels to which the ONNX graphs, whole and
        in halves, and the network give the same class, on frames of the test split; with ``fp16 ``
        before their names those of half precision, on one frame.

    Raises:
        TrainingError: they differ, or the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot make the model folder {out}: {error}") from error
    deployed = deploy(network, confidence)
    save_weights(out / WEIGHTS_FILE, network.state_dict())
    files = write_graphs(deployed, recipe.input.height, recipe.input.width, out)
    shares = parity(recipe, deployed, frames, out)
    demand_agreement(shares, out)
    frame = _one_frame(recipe, frames)
    if half:
        files.update(write_half_graphs(deployed, frame, out))
        names = sorted(recipe.modality_names, key=lambda name: recipe.modalities[name].id)
        halves = half_agreement(deployed, frame, names, out)
        demand_agreement(halves, out, HALF)
        shares.update({f"fp16 {key}": share for key, share in halves.items()})
    files["self_test"] = write_self_test(deployed, frame, out)
    files["weights"] = FileSpec(WEIGHTS_FILE, sha256(out / WEIGHTS_FILE))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    card = model_card(recipe, dataset, metrics, rival, parameters)
    write_file(out / "MODEL_CARD.md", card)
    dump_manifest(_manifest(recipe, dataset, metrics, rival, files, deployed.outputs), out)
    return shares


def _one_frame(recipe: Recipe, frames: FrameSource) -> npt.NDArray[np.float32]:
    """Return a frame with all modalities, each from the first data set that has it."""
    rows: dict[str, npt.NDArray[np.float32]] = {}
    for share in shares_of(frames, recipe.modality_names):
        names = [name for name in share.modalities if name not in rows]
        if names:
            middle = np.array([len(share.source) // 2])
            images = share.source.read(middle, names)[0].float().numpy()[0]
            rows.update(zip(names, images, strict=True))
    order = sorted(rows, key=lambda name: recipe.modalities[name].id)
    return np.stack([rows[name] for name in order])


def parity(
    recipe: Recipe, network: DeployedNetwork, frames: FrameSource, folder: Path
) -> dict[str, float]:
    """Compare the graphs with the network on frames, for every subset of the modalities.

    Of mixed data sets on frames of each, for every subset of its own modalities.
    """
    agreed, comparison = {}, GraphComparison(network, folder)
    for share in shares_of(frames, recipe.modality_names):
        names = share.modalities
        chosen = spread_indices(CHECKED_FRAMES, len(share.source))
        images = share.source.read(chosen, names)[0].float().numpy()
        for subset in all_subsets(names):
            rows = [names.index(name) for name in subset]
            ids = np.array([recipe.modalities[name].id for name in subset], np.int64)
            key = f"{share.name}/{subset_key(subset)}" if share.name else subset_key(subset)
            agreed[key] = comparison.agreement(np.ascontiguousarray(images[:, rows]), ids)
    return agreed


def _manifest(
    recipe: Recipe,
    dataset: Dataset,
    metrics: dict[str, Any],
    rival: Rival | None,
    files: Mapping[str, FileSpec],
    outputs: tuple[str, ...],
) -> Manifest:
    measured = {key: metrics[key] for key in ("split", "frames", "protocol", "mean_over_subsets")}
    measured["miou"] = _miou(metrics)
    if rival is not None:
        measured["compared_with"] = {"name": rival.name, "miou": _miou(rival.metrics)}
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        description=recipe.description,
        architecture=recipe.architecture,
        height=recipe.input.height,
        width=recipe.input.width,
        classes=dataset.classes,
        modalities={name: recipe.modalities[name] for name in recipe.modality_names},
        files=files,
        outputs=outputs,
        recipe=recipe.plain(),
        metrics=measured,
    )


def _miou(metrics: Mapping[str, Any]) -> Any:
    """The mIoU by subset; of several data sets, by their names."""
    if "sets" in metrics:
        return {name: found["miou"] for name, found in metrics["sets"].items()}
    return metrics["miou"]


def read_result(run: RunFolder) -> dict[str, Any]:
    """Read the evaluation of a run on the test split.

    Raises:
        TrainingError: it was not evaluated yet, or with other weights, or the file is broken.
    """
    path = run.result_file("test")
    if not path.is_file():
        raise TrainingError(f"{run.path} is not evaluated: run {run.evaluation_command}")
    try:
        result: dict[str, Any] = read_json(path)
        if not isinstance(result, dict):
            raise ValueError("it holds no evaluation")
    except (OSError, ValueError) as error:
        raise TrainingError(f"cannot read {path}: {error}; evaluate the run again") from error
    # Older evaluations do not say of what they are.
    if "weights" in result and result["weights"] != sha256(run.best_file):
        raise TrainingError(
            f"{path} is of other weights than {run.best_file}, which were trained on, averaged or "
            f"recalibrated since: run {run.evaluation_command}"
        )
    return result


def read_rival(run: RunFolder, metrics: Mapping[str, Any]) -> Rival:
    """Read what a model is compared with.

    Raises:
        TrainingError: as of :func:`read_result`, or it was measured on other data sets, or not with
            every set of sensors.
    """
    rival = Rival(run.recipe.name, run.recipe.description, read_result(run))
    sets, others = (list(found.get("sets", {})) for found in (metrics, rival.metrics))
    if sets != others:
        raise TrainingError(
            f"cannot compare with {run.path}: its data sets are {', '.join(others) or 'one alone'},"
            f" here {', '.join(sets) or 'one alone'}: leave --compare away, or name another run"
        )
    for name, found in metrics.get("sets", {"": metrics}).items():
        other = rival.metrics["sets"][name] if name else rival.metrics
        if lacking := [key for key in found["miou"] if key not in other["miou"]]:
            raise TrainingError(
                f"cannot compare with {run.path}: it was not measured with {lacking[0]}, which is "
                "measured here: leave --compare away, or name another run"
            )
    return rival


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--compare",
    type=click.Path(file_okay=False, path_type=Path),
    help="Evaluated run whose numbers stand beside this one's.",
)
@click.option(
    "--confidence/--no-confidence",
    default=True,
    help="Let the ONNX graphs say how sure they are, for the node's ~/confidence.  [default: yes]",
)
@click.option(
    "--fp16", "half", is_flag=True, help="Also write the graphs in half precision, for TensorRT."
)
@machine_options
def main(
    run: Path,
    out: Path,
    compare: Path | None,
    confidence: bool,
    half: bool,
    device: str,
    threads: int,
    workers: int,
    cache_dir: Path,
) -> None:
    """Write the best weights of the evaluated run folder RUN as the model folder OUT.

    OUT gets model.yaml, the weights as safetensors, the ONNX graphs and a model card. How sure the
    model says it is, is fitted to the validation split. The graphs are compared with the network
    for every subset of the modalities.
    """

    def command() -> None:
        folder = RunFolder(run)
        recipe = folder.recipe
        metrics = read_result(folder)
        rival = None if compare is None else read_rival(RunFolder(compare), metrics)
        dataset = open_dataset(recipe.data)
        choose_device(device, threads)
        network = load_best(folder, len(dataset.classes), torch.device("cpu"))
        with Display() as display:
            frames, validation = (
                open_source(dataset, split, recipe, cache_dir, workers, display)
                for split in ("test", "validation")
            )
            report = partial(display.advance, "fitting the temperature")
            fitted = fit_temperature(network, validation, recipe, torch.device("cpu"), report)
        network.temperature.fill_(fitted)
        click.echo(
            f"confidence: logits are divided by {fitted:.3f}, fitted on the validation split"
        )
        shares = export(recipe, network, dataset, frames, metrics, rival, out, confidence, half)
        for key, share in shares.items():
            click.echo(f"{key:28} ONNX Runtime and PyTorch agree on {100 * share:.4f} % of pixels")
        try:
            load_model(str(out))
        except AnymodalError as error:
            raise TrainingError(f"the written folder {out} cannot be opened: {error}") from error
        click.echo(f"written: {out}")

    run_command(command)


if __name__ == "__main__":
    main()
