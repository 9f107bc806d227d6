"""Public weights of the Mix Transformer, in the names their authors gave them.

Two layouts are in use: that of the SegFormer authors, which most research code has kept, and that
of the ``nvidia/mit-*`` and ``nvidia/segformer-*`` repositories at Hugging Face. Both store the same
numbers; Hugging Face keeps keys and values apart. Nothing is downloaded here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anymodal_seg_ros.errors import ModelError

_SHOWN = 6
"""Names in an error; more are counted."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a layout names the parts that :class:`.MixTransformer` has.

    Attributes:
        name: in words.
        prefixes: what may stand before every name of the encoder.
        heads: beginnings of the names, without prefix, that belong to heads and are left out.
        stage: names of what a stage has once; ``{i}`` counts stages from 0, ``{n}`` from 1.
        block: name of a block; ``{j}`` counts them from 0.
        parts: names in a block. Two are stacked along the first axis.
    """

    name: str
    prefixes: tuple[str, ...]
    heads: tuple[str, ...]
    stage: Mapping[str, str]
    block: str
    parts: Mapping[str, tuple[str, ...]]

    def sources(self, name: str) -> tuple[str, ...]:
        """Return the names whose tensors make the encoder's tensor ``name``."""
        match = re.fullmatch(r"stages\.(\d+)\.(?:blocks\.(\d+)\.)?(.+)\.(weight|bias)", name)
        assert match is not None, name
        i, j, part, kind = match.groups()
        n = int(i) + 1
        if j is None:
            return (f"{self.stage[part].format(i=i, n=n)}.{kind}",)
        block = self.block.format(i=i, n=n, j=j)
        return tuple(f"{block}.{source}.{kind}" for source in self.parts[part])


_LAYOUTS = (
    _Layout(
        name="SegFormer",
        prefixes=("", "backbone.", "module.", "encoder."),
        heads=("head.", "decode_head."),
        stage={
            "embedding.projection": "patch_embed{n}.proj",
            "embedding.norm": "patch_embed{n}.norm",
            "norm": "norm{n}",
        },
        block="block{n}.{j}",
        parts={
            "attention_norm": ("norm1",),
            "attention.query": ("attn.q",),
            "attention.key_value": ("attn.kv",),
            "attention.out": ("attn.proj",),
            "attention.reduce": ("attn.sr",),
            "attention.reduce_norm": ("attn.norm",),
            "feed_forward_norm": ("norm2",),
            "feed_forward.widen": ("mlp.fc1",),
            "feed_forward.depthwise": ("mlp.dwconv.dwconv",),
            "feed_forward.narrow": ("mlp.fc2",),
        },
    ),
    _Layout(
        name="Hugging Face",
        prefixes=("", "segformer."),
        heads=("classifier.", "decode_head."),
        stage={
            "embedding.projection": "encoder.patch_embeddings.{i}.proj",
            "embedding.norm": "encoder.patch_embeddings.{i}.layer_norm",
            "norm": "encoder.layer_norm.{i}",
        },
        block="encoder.block.{i}.{j}",
        parts={
            "attention_norm": ("layer_norm_1",),
            "attention.query": ("attention.self.query",),
            "attention.key_value": ("attention.self.key", "attention.self.value"),
            "attention.out": ("attention.output.dense",),
            "attention.reduce": ("attention.self.sr",),
            "attention.reduce_norm": ("attention.self.layer_norm",),
            "feed_forward_norm": ("layer_norm_2",),
            "feed_forward.widen": ("mlp.dense1",),
            "feed_forward.depthwise": ("mlp.dwconv.dwconv",),
            "feed_forward.narrow": ("mlp.dense2",),
        },
    ),
)


@torch.no_grad()
def load_mit_weights(encoder: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Fill a :class:`.MixTransformer` with public weights, all or none of them.

    Where the encoder has something for each kind of sensor, every kind begins with the same
    numbers; adapters, which public weights know nothing of, stay as they are. Heads in ``weights``
    are left out.

    Args:
        encoder: what to fill; not folded.
        weights: tensors by name, in one of the two layouts.

    Raises:
        ModelError: the layout is neither, or a tensor is missing, of another shape, or too much.
    """
    layout, prefix = _recognise(weights)
    found = {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if not name.removeprefix(prefix).startswith(layout.heads)
        and not name.startswith(layout.heads)
    }
    own = encoder.state_dict()
    adapters = {name: tensor for name, tensor in own.items() if ".adapter." in name}
    targets = {name: layout.sources(_plain(name)) for name in own if name not in adapters}
    wanted = {source for sources in targets.values() for source in sources}
    _refuse(layout, "lack", sorted(wanted - set(found)))
    _refuse(layout, "have, unknown to this encoder,", sorted(set(found) - wanted))
    filled = {name: torch.cat([found[s] for s in sources]) for name, sources in targets.items()}
    wrong = [
        f"{' + '.join(targets[name])} {list(tensor.shape)} where {list(own[name].shape)} is needed"
        for name, tensor in filled.items()
        if tensor.shape != own[name].shape
    ]
    _refuse(layout, "have, of another size,", wrong)
    encoder.load_state_dict(filled | adapters)


def _plain(name: str) -> str:
    """Return the name that a parameter of each kind has where it is shared."""
    return re.sub(r"\.rows\.\d+$", "", name).replace(".embedding.stem.", ".embedding.projection.")


def _recognise(weights: Mapping[str, Tensor]) -> tuple[_Layout, str]:
    """Return the layout of weights, and what stands before every name of the encoder."""
    for layout in _LAYOUTS:
        (first,) = layout.sources("stages.0.embedding.projection.weight")
        for prefix in layout.prefixes:
            if prefix + first in weights:
                return layout, prefix
    raise ModelError(
        "these are no weights of a Mix Transformer in the layout of SegFormer or of Hugging Face: "
        f"their names are {_list(sorted(weights)) or '(none)'}"
    )


def _refuse(layout: _Layout, fault: str, names: list[str]) -> None:
    if names:
        raise ModelError(
            f"the weights in the layout of {layout.name} {fault} {_list(names)}: "
            "are they of another size of the Mix Transformer?"
        )


def _list(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
