"""Public weights of CLIP for MA-CLIP, from a file, or by name where one asks for a download."""

from __future__ import annotations

from pathlib import Path

import timm
from torch import Tensor

from anymodal_seg_training.checkpoint import load_public_weights
from anymodal_seg_training.errors import TrainingError


def read_clip_weights(source: str, *, download: bool = False) -> dict[str, Tensor]:
    """Read weights that :func:`anymodal_seg_ros.networks.ma_clip.load_clip_weights` takes.

    Args:
        source: a file (``.safetensors``, or what ``torch.save`` wrote), or the name of a CLIP image
            tower with weights in timm, e.g. ``vit_base_patch16_clip_224.datacompxl``.
        download: whether a name may be fetched from the Hugging Face hub, where timm keeps it; a
            copy stays in the hub's cache.

    Returns:
        Tensors by the names that they have there.

    Raises:
        TrainingError: there is no such file and nothing may be downloaded, the file is broken, or
            the download fails.
    """
    path = Path(source)
    if path.is_file():
        return load_public_weights(path)
    if not download:
        raise TrainingError(
            f"there is no file {source}: give the weights of CLIP as a file, or allow the download "
            "of what timm has under this name"
        )
    try:
        tower = timm.create_model(source, pretrained=True)
    except Exception as error:  # the hub's client has errors of many kinds
        raise TrainingError(
            f"cannot download the weights {source!r}: {error}; names of CLIP towers with weights "
            "are listed by timm.list_pretrained('*clip*')"
        ) from error
    return dict(tower.state_dict())
