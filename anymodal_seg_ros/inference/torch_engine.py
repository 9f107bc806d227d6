"""PyTorch: the same weights from safetensors, on a CUDA device where there is one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.frames import Features, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.contract import check_engine
from anymodal_seg_ros.inference.manifest import names_by_id
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.networks import (
    AnyModalNetwork,
    DeployedNetwork,
    build_network,
    weights_sensors,
)


def load_network(model: Model) -> AnyModalNetwork:
    """Build the network of a model folder, with its weights.

    Raises:
        ModelError: architecture and weights do not fit together.
    """
    manifest = model.manifest
    try:
        network = build_network(
            manifest.architecture, len(manifest.classes), names_by_id(manifest.modalities)
        )
        network.load_state_dict(load(model.read("weights")))
    except (
        ConfigError,
        SafetensorError,
        OSError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:
        raise ModelError(f"cannot load the weights of {model.folder}: {error}") from error
    return network


class TorchEngine:
    """Runs the weights file of a model in eager PyTorch.

    Attributes:
        splits: whether the network encodes its sensors apart.
    """

    def __init__(self, model: Model, threads: int, confidence: bool = False) -> None:
        """Build the network, load its weights and run it once per number of sensors.

        Raises:
            ModelError: see :func:`load_network`; or what it computes makes no sense.
        """
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._device.type == "cpu":
            torch.set_num_threads(threads)
        network = load_network(model)
        outputs = ["logits", *(["confidence"] if confidence else [])]
        if weights_sensors(network):
            outputs.append("contributions")
        self._network = DeployedNetwork(network, outputs).to(self._device)
        self.splits = self._network.splits
        try:
            check_engine(self, model.manifest)
        except ModelError as error:
            raise ModelError(f"the weights of {model.folder} are of no use, {error}") from error

    @property
    def name(self) -> str:
        """Engine and device."""
        return f"torch {self._device.type}"

    @torch.inference_mode()
    def run(self, batch: ModalityBatch) -> Segmentation:
        """Segment one frame."""
        images = torch.from_numpy(batch.images).to(self._device)
        ids = torch.from_numpy(batch.modality_ids).to(self._device)
        return self._segmentation(self._network.encode(images, ids), ids)

    @torch.inference_mode()
    def encode(self, batch: ModalityBatch) -> tuple[Features, ...]:
        """Encode some sensors, one after the other; what they become stays on the device."""
        features = []
        for row, kind in enumerate(batch.modality_ids.tolist()):
            image = torch.from_numpy(batch.images[row : row + 1]).to(self._device)
            pyramid = tuple(self._network.encode(image, torch.tensor([kind], device=self._device)))
            size = sum(stage.numel() * stage.element_size() for stage in pyramid)
            features.append(Features(kind, pyramid, size))
        return tuple(features)

    @torch.inference_mode()
    def fuse(self, features: Sequence[Features]) -> Segmentation:
        """Segment one frame from what its sensors, at least one, were encoded to."""
        pyramid = [torch.cat(rows) for rows in zip(*(f.pyramid for f in features), strict=True)]
        ids = torch.tensor([f.modality_id for f in features], device=self._device)
        return self._segmentation(pyramid, ids)

    def _segmentation(self, pyramid: Sequence[torch.Tensor], ids: torch.Tensor) -> Segmentation:
        """Decode, and bring the results to where everybody can read them."""
        values = self._network.results(self._network.decoded(pyramid, ids), 0, 0)
        arrays = (value.cpu().numpy() for value in values)
        return Segmentation(**dict(zip(self._network.outputs, arrays, strict=True)))
