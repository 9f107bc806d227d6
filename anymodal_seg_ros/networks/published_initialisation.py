"""The random weights with which the public code of CMNeXt begins, and StitchFusion's, built on it.

It runs over everything but the encoder, whose public weights then take the place of random ones;
the encoder here begins as that of every other method does.
"""

from __future__ import annotations

import math

from torch import nn

from anymodal_seg_ros.networks.query_hub import SelfQueryHub
from anymodal_seg_ros.networks.segformer_head import SegFormerHead


def initialise_as_published(module: nn.Module) -> None:
    """Initialise one module, after its children; for :meth:`torch.nn.Module.apply`.

    Convolutions by their kernel and outputs, groups being of no account: so depthwise ones begin
    smaller than the formula behind it would have them.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / (height * width * module.out_channels)))
    elif isinstance(module, SelfQueryHub):
        _initialise_scores(module)
    elif isinstance(module, SegFormerHead):
        for projection in module.projections:
            assert isinstance(projection, nn.Conv2d)
            nn.init.trunc_normal_(projection.weight, std=0.02)  # a linear layer there
    if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
        nn.init.zeros_(module.bias)


def _initialise_scores(hub: SelfQueryHub) -> None:
    """Score nets end in one channel, so scores begin anywhere between 0 and 1."""
    for depthwise, pointwise in zip(hub.depthwise.rows, hub.pointwise.rows, strict=True):
        nn.init.normal_(depthwise, std=math.sqrt(2.0 / (9 * len(depthwise))))
        nn.init.normal_(pointwise, std=math.sqrt(2.0))
