"""Frames of all modalities, encoded once for all the subsets that are decoded of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from anymodal_seg_ros.networks import AnyModalNetwork


class EncodedOnce:
    """Some frames as a network sees them, for one subset of the modalities after another.

    Where the network encodes the modalities apart, they are encoded when the first subset is asked
    for, and kept; elsewhere every subset is encoded by itself.
    """

    def __init__(self, network: AnyModalNetwork, images: Tensor) -> None:
        """Take frames; nothing is computed yet.

        Args:
            network: in evaluation mode.
            images: planes of all its modalities, in the order of their ids, ``[B, M, 3, H, W]``.
        """
        self._network = network
        self._images = images
        self._features: list[Tensor] | None = None

    def logits(self, present: Sequence[int]) -> Tensor:
        """Return the logits ``[B, K, H/4, W/4]`` that the modalities with these ids give."""
        network, images = self._network, self._images
        ids = torch.tensor(present, device=images.device)
        if not network.encodes_apart:
            mixed: Tensor = network(images[:, ids], ids)
            return mixed
        if self._features is None:
            every = torch.arange(images.shape[1], device=images.device)
            self._features = network.forward_features(images, every)
        return network.decode([stage[:, ids] for stage in self._features], ids).logits
