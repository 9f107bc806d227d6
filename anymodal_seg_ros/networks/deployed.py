"""The form of a network that runs on the robot: one frame in, class ids out."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from anymodal_seg_ros.frames import OUTPUTS
from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded, upsample_logits


class DeployedNetwork(nn.Module):
    """A network without batch axis, with folded head, upsampling and argmax inside.

    Engines run this module, or the ONNX graph that is exported from it.

    Attributes:
        outputs: what :meth:`forward` returns, some of :data:`OUTPUTS`, ``mask`` first.
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

    def forward(self, images: Tensor, modality_ids: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Segment one frame.

        Args:
            images: float ``[M, 3, H, W]``, normalised.
            modality_ids: int64 ``[M]``.

        Returns:
            The mask, or a tuple in the order of :attr:`outputs`:

            * mask: class ids, uint8 ``[H, W]``;
            * confidence: the largest class probability, its logits divided by the network's
              temperature, uint8 ``[ceil(H/4), ceil(W/4)]``, 255 being 1;
            * contributions: how much each sensor counts, the mean over the pixels, float32 ``[M]``.
        """
        results = self.results(self.decoded(images, modality_ids), *images.shape[-2:])
        return results[0] if len(results) == 1 else tuple(results)

    def decoded(self, images: Tensor, modality_ids: Tensor) -> Decoded:
        """Return what the network makes of one frame, as a batch of one."""
        features = self.network.forward_features(images.unsqueeze(0), modality_ids)
        return self.network.decode(features, modality_ids)

    def results(self, decoded: Decoded, height: int, width: int) -> list[Tensor]:
        """Turn it into what is asked for; see :meth:`forward`."""
        logits, shares = decoded
        results = [upsample_logits(logits, height, width).argmax(dim=1).to(torch.uint8)[0]]
        if "confidence" in self.outputs:
            # Before the upsampling: a sixteenth of the work, and confidence changes slowly.
            # The largest probability is one over the sum of exp(logit - largest logit): engines do
            # this faster than a softmax over channels.
            scaled = logits.float() / self.network.temperature
            total = (scaled - scaled.amax(dim=1, keepdim=True)).exp().sum(dim=1)
            results.append((255.0 / total).round().to(torch.uint8)[0])
        if "contributions" in self.outputs:
            assert shares is not None, "this network does not weight its sensors"
            results.append(shares.float().mean(dim=(2, 3))[0])
        return results


@torch.no_grad()
def weights_sensors(network: AnyModalNetwork) -> bool:
    """Whether a network says how much each sensor contributes."""
    network = copy.deepcopy(network).eval()
    device = network.temperature.device
    ids = torch.zeros(1, dtype=torch.int64, device=device)
    features = network.forward_features(torch.zeros(1, 1, 3, 64, 64, device=device), ids)
    return network.decode(features, ids).contributions is not None
