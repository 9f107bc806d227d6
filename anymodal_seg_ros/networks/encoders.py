"""Encoders by name, for methods that need four feature maps."""

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
    backbone: str,
    drop_path: float = 0.1,
    planes: int = 3,
    *,
    norms: str = "shared",
    stem: str = "shared",
    adapters: str = "none",
    modalities: int = 0,
) -> MixTransformer | TimmEncoder:
    """Build an encoder with random weights; by default it knows nothing of kinds of sensors.

    It maps images ``[N, P, H, W]`` and, where something is each kind's own, ids ``[N]`` to maps
    ``[N, C_i, H_i, W_i]`` at strides 4, 8, 16 and 32, sides rounded up; ``channels`` are the four
    C_i.

    Args:
        backbone: see :data:`BACKBONES`.
        drop_path: stochastic depth of the last block while training.
        planes: P of an image.
        norms: see :class:`.MixTransformer`; timm's are ``shared``.
        stem: see :class:`.MixTransformer`; timm's is ``shared``.
        adapters: see :class:`.MixTransformer` and :class:`.TimmEncoder`.
        modalities: number of kinds, where something is ``per_modality``.

    Raises:
        ConfigError: there is no such backbone, it has not what is asked for, or timm is not
            installed.
    """
    if not backbone.startswith(TIMM):
        if backbone not in SIZES:
            raise ConfigError(
                f"backbone is {backbone!r}: expected one of {', '.join(SIZES)}, or {TIMM}NAME"
            )
        return MixTransformer(
            SIZES[backbone],
            drop_path,
            planes=planes,
            norms=norms,
            stem=stem,
            adapters=adapters,
            modalities=modalities,
        )
    for option, value in (("norms", norms), ("stem", stem)):
        if value != "shared":
            raise ConfigError(
                f"backbone is {backbone!r} with {option}: {value}, which only the Mix Transformer "
                f"has: set {option}: shared; adapters: per_modality takes their place"
            )
    try:
        from anymodal_seg_ros.networks.timm_encoder import TimmEncoder
    except ImportError as error:
        raise ConfigError(
            f"backbone is {backbone!r}, but timm cannot be imported ({error}): "
            "install anymodal_seg_ros[train]"
        ) from error
    return TimmEncoder(
        backbone.removeprefix(TIMM), drop_path, planes, adapters=adapters, modalities=modalities
    )
