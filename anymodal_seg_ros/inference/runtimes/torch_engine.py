"""PyTorch: the same weights from safetensors, on a CUDA device where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.frames import Features, Mask, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.manifest import names_by_id
from anymodal_seg_ros.inference.masks.argmax import Logits, lazy_argmax
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.runtimes.cuda_graphs import CudaCapture, Replayer
from anymodal_seg_ros.inference.verification.contract import check_engine
from anymodal_seg_ros.inference.verification.one_training import HALVES, WHOLE, demand_one_training
from anymodal_seg_ros.networks import (
    AnyModalNetwork,
    DeployedNetwork,
    build_network,
    class_map,
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
        weights = load(model.read("weights"))
        if odd := [name for name, tensor in weights.items() if tensor.is_complex()]:
            raise ValueError(f"{quote(odd[0])} has complex numbers: expected real ones")
        network.load_state_dict(weights)
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
    """Runs the weights file of a model in PyTorch: eager on a CPU, in half precision on a GPU.

    On a GPU products and convolutions are float16, norms, softmax and sums float32, as autocast
    divides them, and everything is replayed from CUDA graphs, one for each number of sensors. Not
    yet verified on hardware.

    Attributes:
        splits: whether the network encodes its sensors apart.
    """

    def __init__(
        self, model: Model, threads: int, confidence: bool = False, half: bool | None = None
    ) -> None:
        """Build the network, load its weights and run it once per number of sensors.

        Args:
            model: an opened model folder.
            threads: on a CPU.
            confidence: whether it shall say how sure it is.
            half: whether in half precision; None: on a GPU.

        Raises:
            ModelError: see :func:`load_network`; or what it computes makes no sense, or they are
                of another training than the self-test.
        """
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        on_gpu = self._device.type == "cuda"
        self._half = on_gpu if half is None else half
        if not on_gpu:
            torch.set_num_threads(threads)
        self._stream = torch.cuda.Stream(self._device) if on_gpu else None  # type: ignore[no-untyped-call]
        self._replayer = Replayer(None if self._stream is None else CudaCapture(self._stream))
        network = load_network(model)
        outputs = ["logits", *(["confidence"] if confidence else [])]
        if weights_sensors(network):
            outputs.append("contributions")
        self._network = DeployedNetwork(network, outputs).to(self._device).requires_grad_(False)
        if self._half:
            _halve(self._network)
        self.splits = self._network.splits
        try:
            # A network in halves is not run whole unless somebody asks for it.
            found = check_engine(self, model, whole=not (self.splits and on_gpu))
        except ModelError as error:
            raise ModelError(f"the weights of {model.folder} are of no use, {error}") from error
        demand_one_training(found, model, {WHOLE: ("weights",), HALVES: ("weights",)})

    @property
    def name(self) -> str:
        """Engine and device."""
        return f"torch {self._device.type}"

    @property
    def note(self) -> str:
        """What could not be captured as a CUDA graph; empty if all could."""
        return self._replayer.note

    def run(self, batch: ModalityBatch) -> Segmentation:
        """Segment one frame."""
        with self._computing():
            images = torch.from_numpy(batch.images).to(self._device)
            ids = torch.from_numpy(batch.modality_ids).to(self._device)
            return self._segmentation(self._replayer("run", self._whole, images, ids))

    def encode(self, batch: ModalityBatch) -> tuple[Features, ...]:
        """Encode some sensors, one after the other; what they become stays on the device."""
        features = []
        with self._computing():
            for row, kind in enumerate(batch.modality_ids.tolist()):
                image = torch.from_numpy(batch.images[row : row + 1]).to(self._device)
                ids = torch.tensor([kind], device=self._device)
                pyramid = self._replayer("encode", self._network.encode, image, ids)
                size = sum(stage.numel() * stage.element_size() for stage in pyramid)
                features.append(Features(kind, pyramid, size))
        return tuple(features)

    def fuse(self, features: Sequence[Features]) -> Segmentation:
        """Segment one frame from what its sensors, at least one, were encoded to."""
        with self._computing():
            pyramid = [torch.cat(rows) for rows in zip(*(f.pyramid for f in features), strict=True)]
            ids = torch.tensor([f.modality_id for f in features], device=self._device)
            return self._segmentation(self._replayer("fuse", self._fused, *pyramid, ids))

    def _whole(self, images: Tensor, ids: Tensor) -> Sequence[Tensor]:
        return self._fused(*self._network.encode(images, ids), ids)

    def _fused(self, *values: Tensor) -> Sequence[Tensor]:
        *pyramid, ids = values
        return self._network.results(self._network.decoded(pyramid, ids), 0, 0)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Set precision and stream of the calling thread."""
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if self._half:
                # Casts that are kept would belong to the graph in which they were made.
                kind = self._device.type
                stack.enter_context(torch.autocast(kind, torch.float16, cache_enabled=False))
            if self._stream is not None:
                stack.enter_context(torch.cuda.stream(self._stream))
            yield

    def _segmentation(self, values: Sequence[Tensor]) -> Segmentation:
        """Bring the results to where everybody can read them."""
        there = dict(zip(self._network.outputs, values, strict=True))
        here: dict[str, Any] = {name: value.cpu().numpy() for name, value in there.items()}
        if self._stream is None:
            return Segmentation(**here)
        return Segmentation(**here, mask_at=partial(self._mask, there["logits"], here["logits"]))

    def _mask(self, there: Tensor, here: Logits, height: int, width: int) -> Mask:
        """Make a mask on the GPU, of logits that are still there; see :class:`Segmentation`."""
        try:
            with self._computing():
                mask: Mask = class_map(there[None], height, width).cpu().numpy()
                return mask
        except torch.cuda.OutOfMemoryError:
            return lazy_argmax(here, height, width)


def _halve(network: nn.Module) -> None:
    """Keep the weights of what autocast computes in half precision in it, as all runs need them."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.half()
