"""Checkpoints that the authors of CMNeXt, StitchFusion, AnySeg and SegFormer publish, as networks.

What a file says about its network, by the shapes and names of its tensors, is taken from there:
size of the encoder, width of the head, kind of the adapters. Every tensor of the network must be
found, and every tensor of the file be used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.networks import AnyModalNetwork, build_network
from anymodal_seg_ros.networks.mit_weights import load_mit_weights
from anymodal_seg_ros.networks.mix_transformer import SIZES
from anymodal_seg_ros.networks.pair_adapters import pair_table
from anymodal_seg_ros.networks.stitchfusion import StitchFusion
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.published.authors_names import (
    CMNEXT,
    HEAD,
    STITCHFUSION,
    Rule,
    theirs_of,
)
from anymodal_seg_training.published.hugging_face_names import from_hugging_face
from anymodal_seg_training.published.openmmlab_names import from_openmmlab

Weights = Mapping[str, Tensor]
"""Tensors by name."""

METHODS = ("cmnext", "stitchfusion", "anyseg", "segformer")
"""Whose checkpoints can be read."""

_UNUSED = re.compile(
    r"(.*\.)?((head|classifier)\.(weight|bias)|(conv_seg|aux_head|auxiliary_head)\..*"
    r"|(criterion|loss|loss_fn)\..*|attn_mask|total_(ops|params))|n_averaged"
)
"""Tensors that networks do not use for their masks: classifiers of ImageNet and of a first phase,
heads that only helped to train, weights of the classes in a loss, what thop counted, the count of
an average."""

_OF_BODY, _OF_HEAD = "patch_embed1.proj.weight", "linear_fuse.conv.weight"
"""Tensors by which encoder and head are found, whatever stands before their names."""

_OF_OPENMMLAB = "fusion_conv.conv.weight"
"""Of a head that is none of the authors'."""

_AVERAGE = re.compile(r"(^|[._])(ema|avg|averaged?)[._]")
"""What says of a copy that it is an average over steps."""

_HEAD_NAME = re.compile(r"(linear_c\d|linear_fuse|linear_pred|conv_seg)\.")


class _Source:
    """The tensors of a file, of which every one is to be used."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._used: set[str] = set()

    def take(self, name: str, wanted_for: str) -> Tensor:
        """Return a tensor, which is used now."""
        if name not in self._weights and name.endswith(".num_batches_tracked"):
            return torch.zeros((), dtype=torch.int64)  # converters leave it out; nothing uses it
        if name not in self._weights:
            raise TrainingError(
                f"the checkpoint has no {name}, needed for {wanted_for}: is it of another method, "
                "of other modalities, or of other adapters?"
            )
        self._used.add(name)
        return self._weights[name]

    def take_all(self, kept: Callable[[str], bool]) -> dict[str, Tensor]:
        """Return all tensors whose name is kept; they are used now."""
        found = {name: tensor for name, tensor in self._weights.items() if kept(name)}
        self._used |= set(found)
        return found

    def left(self) -> list[str]:
        """Names of tensors that nobody used."""
        return sorted(set(self._weights) - self._used)


def network_of(
    method: str, weights: Weights, modalities: Sequence[str]
) -> tuple[AnyModalNetwork, dict[str, Any]]:
    """Build the network that a published checkpoint is of, with its weights, for evaluation.

    Args:
        method: one of :data:`METHODS`.
        weights: tensors by name, as published.
        modalities: in the order in which the checkpoint was trained with them, the colour camera
            first.

    Returns:
        The network, and what ``build_network`` takes to build it again.

    Raises:
        TrainingError: the checkpoint is of another method, or of other modalities, or holds what is
            no number.
    """
    if method not in METHODS:
        raise TrainingError(f"method is {method!r}: expected one of {', '.join(METHODS)}")
    if method == "segformer" and len(modalities) != 1:
        raise TrainingError(f"a SegFormer has one modality, not {', '.join(modalities)}")
    renamed = from_hugging_face(from_openmmlab(weights))
    used = {name: tensor for name, tensor in renamed.items() if not _UNUSED.fullmatch(name)}
    for name, tensor in used.items():
        if fault := _fault(name, tensor):
            raise TrainingError(f"the checkpoint's {name} {fault}")
    body, head = _parted(_of_one_network(used))
    classes = len(_Source(head).take("linear_pred.weight", "the classifier"))
    architecture = _architecture(method, body, head, modalities)
    network = build_network(architecture, classes, modalities)
    filled = dict(_filled(network, architecture, _Source(body), _Source(head)))
    try:
        network.load_state_dict(filled, strict=False)
    except RuntimeError as error:
        said = " ".join(str(error).split())[:400]
        raise TrainingError(
            f"the checkpoint does not fit {method}: {said}: is it of another method, or of other "
            "modalities?"
        ) from error
    return network.eval(), architecture


def _fault(name: str, tensor: Tensor) -> str:
    """Return what is wrong with a tensor that is to be computed with; nothing where it is fit."""
    if tensor.is_quantized or not (
        tensor.is_floating_point() or name.endswith("num_batches_tracked")
    ):
        kind = "complex" if tensor.is_complex() else "quantised to whole numbers"
        return f"is {kind}: take the checkpoint from before that"
    if tensor.layout != torch.strided:
        return "is sparse: save the state_dict with to_dense() of it"
    if not torch.isfinite(tensor).all():
        return (
            "has values that are not finite: its training failed or the file is damaged; take "
            "another checkpoint"
        )
    if name.endswith("running_var") and (tensor < 0).any():
        return "is a variance, and has values below 0: the file is damaged; take another one"
    return ""


def _of_one_network(weights: Weights) -> Weights:
    """Leave out the average that a trainer has kept beside its network, in the same state_dict.

    Raises:
        TrainingError: there are several networks, and nothing says which is meant.
    """
    copies: dict[str, dict[str, Tensor]] = {}
    for before in sorted(_places(weights, _OF_BODY)):
        # What stands before encoder and head of a copy alike; nothing, for one without.
        shared = [_common(before, each) for each in _places(weights, _OF_HEAD)]
        copies[max(shared, key=len, default="")] = {}
    if len(copies) < 2:
        return weights
    for name, tensor in weights.items():
        of = max((place for place in copies if name.startswith(place)), key=len, default=None)
        if of is not None:
            copies[of][name.removeprefix(of)] = tensor
    own = {place: each for place, each in copies.items() if not _AVERAGE.search(place)} or copies
    first, *others = own.values()
    if any(
        other.keys() != first.keys() or any(not torch.equal(first[n], t) for n, t in other.items())
        for other in others
    ):
        raise TrainingError(
            f"the checkpoint holds {len(own)} networks, under {', '.join(map(repr, own))}: save "
            "the state_dict of one of them"
        )
    return first


def _common(one: str, other: str) -> str:
    """Return with which whole parts both names begin."""
    parts = zip(*(re.findall(r"[^._]*[._]", name) for name in (one, other)), strict=False)
    return "".join(own for own, _ in takewhile(lambda pair: pair[0] == pair[1], parts))


def _places(weights: Weights, landmark: str) -> set[str]:
    """Return what stands before a landmark's name, wherever it is a name of its own."""
    before = {name.removesuffix(landmark) for name in weights if name.endswith(landmark)}
    return {each for each in before if not each or each.endswith(".")}


def _parted(weights: Weights) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of the encoder and of the head, without what stands before their names."""
    body, head = (_prefix(weights, landmark) for landmark in (_OF_BODY, _OF_HEAD))
    parts: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
    for name, tensor in weights.items():
        of_head = name.startswith(head) and _HEAD_NAME.match(name.removeprefix(head))
        prefix = head if of_head else body
        parts[bool(of_head)][name.removeprefix(prefix)] = tensor
    return parts


def _prefix(weights: Weights, landmark: str) -> str:
    before = _places(weights, landmark)
    if not before and landmark == _OF_HEAD and _places(weights, _OF_BODY):
        what = (
            "its head is OpenMMLab's, with a batch norm and a ReLU behind each projection, which "
            "the authors' has not"
            if _places(weights, _OF_OPENMMLAB)
            else "it is an encoder without a head that makes masks"
        )
        raise TrainingError(
            f"the checkpoint has no {landmark}: {what}; a recipe begins with its encoder by "
            "initial_weights.encoder"
        )
    if not before:
        raise TrainingError(
            f"the checkpoint has no {landmark}: it is of none of {', '.join(METHODS)}, or in the "
            "layout of another library"
        )
    return min(before, key=len)


def _architecture(
    method: str, body: Weights, head: Weights, modalities: Sequence[str]
) -> dict[str, Any]:
    """Read the options of a network off the tensors."""
    common: dict[str, Any] = {
        "backbone": _backbone(body),
        "head_width": len(head["linear_fuse.conv.weight"]),
    }
    if method == "cmnext":
        rely = {"missing": "zeros", "add_back": "scrambled", "primary": modalities[0]}
        return {"network": "cmnext", **common, **rely}
    if method == "stitchfusion":
        adapters = {name for name in body if "adap" in name}
        pairs = "shared" if any(".adap_t." in name for name in adapters) else "every_one"
        if any("adap_t_att21." in name for name in adapters):
            pairs = "every_two"
        stages = {int(name[5]) for name in adapters if name.startswith("block")}
        fusion = "concat" if any(name.startswith("feature_cross.") for name in body) else "sum"
        rely = {"update": "in_turn", "absent": "zeros", "pairs": pairs, "fusion": fusion}
        first = min(stages, default=1)
        return {"network": "stitchfusion", **common, **rely, "first_stitched_stage": first}
    return {"network": "anyseg", **common}


def _backbone(body: Weights) -> str:
    """Return which size of the Mix Transformer the tensors are of."""
    channels = tuple(len(body.get(f"norm{n}.weight", ())) for n in range(1, 5))
    depths = tuple(
        len({name.split(".")[1] for name in body if name.startswith(f"block{n}.")})
        for n in range(1, 5)
    )
    for name, size in SIZES.items():
        if (size.channels, size.depths) == (channels, depths):
            return name
    raise TrainingError(
        f"the checkpoint's encoder has {channels} channels and {depths} blocks: this is no size of "
        f"the Mix Transformer; known are {', '.join(SIZES)}"
    )


def _filled(
    network: AnyModalNetwork, architecture: Mapping[str, Any], body: _Source, head: _Source
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a network, by name.

    Raises:
        TrainingError: one is not in the checkpoint, or something of it is left.
    """
    own = re.compile(r"(patch_embed|block|norm)\d\.(?!.*adap)")
    try:
        encoder = network.get_submodule("encoder")
        load_mit_weights(encoder, body.take_all(lambda name: bool(own.match(name))))
    except ModelError as error:
        raise TrainingError(f"the encoder of the checkpoint: {error}") from error
    method = architecture["network"]
    rules = {"cmnext": CMNEXT, "stitchfusion": STITCHFUSION}.get(method, ())
    for name in network.state_dict():
        if name.startswith("head.") and not name.startswith("head.sets."):
            yield name, _ruled(name.removeprefix("head."), name, HEAD, head)
        elif not name.startswith(("encoder.", "head.", "stitches.")) and name != "temperature":
            yield name, _ruled(name, name, rules, body)
    if isinstance(network, StitchFusion):
        yield from _stitches(network, architecture["pairs"], body)
    if left := body.left() + head.left():
        some = ", ".join(left[:6])
        raise TrainingError(
            f"the checkpoint has {len(left)} tensors that {method} has no place for, such as "
            f"{some}: is it of another method, or of more modalities?"
        )


def _ruled(ours: str, whole: str, rules: Sequence[Rule], source: _Source) -> Tensor:
    """Return the tensor that a rule finds for a name; ``whole`` is the name in the network."""
    found = theirs_of(ours, rules)
    if found is None:
        raise TrainingError(f"no published name is known for {whole}")
    theirs, change = found
    return change(source.take(theirs, whole))


def _stitches(network: StitchFusion, pairs: str, source: _Source) -> Iterator[tuple[str, Tensor]]:
    """Yield the adapters, which we keep in one tensor for all pairs of a place in the network."""
    order = _order_of(pairs, len(network.modalities))
    for i, stage in enumerate(network.stitches):
        assert isinstance(stage, nn.ModuleList)
        for j in range(len(stage)):
            for ours, theirs in (("after_attention", "att"), ("after_feed_forward", "mlp")):
                place = f"stitches.{i}.{j}.{ours}."
                block = f"block{i + 1}.{j}."
                found = [
                    {
                        part: source.take(f"{block}{_adapter(theirs, pair)}.adapter_{part}", place)
                        for layer in ("down", "mid", "up")
                        for part in (f"{layer}.weight", f"{layer}.bias")
                    }
                    for pair in order
                ]
                yield f"{place}down", torch.stack([each["down.weight"] for each in found])
                yield f"{place}down_bias", torch.cat([each["down.bias"] for each in found])
                yield f"{place}middle", torch.stack([each["mid.weight"] for each in found])
                yield f"{place}middle_bias", torch.cat([each["mid.bias"] for each in found])
                yield f"{place}up", torch.stack([each["up.weight"].t() for each in found])
                yield f"{place}up_bias", torch.cat([each["up.bias"] for each in found])


def _order_of(pairs: str, kinds: int) -> list[tuple[int, int] | None]:
    """Return which pair of kinds, source and target, each adapter is of; None where of all."""
    if pairs == "shared":
        return [None]
    found: dict[int, tuple[int, int]] = {}
    for source, row in enumerate(pair_table(pairs, kinds)):
        for target, number in enumerate(row):
            if source != target:
                found.setdefault(number, (source, target))
    return [found[number] for number in range(len(found))]


def _adapter(where: str, pair: tuple[int, int] | None) -> str:
    """Return the published name of an adapter."""
    if pair is None:
        return {"att": "adap_t", "mlp": "adap2_t"}[where]
    return f"adap_t_{where}{pair[0] + 1}{pair[1] + 1}"
