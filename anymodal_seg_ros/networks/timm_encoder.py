"""Encoders of the timm library (https://github.com/huggingface/pytorch-image-models).

For methods that need nothing of an encoder but four feature maps: PVTv2, Swin, ConvNeXt and others
that timm can turn into a pyramid.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import Tensor, nn

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.mix_transformer import STRIDES
from anymodal_seg_ros.networks.modality_layers import ModalityAdapter


class TimmEncoder(nn.Module):
    """A timm model that maps an image to feature maps at strides 4, 8, 16 and 32.

    Images are padded to multiples of 32 with zeros at the right and at the bottom, and each map is
    brought to cells that divide the image evenly, so that any size will do.
    """

    def __init__(
        self,
        name: str,
        drop_path: float = 0.1,
        planes: int = 3,
        *,
        adapters: str = "none",
        modalities: int = 0,
    ) -> None:
        """Build the model with random weights; nothing is downloaded.

        Args:
            name: as timm calls it, e.g. ``pvt_v2_b0``.
            drop_path: stochastic depth of the last block.
            planes: of an image.
            adapters: ``none``, or ``per_modality``: every map of the pyramid is adapted to the kind
                of sensor, and the model goes on from the adapted map.
            modalities: number of kinds, where there are adapters.

        Raises:
            ConfigError: timm has no such model, it has no such pyramid, or adapters are asked of a
                model whose stages cannot be called one by one.
        """
        super().__init__()
        if not timm.is_model(name):
            near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:6])
            raise ConfigError(
                f"backbone is 'timm:{name}': timm {timm.__version__} has no model {name!r}"
                + (f"; it has {near}" if near else "")
            )
        self.name = name
        try:  # the words behind the first dot of a name may be anything
            self._options = {
                "drop_path_rate": drop_path,
                "in_chans": planes,
                **_any_size_options(name),
            }
            self.model = timm.create_model(name, features_only=True, **self._options)
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"backbone is 'timm:{name}', which makes no feature pyramid: {error}"
            ) from error
        reductions = list(self.model.feature_info.reduction())
        if not set(STRIDES) <= set(reductions):
            raise ConfigError(
                f"backbone is 'timm:{name}', whose feature maps have the strides {reductions}: "
                f"expected {list(STRIDES)} among them"
            )
        self._picked = [reductions.index(stride) for stride in STRIDES]
        widths = self.model.feature_info.channels()
        self.channels = tuple(int(widths[i]) for i in self._picked)
        self._channels_last = str(getattr(self.model, "output_fmt", "NCHW")).endswith("NHWC")
        self.adapters: nn.ModuleList | None = None
        if adapters != "none":
            if not isinstance(self.model, EfficientNetFeatures | MobileNetV3Features):
                raise ConfigError(
                    f"backbone is 'timm:{name}' with adapters: they go into timm's EfficientNets "
                    "and MobileNets; take one of those, or adapters: none"
                )
            self.adapters = nn.ModuleList(ModalityAdapter(c, modalities) for c in self.channels)
            # Where the map of each stride is complete, counted in blocks.
            taken = self.model.feature_info.get_dicts(keys=["stage"])
            self._stages = {int(taken[i]["stage"]): at for at, i in enumerate(self._picked)}

    def forward(self, images: Tensor, ids: Tensor | None = None) -> list[Tensor]:
        """Map ``[N, P, H, W]`` to four maps ``[N, C_i, ceil(H / stride_i), ceil(W / stride_i)]``.

        ``ids``, int64 ``[N]``, choose the adapters; every kind of sensor shares all other weights.
        """
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % 32, 0, -height % 32))
        if self.adapters is not None:
            assert ids is not None
            maps = self._adapted(padded, ids, self.adapters)
        else:
            every = self.model(padded)
            maps = [every[index] for index in self._picked]
        if self._channels_last:
            maps = [features.permute(0, 3, 1, 2) for features in maps]
        return [
            _without_padding(_without_padding(features, height, stride, 2), width, stride, 3)
            for features, stride in zip(maps, STRIDES, strict=True)
        ]

    def _adapted(self, images: Tensor, ids: Tensor, adapters: nn.ModuleList) -> list[Tensor]:
        """Call the stages one by one; each begins with what the adapter made of the last."""
        x = self.model.bn1(self.model.conv_stem(images))
        maps = []
        for number, block in enumerate(self.model.blocks, start=1):
            x = block(x)
            if number in self._stages:
                adapter = adapters[self._stages[number]]
                assert isinstance(adapter, ModalityAdapter)
                x = adapter.on_map(x, ids)
                maps.append(x)
        return maps

    @torch.no_grad()
    def load_public_weights(self) -> None:
        """Fill the model with timm's weights, which are downloaded unless they are cached.

        Raises:
            ConfigError: timm has none for this model, or they cannot be fetched.
        """
        try:
            trained = timm.create_model(
                self.name, features_only=True, pretrained=True, **self._options
            )
        except (RuntimeError, OSError) as error:
            raise ConfigError(
                f"timm's weights of {self.name!r} cannot be had: {error}; begin with random ones "
                "or put them into the cache of huggingface_hub first"
            ) from error
        self.model.load_state_dict(trained.state_dict())

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Fill the model with weights that are at hand, under the names of the whole timm model.

        Its classifier may be among them and is left out.

        Raises:
            ConfigError: tensors are missing, or of another shape.
        """
        with torch.device("meta"):
            whole = timm.create_model(self.name, **self._options)
        head = {f"{name}." for name in (whole.default_cfg.get("classifier"),) if name}
        wanted = {n: t for n, t in whole.state_dict().items() if not n.startswith(tuple(head))}
        wrong = [n for n, t in wanted.items() if n not in weights or weights[n].shape != t.shape]
        if wrong:
            raise ConfigError(
                f"they are no weights of timm's {self.name!r}: {len(wrong)} of its {len(wanted)} "
                f"tensors are missing or of another shape, such as {wrong[0]}"
            )
        # The pyramid's names differ from those of the whole model; timm knows how.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.safetensors"
            save_file({name: weights[name].contiguous() for name in wanted}, path)
            trained = timm.create_model(
                self.name,
                features_only=True,
                pretrained=True,
                pretrained_cfg_overlay={"file": str(path)},
                **self._options,
            )
        self.model.load_state_dict(trained.state_dict())


def _any_size_options(name: str) -> dict[str, Any]:
    """Return the options that make a model take images of another size than it was trained on."""
    with torch.device("meta"):
        model = timm.create_model(name)
    known = inspect.signature(type(model).__init__).parameters
    return {"strict_img_size": False} if "strict_img_size" in known else {}


def _without_padding(features: Tensor, size: int, stride: int, dim: int) -> Tensor:
    """Bring a map of a padded image to ``ceil(size / stride)`` cells that divide the image evenly.

    Cut alone, its last cell would reach into the padding, and whoever scales the map to a finer one
    would stretch it: half a cell of the coarsest map are 16 pixels at the lower edge.
    """
    cells, wanted = features.shape[dim], -(-size // stride)
    if size % stride == 0:
        return features.narrow(dim, 0, wanted)
    # Bilinear, as maps are scaled everywhere else: where each cell's centre lies in the padded map.
    centres = (torch.arange(wanted, device=features.device) + 0.5) * (size / stride / wanted) - 0.5
    places = torch.arange(cells, device=features.device)
    weights = (1 - (centres.clamp_min(0)[:, None] - places).abs()).clamp_min(0).to(features.dtype)
    if dim == 2:
        return torch.matmul(weights, features)
    return torch.matmul(features, weights.T)
