"""``anymodal-train graphs FOLDER``: the ONNX graphs of a model folder."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnx
import torch

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.inference.manifest import (
    PYRAMID,
    FileSpec,
    Manifest,
    dump_manifest,
    half_role,
    names_by_id,
)
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.model import load_model, sha256
from anymodal_seg_ros.inference.preprocess import batch
from anymodal_seg_ros.inference.runtimes.torch_engine import load_network
from anymodal_seg_ros.inference.verification.self_test import (
    HALF,
    ROLE,
    SelfTest,
    frame_of,
    read_self_test,
    subsets,
)
from anymodal_seg_ros.networks import AnyModalNetwork, DeployedNetwork, weights_sensors
from anymodal_seg_ros.written_files import write_file
from anymodal_seg_training.checkpoint import save_weights
from anymodal_seg_training.data.sampling import all_subsets, subset_key
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.export.half_precision import to_half
from anymodal_seg_training.export.onnx_file import open_session, write_onnx, write_split
from anymodal_seg_training.runs.command_line import run_command

GRAPHS = {"onnx": "model.onnx", "encode": "encode.onnx", "fuse": "fuse.onnx"}
"""Files by role; networks that do not split have only the first."""

HALF_GRAPHS = {half_role(role): name.replace(".", ".fp16.") for role, name in GRAPHS.items()}
"""The same in half precision, for GPUs."""

MIN_AGREEMENT = 0.9999
"""Smallest share of pixels to which graphs and network must give the same class."""

NOISE_FRAMES = 4
SELF_TEST_FILE, SELF_TEST_SEED = "self_test.npz", 20_000_000


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
    if deployed.splits:
        write_split(deployed, height, width, whole, encode, fuse)
    else:
        write_onnx(deployed, height, width, whole)
    return {
        role: FileSpec(name, sha256(folder / name))
        for role, name in GRAPHS.items()
        if role == "onnx" or deployed.splits
    }


def write_half_graphs(
    deployed: DeployedNetwork, images: npt.NDArray[np.float32], folder: Path
) -> dict[str, FileSpec]:
    """Write the graphs of a folder in half precision, too.

    Args:
        deployed: what was exported.
        images: float32 ``[N, 3, H, W]``, normalised, every kind of sensor in the order of the ids;
            what is too large for half precision on them stays in single.
        folder: where :func:`write_graphs` has written.

    Returns:
        What ``files`` of the manifest says about them.

    Raises:
        TrainingError: a graph cannot be brought to half precision.
    """
    kinds = range(len(images))
    frames: dict[str, list[dict[str, Any]]] = {"onnx": [], "encode": [], "fuse": []}
    encode = open_session(folder / GRAPHS["encode"]) if deployed.splits else None
    for rows in (tuple(kinds), *((row,) for row in kinds)):
        ids = np.array(rows, np.int64)
        inputs = {"images": np.ascontiguousarray(images[ids]), "modality_ids": ids}
        frames["onnx"].append(inputs)
        if encode is not None:
            frames["encode"].append(inputs)
            maps = zip(PYRAMID, encode.run(PYRAMID, inputs), strict=True)
            frames["fuse"].append({**dict(maps), "modality_ids": ids})
    specs = {}
    for role, name in GRAPHS.items():
        if frames[role]:
            path = folder / HALF_GRAPHS[half_role(role)]
            onnx.save(to_half(onnx.load(folder / name), frames[role]), path)
            specs[half_role(role)] = FileSpec(path.name, sha256(path))
    return specs


class GraphComparison:
    """A deployed network and its graphs, opened once for any number of frames."""

    def __init__(self, deployed: DeployedNetwork, folder: Path, half: bool = False) -> None:
        """Open the graphs.

        Args:
            deployed: what was exported.
            folder: where its graphs are.
            half: whether those in half precision are meant.
        """
        self._deployed = deployed
        self._sessions = {
            role: open_session(folder / (HALF_GRAPHS[half_role(role)] if half else name))
            for role, name in GRAPHS.items()
            if role == "onnx" or deployed.splits
        }

    def agreement(
        self, images: npt.NDArray[np.float32], modality_ids: npt.NDArray[np.int64]
    ) -> float:
        """Return the share of pixels to which graphs and network give the same class.

        The smaller one of the whole graph and of the two halves; 0 where logits are not finite.

        Args:
            images: float32 ``[N, M, 3, H, W]``, N frames with the same M modalities.
            modality_ids: int64 ``[M]``.
        """
        height, width = images.shape[-2:]
        equal: list[list[float]] = []
        for frame in images:
            with torch.inference_mode():
                found = self._deployed(torch.from_numpy(frame), torch.from_numpy(modality_ids))
            eager = found[0] if isinstance(found, tuple) else found
            expected = lazy_argmax(eager.numpy(), height, width)
            equal.append(
                [
                    float(np.mean(lazy_argmax(values, height, width) == expected))
                    if np.isfinite(values).all()
                    else 0.0
                    for values in self._logits(frame, modality_ids)
                ]
            )
        return min(np.mean(equal, axis=0).tolist())

    def _logits(
        self, images: npt.NDArray[np.float32], modality_ids: npt.NDArray[np.int64]
    ) -> list[npt.NDArray[np.float32]]:
        """Return those of the whole graph, and of the halves if there are such."""
        inputs = {"images": images, "modality_ids": modality_ids}
        logits: list[npt.NDArray[np.float32]] = self._sessions["onnx"].run(["logits"], inputs)
        if self._deployed.splits:
            maps = self._sessions["encode"].run(PYRAMID, inputs)
            rows = {**dict(zip(PYRAMID, maps, strict=True)), "modality_ids": modality_ids}
            logits += self._sessions["fuse"].run(["logits"], rows)
        return logits


def write_self_test(
    deployed: DeployedNetwork, images: npt.NDArray[np.float32], folder: Path
) -> FileSpec:
    """Write the frame by which engines show on a robot that they are right.

    Args:
        deployed: what was exported; its masks are the right ones.
        images: float32 ``[N, 3, H, W]``, normalised, every kind of sensor in the order of the ids.
        folder: of the model.
    """
    stored = images.astype(np.float16)
    masks = []
    for subset in subsets(len(images)):
        frame = frame_of(stored, subset)
        with torch.inference_mode():
            found = deployed(torch.from_numpy(frame.images), torch.from_numpy(frame.modality_ids))
        logits = found[0] if isinstance(found, tuple) else found
        masks.append(logits.argmax(dim=0).numpy().astype(np.uint8))
    path = folder / SELF_TEST_FILE
    write_file(path, SelfTest(stored, np.stack(masks)).packed())
    return FileSpec(SELF_TEST_FILE, sha256(path))


def demand_agreement(shares: dict[str, float], folder: Path, needed: float = MIN_AGREEMENT) -> None:
    """Refuse graphs that compute something else than the network.

    Raises:
        TrainingError: a share of :meth:`GraphComparison.agreement`, by subset, is too small.
    """
    worst = min(shares, key=lambda key: shares[key])
    if shares[worst] < needed:
        raise TrainingError(
            f"with {worst} the ONNX graphs and the network agree on only {shares[worst]:.5f} of "
            f"the pixels: expected at least {needed}; do not use {folder}"
        )


def rewrite_graphs(
    folder: Path,
    images: npt.NDArray[np.float32] | None = None,
    half: bool | None = None,
    network: AnyModalNetwork | None = None,
) -> dict[str, float]:
    """Write the graphs of a model folder anew from its weights, or those of ``network``.

    The folder is changed only when the new graphs are found to compute what the network computes.

    Args:
        folder: of the model.
        images: frame of the self-test, see :func:`write_self_test`; None keeps the one that there
            is, and takes noise where there is none.
        half: whether graphs in half precision are written, too; None: where there were some.
        network: whose weights take the place of the folder's, together with its graphs; None: the
            weights stay as they are.

    Returns:
        For each subset of the modalities the :meth:`GraphComparison.agreement`, on noise; with
        ``fp16 `` before their names those of half precision, on the frame of the self-test.

    Raises:
        ModelError: it is no model folder.
        TrainingError: the graphs cannot be written, or compute something else.
    """
    model = load_model(str(folder))
    manifest, before = model.manifest, read_self_test(model)
    if images is None:
        images = _noise(manifest)[0] if before is None else before.images.astype(np.float32)
    given = load_network(model) if network is None else network.cpu()
    deployed = deploy(given, "confidence" in manifest.outputs)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".graphs-") as name:
        made = Path(name)
        files = write_graphs(deployed, manifest.height, manifest.width, made)
        shares = _on_noise(deployed, made, manifest)
        demand_agreement(shares, made)
        if half or (half is None and model.has(half_role("onnx"))):
            files.update(write_half_graphs(deployed, images, made))
            names = names_by_id(manifest.modalities)
            halves = half_agreement(deployed, images, names, made)
            demand_agreement(halves, made, HALF)
            shares.update({f"fp16 {key}": share for key, share in halves.items()})
        files[ROLE] = write_self_test(deployed, images, made)
        if network is not None:
            place = manifest.files["weights"].path
            save_weights(made / place, network.state_dict())
            files["weights"] = FileSpec(place, sha256(made / place))
        for spec in files.values():
            os.replace(made / spec.path, folder / spec.path)
    written = {*GRAPHS, *HALF_GRAPHS, ROLE}
    for role in (written & set(manifest.files)) - set(files):
        model.file(role).unlink(missing_ok=True)
    kept = {r: spec for r, spec in manifest.files.items() if r not in written and r not in files}
    new = dataclasses.replace(manifest, files={**files, **kept}, outputs=deployed.outputs)
    dump_manifest(new, folder)
    return shares


def half_agreement(
    deployed: DeployedNetwork, images: npt.NDArray[np.float32], names: Sequence[str], folder: Path
) -> dict[str, float]:
    """Compare in half precision, for each subset of the sensors of a frame.

    Args:
        deployed: what was exported.
        images: float32 ``[N, 3, H, W]``, normalised, every kind of sensor in the order of the ids.
        names: of the kinds of sensors, in the order of their ids.
        folder: where its graphs are.
    """
    shares, comparison = {}, GraphComparison(deployed, folder, half=True)
    for subset in subsets(len(images)):
        ids = np.array(subset, np.int64)
        frame = np.ascontiguousarray(images[None, ids])
        key = subset_key(tuple(names[row] for row in subset))
        shares[key] = comparison.agreement(frame, ids)
    return shares


def _on_noise(deployed: DeployedNetwork, folder: Path, manifest: Manifest) -> dict[str, float]:
    names, noise, shares = names_by_id(manifest.modalities), _noise(manifest), {}
    comparison = GraphComparison(deployed, folder)
    for subset in all_subsets(names):
        ids = np.array([names.index(name) for name in subset], np.int64)
        rows = np.ascontiguousarray(noise[:, ids])
        shares[subset_key(subset)] = comparison.agreement(rows, ids)
    return shares


def _noise(manifest: Manifest) -> npt.NDArray[np.float32]:
    shape = (NOISE_FRAMES, len(manifest.modalities), 3, manifest.height, manifest.width)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def rig_frame(manifest: Manifest) -> npt.NDArray[np.float32]:
    """Return what the simulated rig sees in a street, for a model that knows all its sensors.

    Raises:
        TrainingError: the model knows others.
    """
    from anymodal_seg_ros.simulation.rig import Rig, random_frames

    rig = Rig()
    frame = next(iter(random_frames([SELF_TEST_SEED], per_scene=1, rig=rig)))
    seen = {rig.sensors[name].modality: image for name, image in frame.images.items()}
    names = names_by_id(manifest.modalities)
    if lacking := set(names) - set(seen):
        raise TrainingError(f"the simulated rig has no {', '.join(sorted(lacking))}: omit --rig")
    return batch([(name, seen[name]) for name in names], manifest).images


def _graph_files(folder: Path) -> list[str]:
    files = load_model(str(folder)).manifest.files
    return [spec.path for role, spec in files.items() if role in {*GRAPHS, *HALF_GRAPHS}]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rig", is_flag=True, help="Take the self-test's frame from the simulated rig.")
@click.option(
    "--fp16/--no-fp16",
    "half",
    default=None,
    help="Also write the graphs in half precision, from which TensorRT builds its engines.  "
    "[default: if FOLDER has them]",
)
def main(folder: Path, rig: bool, half: bool | None) -> None:
    """Write the ONNX graphs of the model folder FOLDER anew from its weights.

    For folders of an older version, and when the way in which networks are exported has changed.
    The graphs are compared with the network on noise, for every subset of the modalities. So is
    what engines later show that they are right by: one frame, and the masks that it must give.
    """

    def command() -> None:
        try:
            images = rig_frame(load_model(str(folder)).manifest) if rig else None
            shares = rewrite_graphs(folder, images, half)
        except AnymodalError as error:
            raise TrainingError(str(error)) from error
        for key, share in shares.items():
            click.echo(f"{key:28} ONNX Runtime and PyTorch agree on {100 * share:.4f} % of pixels")
        click.echo(f"written: {', '.join(_graph_files(folder))} and model.yaml in {folder}")

    run_command(command)


if __name__ == "__main__":
    main()
