"""Networks that were trained on pictures whose blue comes first, as OpenCV reads them.

Ours are always given red first. A convolution sums over its input channels, so that swapping those
of the first one is the same as swapping those of the picture, and nothing that runs needs to know.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork

_FIRST = "encoder.stages.0.embedding.projection.weight"
"""Weights that see the pictures of all modalities, or of the first one where there are others."""

_OTHERS = "auxiliary.0.embedding.projection.weight"
"""Weights that see those of all modalities but the first."""


def take_red_first(
    network: AnyModalNetwork, blue_first: Collection[str], grey: Collection[str]
) -> None:
    """Swap the first weights of a published network, so that it takes pictures with red first.

    Args:
        network: changed.
        blue_first: modalities whose pictures had blue first when it was trained.
        grey: modalities whose channels are all alike, for which the order says nothing.

    Raises:
        ConfigError: the same weights see pictures of both orders.
    """
    weights = dict(network.named_parameters())
    names = network.modalities
    groups = (
        [(_FIRST, names[:1]), (_OTHERS, names[1:])] if _OTHERS in weights else [(_FIRST, names)]
    )
    for weight, seen in groups:
        coloured = [name for name in seen if name not in grey]
        turned = [name for name in coloured if name in blue_first]
        if turned and turned != coloured:
            raise ConfigError(
                f"--blue-first has {','.join(turned)}, but not "
                f"{','.join(_without(coloured, turned))}: the first convolution is the same for "
                "both, so that one of them was read otherwise than said"
            )
        if turned:
            with torch.no_grad():
                weights[weight].copy_(weights[weight].flip(1))


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    return [name for name in names if name not in others]
