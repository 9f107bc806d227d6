"""What every network is: a map from sensors on a modality axis to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from anymodal_seg_ros.networks.segformer_head import resize_map


class AnyModalNetwork(nn.Module, ABC):
    """A segmentation network with a dynamic modality axis.

    The order of the modalities must not matter, and leaving a modality out must be the same as
    never having had it: no zeros, no masks, no state.
    """

    def __init__(self, num_classes: int) -> None:
        """Remember the number of classes K."""
        super().__init__()
        self.num_classes = num_classes

    def forward(self, images: Tensor, modality_ids: Tensor) -> Tensor:
        """Segment a batch in which every item has the same modalities.

        Args:
            images: float ``[B, M, 3, H, W]``, normalised; M >= 1, H and W at least 32.
            modality_ids: int64 ``[M]``, which kind of sensor each entry of the axis is.

        Returns:
            Logits ``[B, K, ceil(H/4), ceil(W/4)]``; :func:`upsample_logits` brings them to the
            size of the images.
        """
        return self.decode(self.forward_features(images, modality_ids))

    @abstractmethod
    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """Return what each modality says on its own: four maps ``[B, M, C_i, H_i, W_i]``.

        Strides are 4, 8, 16 and 32. Distillation compares these between networks.
        """

    @abstractmethod
    def decode(self, features: list[Tensor]) -> Tensor:
        """Fuse the features of all modalities into logits ``[B, K, H/4, W/4]``."""

    def fold(self) -> None:
        """Replace parts by exactly equal, cheaper ones, for deployment and in evaluation mode.

        The names of the parameters change: load weights first. A network with nothing to fold
        leaves this as it is.
        """


def upsample_logits(logits: Tensor, height: int, width: int) -> Tensor:
    """Bring logits ``[B, K, h, w]`` to ``[B, K, height, width]``, bilinear, corners not aligned."""
    return resize_map(logits, (height, width))
