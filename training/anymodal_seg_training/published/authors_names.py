"""Names of the tensors of CMNeXt, StitchFusion and SegFormer in the files of their authors."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

Change = Callable[[Tensor], Tensor]
"""What makes a tensor of the network of one in the file."""

_NORM = "(?P<a>weight|bias|running_mean|running_var|num_batches_tracked)"
_BOTH = "(?P<a>weight|bias)"


@dataclass(frozen=True, slots=True)
class Rule:
    """Where the tensors of some names are.

    Attributes:
        ours: pattern of the names in the network; its groups fill ``theirs``.
        theirs: their names in the file; ``{n}`` is the stage ``i`` counted from 1.
        change: see :data:`Change`.
    """

    ours: str
    theirs: str
    change: Change = lambda tensor: tensor


def _as_convolution(weight: Tensor) -> Tensor:
    return weight[:, :, None, None] if weight.ndim == 2 else weight


HEAD = (
    Rule(r"projections\.(?P<i>\d)\.weight", "linear_c{n}.proj.weight", _as_convolution),
    Rule(r"projections\.(?P<i>\d)\.bias", "linear_c{n}.proj.bias"),
    Rule(r"fuse\.weight", "linear_fuse.conv.weight"),
    Rule(rf"norm\.{_NORM}", "linear_fuse.bn.{a}"),
    Rule(rf"classify\.{_BOTH}", "linear_pred.{a}"),
)

_AUXILIARY = r"auxiliary\.(?P<i>\d)\."
_SCORES = "extra_score_predictor.{i}.score_nets.{m}."
_MIXER = rf"{_AUXILIARY}mixers\.(?P<j>\d+)\."
_FUSE = r"fuse\.(?P<i>\d)\."
CMNEXT = (
    Rule(rf"{_AUXILIARY}embedding\.projection\.{_BOTH}", "extra_downsample_layers.{i}.proj.module.{a}"),  # noqa: E501
    Rule(rf"{_AUXILIARY}embedding\.norm\.{_BOTH}\.rows\.(?P<m>\d+)", "extra_downsample_layers.{i}.norm.ln_{m}.{a}"),  # noqa: E501
    Rule(rf"{_AUXILIARY}norm\.{_BOTH}", "extra_norm{n}.{a}"),
    Rule(rf"{_AUXILIARY}hub\.depthwise\.rows\.(?P<m>\d+)", _SCORES + "0.weight", lambda w: w.flatten(1)),  # noqa: E501
    Rule(rf"{_AUXILIARY}hub\.depthwise_bias\.rows\.(?P<m>\d+)", _SCORES + "0.bias"),
    Rule(rf"{_AUXILIARY}hub\.pointwise\.rows\.(?P<m>\d+)", _SCORES + "1.weight", Tensor.flatten),
    Rule(rf"{_AUXILIARY}hub\.pointwise_bias\.rows\.(?P<m>\d+)", _SCORES + "1.bias", lambda b: b.reshape(())),  # noqa: E501
    Rule(rf"{_MIXER}attention_norm\.{_NORM}", "extra_block{n}.{j}.norm1.{a}"),
    Rule(rf"{_MIXER}feed_forward_norm\.{_NORM}", "extra_block{n}.{j}.norm2.{a}"),
    Rule(rf"{_MIXER}attention\.depthwise\.{_BOTH}", "extra_block{n}.{j}.attn.conv0.{a}"),
    Rule(rf"{_MIXER}attention\.mix\.{_BOTH}", "extra_block{n}.{j}.attn.conv4.{a}"),
    Rule(rf"{_MIXER}gate\.neighbours\.weight", "extra_block{n}.{j}.c_nets.0.weight"),
    Rule(rf"{_MIXER}feed_forward\.0\.{_BOTH}", "extra_block{n}.{j}.mlp.fc1.{a}"),
    Rule(rf"{_MIXER}feed_forward\.1\.{_BOTH}", "extra_block{n}.{j}.mlp.dwconv.dwconv.{a}"),
    Rule(rf"{_MIXER}feed_forward\.3\.{_BOTH}", "extra_block{n}.{j}.mlp.fc2.{a}"),
    Rule(rf"{_MIXER}attention_scale", "extra_block{n}.{j}.layer_scale_1", lambda s: s[:, None, None]),  # noqa: E501
    Rule(rf"{_MIXER}feed_forward_scale", "extra_block{n}.{j}.layer_scale_2", lambda s: s[:, None, None]),  # noqa: E501
    Rule(rf"rectify\.(?P<i>\d)\.(?P<w>channel|spatial)_weights\.(?P<m>\d)\.{_BOTH}", "FRMs.{i}.{w}_weights.mlp.{m}.{a}"),  # noqa: E501
    Rule(rf"{_FUSE}cross_path\.first_split\.{_BOTH}", "FFMs.{i}.cross.channel_proj1.{a}"),
    Rule(rf"{_FUSE}cross_path\.second_split\.{_BOTH}", "FFMs.{i}.cross.channel_proj2.{a}"),
    Rule(rf"{_FUSE}cross_path\.exchange\.first_key_value\.weight", "FFMs.{i}.cross.cross_attn.kv1.weight"),  # noqa: E501
    Rule(rf"{_FUSE}cross_path\.exchange\.second_key_value\.weight", "FFMs.{i}.cross.cross_attn.kv2.weight"),  # noqa: E501
    Rule(rf"{_FUSE}cross_path\.first_out\.{_BOTH}", "FFMs.{i}.cross.end_proj1.{a}"),
    Rule(rf"{_FUSE}cross_path\.second_out\.{_BOTH}", "FFMs.{i}.cross.end_proj2.{a}"),
    Rule(rf"{_FUSE}cross_path\.first_norm\.{_BOTH}", "FFMs.{i}.cross.norm1.{a}"),
    Rule(rf"{_FUSE}cross_path\.second_norm\.{_BOTH}", "FFMs.{i}.cross.norm2.{a}"),
    Rule(rf"{_FUSE}residual\.weight", "FFMs.{i}.channel_emb.residual.weight"),
    Rule(rf"{_FUSE}embed\.(?P<m>\d)\.{_NORM}", "FFMs.{i}.channel_emb.channel_embed.{m}.{a}"),
    Rule(rf"{_FUSE}norm\.{_NORM}", "FFMs.{i}.channel_emb.norm.{a}"),
)  # fmt: skip

_CROSS = r"fusions\.(?P<i>\d)\."
_MIX = "feature_cross.mix_ffn.{i}."
STITCHFUSION = (
    Rule(rf"{_CROSS}reduce\.{_BOTH}", "feature_cross.liner_fusion_layers.{i}.{a}"),
    Rule(rf"{_CROSS}feed_forward\.first\.{_BOTH}", _MIX + "fc1.{a}"),
    Rule(rf"{_CROSS}feed_forward\.mix_before\.{_BOTH}", _MIX + "pwconv1.pwconv.{a}"),
    Rule(rf"{_CROSS}feed_forward\.norm_before\.{_NORM}", _MIX + "pwconv1.bn.{a}"),
    Rule(rf"{_CROSS}feed_forward\.depthwise\.0\.{_BOTH}", _MIX + "dwconv3.dwconv.{a}"),
    Rule(rf"{_CROSS}feed_forward\.depthwise\.1\.{_BOTH}", _MIX + "dwconv5.dwconv.{a}"),
    Rule(rf"{_CROSS}feed_forward\.depthwise\.2\.{_BOTH}", _MIX + "dwconv7.dwconv.{a}"),
    Rule(rf"{_CROSS}feed_forward\.mix_after\.{_BOTH}", _MIX + "pwconv2.pwconv.{a}"),
    Rule(rf"{_CROSS}feed_forward\.norm_after\.{_NORM}", _MIX + "pwconv2.bn.{a}"),
    Rule(rf"{_CROSS}feed_forward\.last\.{_BOTH}", _MIX + "fc2.{a}"),
    Rule(rf"{_CROSS}attention\.(?P<m>\d)\.weight", "feature_cross.channel_attns.{i}.fc.{m}.weight"),
)  # fmt: skip


def theirs_of(ours: str, rules: Sequence[Rule]) -> tuple[str, Change] | None:
    """Find a tensor of a network in a file.

    Args:
        ours: its name in the network, or in the head.
        rules: of the network, or of the head.

    Returns:
        Its name in the file and what makes ours of theirs; None where no rule knows it.
    """
    for rule in rules:
        if match := re.fullmatch(rule.ours, ours):
            groups = match.groupdict()
            stage = int(groups["i"]) + 1 if "i" in groups else 0
            return rule.theirs.format(**groups, n=stage), rule.change
    return None
