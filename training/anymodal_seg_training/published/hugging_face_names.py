"""SegFormer checkpoints of Hugging Face under the names that the authors of SegFormer gave."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_NAMES = {
    r"encoder\.patch_embeddings\.(\d)\.proj\.": "patch_embed{n}.proj.",
    r"encoder\.patch_embeddings\.(\d)\.layer_norm\.": "patch_embed{n}.norm.",
    r"encoder\.layer_norm\.(\d)\.": "norm{n}.",
    r"encoder\.block\.(\d)\.": "block{n}.",
    r"decode_head\.linear_c\.(\d)\.proj\.": "decode_head.linear_c{n}.proj.",
    r"decode_head\.linear_fuse\.": "decode_head.linear_fuse.conv.",
    r"decode_head\.batch_norm\.": "decode_head.linear_fuse.bn.",
    r"decode_head\.classifier\.": "decode_head.linear_pred.",
}
"""Beginnings of names; ``{n}`` is the stage counted from 1."""

_IN_BLOCK = {
    "layer_norm_1": "norm1",
    "layer_norm_2": "norm2",
    "attention.self.query": "attn.q",
    "attention.self.sr": "attn.sr",
    "attention.self.layer_norm": "attn.norm",
    "attention.output.dense": "attn.proj",
    "mlp.dense1": "mlp.fc1",
    "mlp.dense2": "mlp.fc2",
}


def from_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a checkpoint of Hugging Face; any other is returned as it is."""
    if not any(".patch_embeddings.0." in name for name in weights):
        return dict(weights)
    plain = {name.removeprefix("segformer."): tensor for name, tensor in weights.items()}
    found = {}
    for name, tensor in plain.items():
        if ".attention.self.value." in name:
            continue  # it comes with the key
        if ".attention.self.key." in name:
            value = plain.get(name.replace(".key.", ".value."))
            tensor = tensor if value is None else torch.cat([tensor, value])
        found[_renamed(name)] = tensor
    return found


def _renamed(name: str) -> str:
    for theirs, authors in _NAMES.items():
        if match := re.match(theirs, name):
            stage = int(match[1]) + 1 if match.groups() else 0
            name = authors.format(n=stage) + name[match.end() :]
            break
    for theirs, authors in _IN_BLOCK.items():
        name = name.replace(f".{theirs}.", f".{authors}.")
    return name.replace(".attention.self.key.", ".attn.kv.")
