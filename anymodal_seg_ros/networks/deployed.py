"""The forms of a network that run on the robot: one frame in; whole, or as its two halves."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from anymodal_seg_ros.frames import OUTPUTS
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded, upsample_logits


class DeployedNetwork(nn.Module):
    """A network without batch axis, with its head folded.

    Engines run this module, or the ONNX graph that is exported from it.

    Attributes:
        outputs: what :meth:`forward` returns, some of :data:`OUTPUTS`, in that order.
    """

    def __init__(self, network: AnyModalNetwork, outputs: Sequence[str] = ("mask",)) -> None:
        """Take a copy of ``network``, fold it and set it to evaluation.

        What is not among ``outputs`` is not computed.
        """
        super().__init__()
        self.outputs = tuple(name for name in OUTPUTS if name in outputs)
        self.network = copy.deepcopy(network).eval()
        self.network.fold()
        self.eval()

    @property
    def splits(self) -> bool:
        """Whether it has two halves that can run apart, :meth:`encode` and :meth:`decoded`.

        The encoder must keep the sensors apart. Methods with a place for each kind of sensor have
        no halves either: their graphs compute every place, so one sensor would cost all of them.
        """
        return self.network.encodes_apart and self.network.set_like

    def forward(self, images: Tensor, modality_ids: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Segment one frame.

        Args:
            images: float ``[M, 3, H, W]``, normalised.
            modality_ids: int64 ``[M]``.

        Returns:
            The only output, or a tuple in the order of :attr:`outputs`:

            * mask: class ids, uint8 ``[H, W]``;
            * logits: float ``[K, ceil(H/4), ceil(W/4)]``;
            * confidence: the largest class probability, its logits divided by the network's
              temperature, uint8 ``[ceil(H/4), ceil(W/4)]``, 255 being 1;
            * contributions: how much each sensor counts, the mean over the pixels, float32 ``[M]``.
        """
        pyramid = self.encode(images, modality_ids)
        results = self.results(self.decoded(pyramid, modality_ids), *images.shape[-2:])
        return results[0] if len(results) == 1 else tuple(results)

    def encode(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """Encode the sensors of one frame: maps ``[S, C_i, H_i, W_i]``, S being M or 1.

        Where the network :attr:`splits` S is M, and the rows do not know of each other.
        """
        features = self.network.forward_features(images.unsqueeze(0), modality_ids)
        return [stage.squeeze(0) for stage in features]

    def decoded(self, pyramid: Sequence[Tensor], modality_ids: Tensor) -> Decoded:
        """Return what the network makes of encoded sensors, as a batch of one."""
        return self.network.decode([stage.unsqueeze(0) for stage in pyramid], modality_ids)

    def results(self, decoded: Decoded, height: int, width: int) -> list[Tensor]:
        """Turn it into what is asked for; see :meth:`forward`."""
        made = {
            "mask": lambda: class_map(decoded.logits, height, width),
            "logits": lambda: decoded.logits.float()[0],
            "confidence": lambda: self._confidence(decoded.logits),
            "contributions": lambda: _shares(decoded),
        }
        return [made[name]() for name in self.outputs]

    def _confidence(self, logits: Tensor) -> Tensor:
        # Before the upsampling: a sixteenth of the work, and confidence changes slowly.
        # The largest probability is one over the sum of exp(logit - largest logit): engines do
        # this faster than a softmax over channels.
        scaled = logits.float() / self.network.temperature
        total = (scaled - scaled.amax(dim=1, keepdim=True)).exp().sum(dim=1)
        # The cast comes last: TensorRT knows uint8 only as the type of an output, cast of floats.
        return (255.0 / total).round()[0].to(torch.uint8)


@torch.no_grad()
def weights_sensors(network: AnyModalNetwork) -> bool:
    """Whether a network says how much each sensor contributes."""
    network = copy.deepcopy(network).eval()
    device = network.temperature.device
    ids = torch.zeros(1, dtype=torch.int64, device=device)
    features = network.forward_features(torch.zeros(1, 1, 3, 64, 64, device=device), ids)
    return network.decode(features, ids).contributions is not None


def class_map(logits: Tensor, height: int, width: int) -> Tensor:
    """Return the class ids, uint8 ``[height, width]``, of the logits ``[1, K, h, w]``."""
    classes = upsample_logits(logits, height, width).argmax(dim=1)[0]
    return classes.float().to(torch.uint8)  # TensorRT casts to uint8 from floats only


def _shares(decoded: Decoded) -> Tensor:
    assert decoded.contributions is not None, "this network does not weight its sensors"
    return decoded.contributions.float().mean(dim=(2, 3))[0]
