"""``python -m anymodal_seg_training.graphs FOLDER``: the ONNX graphs of a model folder."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.inference.argmax import lazy_argmax
from anymodal_seg_ros.inference.manifest import (
    FileSpec,
    Manifest,
    dump_manifest,
    names_by_id,
)
from anymodal_seg_ros.inference.model import load_model, sha256
from anymodal_seg_ros.inference.torch_engine import load_network
from anymodal_seg_ros.networks import AnyModalNetwork, DeployedNetwork, weights_sensors
from anymodal_seg_training.command_line import run_command
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.onnx_file import PYRAMID, open_session, write_halves, write_onnx
from anymodal_seg_training.sampling import all_subsets, subset_key

GRAPHS = {"onnx": "model.onnx", "encode": "encode.onnx", "fuse": "fuse.onnx"}
"""Files by role; networks that do not split have only the first."""

MIN_AGREEMENT = 0.9999
"""Smallest share of pixels to which graphs and network must give the same class."""

NOISE_FRAMES = 4


def deploy(network: AnyModalNetwork, confidence: bool = True) -> DeployedNetwork:
    """Return the form of a network that is exported.

    Its graphs tell logits, from which the mask follows at the camera's own size; with
    ``confidence`` how sure they are; and how much each sensor counts where the network weights its
    sensors.
    """
    extras = {"confidence": confidence, "contributions": weights_sensors(network)}
    return DeployedNetwork(network, ("logits", *(name for name, tells in extras.items() if tells)))


def write_graphs(
    deployed: DeployedNetwork, height: int, width: int, folder: Path
) -> dict[str, FileSpec]:
    """Write the whole graph, and its two halves if it splits.

    Returns:
        What ``files`` of the manifest says about them.

    Raises:
        TrainingError: the network cannot be exported.
    """
    whole, encode, fuse = (folder / name for name in GRAPHS.values())
    write_onnx(deployed, height, width, whole)
    if deployed.splits:
        write_halves(deployed, height, width, encode, fuse)
    return {
        role: FileSpec(name, sha256(folder / name))
        for role, name in GRAPHS.items()
        if role == "onnx" or deployed.splits
    }


def agreement(
    deployed: DeployedNetwork,
    folder: Path,
    images: npt.NDArray[np.float32],
    modality_ids: npt.NDArray[np.int64],
) -> float:
    """Return the share of pixels to which graphs and network give the same class.

    The smaller one of the whole graph and of the two halves.

    Args:
        deployed: what was exported.
        folder: where its graphs are.
        images: float32 ``[N, M, 3, H, W]``, N frames with the same M modalities.
        modality_ids: int64 ``[M]``.
    """
    sessions = {
        role: open_session(folder / name)
        for role, name in GRAPHS.items()
        if role == "onnx" or deployed.splits
    }
    height, width = images.shape[-2:]
    equal: list[list[float]] = []
    for frame in images:
        inputs = {"images": frame, "modality_ids": modality_ids}
        logits = sessions["onnx"].run(["logits"], inputs)
        if deployed.splits:
            pyramid = dict(zip(PYRAMID, sessions["encode"].run(PYRAMID, inputs), strict=True))
            rows = {**pyramid, "modality_ids": modality_ids}
            logits += sessions["fuse"].run(["logits"], rows)
        with torch.inference_mode():
            found = deployed(torch.from_numpy(frame), torch.from_numpy(modality_ids))
        eager = found[0] if isinstance(found, tuple) else found
        expected = lazy_argmax(eager.numpy(), height, width)
        masks = (lazy_argmax(values, height, width) for values in logits)
        equal.append([float(np.mean(mask == expected)) for mask in masks])
    return min(np.mean(equal, axis=0).tolist())


def demand_agreement(shares: dict[str, float], folder: Path) -> None:
    """Refuse graphs that compute something else than the network.

    Raises:
        TrainingError: a share of :func:`agreement`, by subset, is too small.
    """
    worst = min(shares, key=lambda key: shares[key])
    if shares[worst] < MIN_AGREEMENT:
        raise TrainingError(
            f"with {worst} the ONNX graphs and the network agree on only {shares[worst]:.5f} of "
            f"the pixels: expected at least {MIN_AGREEMENT}; do not use {folder}"
        )


def rewrite_graphs(folder: Path) -> dict[str, float]:
    """Write the graphs of a model folder anew from its weights, which stay as they are.

    The folder is changed only when the new graphs are found to compute what the network computes.

    Returns:
        For each subset of the modalities the :func:`agreement`, on noise.

    Raises:
        ModelError: it is no model folder.
        TrainingError: the graphs cannot be written, or compute something else.
    """
    model = load_model(str(folder))
    manifest = model.manifest
    deployed = deploy(load_network(model), "confidence" in manifest.outputs)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".graphs-") as name:
        made = Path(name)
        files = write_graphs(deployed, manifest.height, manifest.width, made)
        shares = _on_noise(deployed, made, manifest)
        demand_agreement(shares, made)
        for spec in files.values():
            os.replace(made / spec.path, folder / spec.path)
    weights = {role: spec for role, spec in manifest.files.items() if role not in GRAPHS}
    new = dataclasses.replace(manifest, files={**files, **weights}, outputs=deployed.outputs)
    dump_manifest(new, folder)
    return shares


def _on_noise(deployed: DeployedNetwork, folder: Path, manifest: Manifest) -> dict[str, float]:
    names = names_by_id(manifest.modalities)
    shape = (NOISE_FRAMES, len(names), 3, manifest.height, manifest.width)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    shares = {}
    for subset in all_subsets(names):
        ids = np.array([names.index(name) for name in subset], np.int64)
        shares[subset_key(subset)] = agreement(
            deployed, folder, np.ascontiguousarray(noise[:, ids]), ids
        )
    return shares


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Write the ONNX graphs of the model folder FOLDER anew from its weights.

    For folders of an older version, and when the way in which networks are exported has changed.
    The graphs are compared with the network on noise, for every subset of the modalities.
    """

    def command() -> None:
        try:
            shares = rewrite_graphs(folder)
        except AnymodalError as error:
            raise TrainingError(str(error)) from error
        for key, share in shares.items():
            click.echo(f"{key:28} ONNX Runtime and PyTorch agree on {100 * share:.4f} % of pixels")
        click.echo(f"written: {', '.join(GRAPHS.values())} and model.yaml in {folder}")

    run_command(command)


if __name__ == "__main__":
    main()
