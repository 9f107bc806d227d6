"""Mix Transformers of OpenMMLab (MMSegmentation) under the names that its authors gave."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

_LANDMARK = ".0.projection.weight"
_STAGE = re.compile(r"(.*?)layers\.(\d)\.([012])\.(.+)")

_PLACES = {"0": "patch_embed{n}.", "1": "block{n}.", "2": "norm{n}."}
"""What a stage, counted from 1, is made of."""

_PARTS = {
    "projection.": "proj.",
    "attn.attn.out_proj.": "attn.proj.",
    "ffn.layers.0.": "mlp.fc1.",
    "ffn.layers.1.": "mlp.dwconv.dwconv.",
    "ffn.layers.4.": "mlp.fc2.",
}


def from_openmmlab(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an encoder of OpenMMLab; any other checkpoint is returned as it is.

    Queries, keys and values, which stand in one tensor there, are parted; 1x1 convolutions become
    the products that they are.
    """
    if not any(name.endswith(f"layers.0{_LANDMARK}") for name in weights):
        return dict(weights)
    return {
        renamed: part for name, tensor in weights.items() for renamed, part in _parts(name, tensor)
    }


def _parts(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    match = _STAGE.fullmatch(name)
    if match is None:
        yield name, tensor
        return
    before, stage, place, rest = match.groups()
    stem = before + _PLACES[place].format(n=int(stage) + 1)
    joined = re.fullmatch(r"(\d+\.)attn\.attn\.in_proj_(weight|bias)", rest)
    if joined is not None:
        block, kind = joined.groups()
        query = len(tensor) // 3
        yield f"{stem}{block}attn.q.{kind}", tensor[:query]
        yield f"{stem}{block}attn.kv.{kind}", tensor[query:]
        return
    for theirs, authors in _PARTS.items():
        rest = rest.replace(theirs, authors)
    product = tensor.ndim == 4 and re.search(r"mlp\.fc\d\.weight", rest) is not None
    yield f"{stem}{rest}", tensor.flatten(1) if product else tensor
