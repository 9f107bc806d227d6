"""MA-CLIP of SegRGB-X (arXiv 2603.28023): a CLIP image encoder that tells kinds of sensors apart.

The image tower of CLIP (arXiv 2103.00020) comes from timm and stays as it is; low-rank additions
(LoRA, arXiv 2106.09685) to the queries and values of every layer, one set for each kind of sensor,
are what is learned. Size, rank and place of the additions are a proposal: the paper's text was not
to be had. Only the embedding of the whole image is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import timm
import torch
import torch.nn.functional as F
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block, VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.networks.mix_transformer_block import split_heads
from anymodal_seg_ros.networks.modality_layers import ModalityTensor
from anymodal_seg_ros.networks.segformer_head import resize_map

_TIMM_NAMES = {
    "ViT-B-16": ("vit_base_patch16_clip_224", 512),
    "ViT-B-16-quickgelu": ("vit_base_patch16_clip_quickgelu_224", 512),
    "ViT-B-32": ("vit_base_patch32_clip_224", 512),
    "ViT-B-32-quickgelu": ("vit_base_patch32_clip_quickgelu_224", 512),
    "ViT-L-14": ("vit_large_patch14_clip_224", 768),
    "ViT-L-14-quickgelu": ("vit_large_patch14_clip_quickgelu_224", 768),
}
CLIP_SIZES = (*_TIMM_NAMES, "tiny-random")
"""Image towers by the names of open_clip. OpenAI's own weights are of the quickgelu ones.

``tiny-random`` is no published size: 32 pixels, 2 layers of 32 channels, for tests and trials.
"""


def clip_tower(size: str) -> VisionTransformer:
    """Build the image tower of CLIP with random weights; its head is CLIP's projection.

    Args:
        size: one of :data:`CLIP_SIZES`.
    """
    if size == "tiny-random":
        return VisionTransformer(
            img_size=32,
            patch_size=16,
            embed_dim=32,
            depth=2,
            num_heads=2,
            pre_norm=True,
            num_classes=16,
        )
    name, embedding = _TIMM_NAMES[size]
    tower = timm.create_model(name, pretrained=False, num_classes=embedding)
    assert isinstance(tower, VisionTransformer)
    return tower


class LowRankAddition(nn.Module):
    """What is added to a frozen linear layer, a product of two thin matrices for each kind."""

    def __init__(self, channels: int, rank: int, alpha: float, modalities: int) -> None:
        """Begin with an addition of zero: the second matrix is zero, the first random.

        Args:
            channels: of input and output, C.
            rank: r.
            alpha: the product is multiplied by ``alpha / rank``.
            modalities: number of kinds.
        """
        super().__init__()
        self.scale = alpha / rank
        std = 1.0 / math.sqrt(channels)
        self.down = ModalityTensor([std * torch.randn(channels, rank) for _ in range(modalities)])
        self.up = ModalityTensor([torch.zeros(rank, channels) for _ in range(modalities)])

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        """Map tokens ``[N, L, C]`` of kinds ``[N]`` to tokens of the same shape."""
        return self.scale * (x @ self.down(ids)) @ self.up(ids)


class MaClip(nn.Module):
    """Images of any kind of sensor become embeddings of CLIP's size."""

    def __init__(self, size: str, rank: int, alpha: float, modalities: int) -> None:
        """Build the encoder; its tower is random and frozen, see :func:`load_clip_weights`.

        Args:
            size: one of :data:`CLIP_SIZES`.
            rank: of the additions.
            alpha: of the additions, see :class:`LowRankAddition`.
            modalities: number of kinds of sensors.
        """
        super().__init__()
        self.tower = clip_tower(size).requires_grad_(False)
        assert isinstance(self.tower.head, nn.Linear)
        self.embedding = self.tower.head.out_features
        self.image_size = self.tower.patch_embed.img_size
        channels, layers = self.tower.embed_dim, len(self.tower.blocks)
        self.query, self.value = (
            nn.ModuleList(LowRankAddition(channels, rank, alpha, modalities) for _ in range(layers))
            for _ in range(2)
        )

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """Embed images.

        Args:
            images: float ``[N, 3, H, W]``, normalised as for the rest of the network.
            ids: kind of each image, int64 ``[N]``.

        Returns:
            ``[N, E]``.
        """
        tower = self.tower
        assert tower.cls_token is not None and tower.pos_embed is not None
        patches = tower.patch_embed(resize_map(images, self.image_size))
        token = tower.cls_token.expand(patches.shape[0], -1, -1)
        x = tower.norm_pre(torch.cat((token, patches), dim=1) + tower.pos_embed)
        for block, of_query, of_value in zip(tower.blocks, self.query, self.value, strict=True):
            assert isinstance(block, Block) and isinstance(block.attn, Attention)
            normed = block.norm1(x)
            x = x + _attend(block.attn, normed, of_query(normed, ids), of_value(normed, ids))
            x = x + block.mlp(block.norm2(x))
        return tower.head(tower.norm(x[:, 0]))


def _attend(attention: Attention, x: Tensor, of_query: Tensor, of_value: Tensor) -> Tensor:
    """Compute timm's self-attention with something added to the queries and to the values."""
    query, key, value = attention.qkv(x).chunk(3, dim=-1)
    query, key, value = (
        split_heads(part, attention.num_heads) for part in (query + of_query, key, value + of_value)
    )
    attended = F.scaled_dot_product_attention(query, key, value)
    return attention.proj(attended.transpose(1, 2).flatten(2))


@torch.no_grad()
def load_clip_weights(encoder: MaClip, weights: Mapping[str, Tensor]) -> None:
    """Fill the frozen tower with public weights of CLIP, all of it.

    Args:
        encoder: what to fill.
        weights: tensors by name, in the layout of OpenAI and open_clip (whole CLIP; the text tower
            is left out) or of timm (image tower).

    Raises:
        ModelError: a tensor is missing, of another shape, or too much.
    """
    converted = checkpoint_filter_fn(dict(weights), encoder.tower)
    own = encoder.tower.state_dict()
    faults = [f"lack {name}" for name in own if name not in converted]
    faults += [f"have {name}, unknown to this tower" for name in converted if name not in own]
    faults += [
        f"have {name} as {list(tensor.shape)} where {list(own[name].shape)} is needed"
        for name, tensor in converted.items()
        if name in own and tensor.shape != own[name].shape
    ]
    if faults:
        raise ModelError(
            f"the weights {faults[0]}; faults of this kind: {len(faults)}: expected the weights of "
            "CLIP in the layout of OpenAI, open_clip or timm, of the size that the architecture "
            "names"
        )
    encoder.tower.load_state_dict(converted)
