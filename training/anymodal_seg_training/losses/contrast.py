"""Images and what texts say of them drawn together, as CLIP does it (arXiv 2103.00020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def text_contrast(images: Tensor, texts: Tensor, meant: Tensor, scale: Tensor) -> Tensor:
    """Return the symmetric InfoNCE between embeddings of images and of texts.

    Many images have the same text, where CLIP has pairs. So an image is to find its text among all
    texts, and a text that some images have is to find these among all images (proposal).

    Args:
        images: float32 ``[N, E]``, of length 1.
        texts: float32 ``[T, E]``, of length 1, each different from all others.
        meant: the text of each image, int64 ``[N]``.
        scale: what similarities are multiplied by, a scalar.

    Returns:
        A scalar, the mean of both directions.
    """
    with torch.autocast(images.device.type, enabled=False):  # at CLIP's scale bf16 is too coarse
        alike = scale * images @ texts.T
    to_text = F.cross_entropy(alike, meant)
    # Each text's share of the images, for the texts that occur.
    having = F.one_hot(meant, len(texts)).to(alike.dtype)
    having = having[:, having.any(dim=0)]
    among_images = alike[:, torch.unique(meant)].log_softmax(dim=0)
    to_images = -(having * among_images).sum(dim=0) / having.sum(dim=0)
    return (to_text + to_images.mean()) / 2
