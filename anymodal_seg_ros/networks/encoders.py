"""Encoders by name, for methods that need four feature maps and nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.mix_transformer import SIZES, MixTransformer

if TYPE_CHECKING:
    from anymodal_seg_ros.networks.timm_encoder import TimmEncoder

TIMM = "timm:"
BACKBONES = "mit_nano, mit_b0 to mit_b5, or timm:NAME for a pyramid of the timm library"
"""For the descriptions of options."""


def pyramid_encoder(
    backbone: str, drop_path: float = 0.1, planes: int = 3
) -> MixTransformer | TimmEncoder:
    """Build an encoder with random weights that knows nothing of kinds of sensors.

    It maps images ``[N, P, H, W]`` to maps ``[N, C_i, H_i, W_i]`` at strides 4, 8, 16 and 32, sides
    rounded up; ``channels`` are the four C_i.

    Args:
        backbone: see :data:`BACKBONES`.
        drop_path: stochastic depth of the last block while training.
        planes: P of an image.

    Raises:
        ConfigError: there is no such backbone, or timm is not installed.
    """
    if not backbone.startswith(TIMM):
        if backbone not in SIZES:
            raise ConfigError(
                f"backbone is {backbone!r}: expected one of {', '.join(SIZES)}, or {TIMM}NAME"
            )
        return MixTransformer(SIZES[backbone], drop_path, planes=planes)
    try:
        from anymodal_seg_ros.networks.timm_encoder import TimmEncoder
    except ImportError as error:
        raise ConfigError(
            f"backbone is {backbone!r}, but timm cannot be imported ({error}): "
            "install anymodal_seg_ros[train]"
        ) from error
    return TimmEncoder(backbone.removeprefix(TIMM), drop_path, planes)
