"""What every network is: a map from sensors on a modality axis to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.modality_layers import ModalityTensor
from anymodal_seg_ros.networks.segformer_head import SegFormerHead, resize_map
from anymodal_seg_ros.networks.set_statistics import SetStatistics


class Decoded(NamedTuple):
    """What comes out of a network for a batch.

    Attributes:
        logits: ``[B, K, H/4, W/4]``, sides rounded up.
        contributions: how much each row of the modality axis counts at each pixel,
            ``[B, M, H/4, W/4]``, 0 or more, summing to 1 over M; None where the method does not
            weight its modalities.
    """

    logits: Tensor
    contributions: Tensor | None = None


class AnyModalNetwork(nn.Module, ABC):
    """A segmentation network with a dynamic modality axis.

    The order of the modalities must not matter, and leaving a modality out must be the same as
    never having had it. A method with a fixed place for each kind of sensor fills the empty places
    itself (see :mod:`.slots`), so that nobody outside ever passes zeros.

    Attributes:
        set_like: whether there may be any number of sensors, several of one kind included; False
            for methods with a fixed place for each kind.
        encodes_apart: whether the features of a row of the modality axis are those of this row
            alone; False for methods whose encoder lets the sensors see each other.
        any_size: whether one exported graph serves images of any height and width; False for
            methods whose parts depend on the size.
        num_classes: K.
        modalities: the kinds of sensors, a kind's id being its place.
        temperature: what logits are divided by before a softmax tells probabilities, a number that
            is fitted after training and saved with the weights; 1 until then.
    """

    temperature: Tensor

    set_like: ClassVar[bool] = True
    encodes_apart: ClassVar[bool] = True
    any_size: ClassVar[bool] = True

    def __init__(self, num_classes: int, modalities: Sequence[str]) -> None:
        """Remember the number of classes K and the kinds of sensors, in the order of their ids.

        Raises:
            ConfigError: there is no kind of sensor, or one twice.
        """
        super().__init__()
        if not modalities or len(set(modalities)) != len(modalities):
            raise ConfigError(f"modalities are {list(modalities)}: expected one or more, each once")
        self.num_classes = num_classes
        self.modalities = tuple(modalities)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, images: Tensor, modality_ids: Tensor) -> Tensor:
        """Segment a batch in which every item has the same modalities.

        Args:
            images: float ``[B, M, 3, H, W]``, normalised; M >= 1, H and W at least 32.
            modality_ids: int64 ``[M]``, which kind of sensor each entry of the axis is.

        Returns:
            Logits ``[B, K, ceil(H/4), ceil(W/4)]``; :func:`upsample_logits` brings them to the
            size of the images.
        """
        return self.decode(self.forward_features(images, modality_ids), modality_ids).logits

    @abstractmethod
    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """Encode: four maps ``[B, S, C_i, H_i, W_i]`` at strides 4, 8, 16 and 32.

        S is M where the method keeps the modalities apart up to here, entry by entry of
        ``modality_ids``, as distillation needs it; 1 where its encoder fuses them already.
        """

    @abstractmethod
    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        """Fuse what :meth:`forward_features` returned and classify.

        Where S is M, any part of the modality axis, features and ids alike, may be passed: the
        result is that of the sensors in this part alone, as far as the encoder kept them apart.
        """

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """Take weights from before there was a temperature, too: theirs is 1."""
        state_dict.setdefault(f"{prefix}temperature", torch.ones(()))
        super()._load_from_state_dict(state_dict, prefix, *others)

    def training_parts(self) -> Sequence[nn.Module]:
        """Return the parts that only a training strategy uses; :meth:`forward` never does."""
        return ()

    def add_modality(self, name: str, like: str) -> list[nn.Parameter]:
        """Learn a new kind of sensor: its id is the next one, its parameters are copies of another.

        Args:
            name: the new kind.
            like: the kind from which its parameters are copied.

        Returns:
            The new parameters; to train them alone, freeze all others. Empty for a network whose
            parameters all serve every kind.

        Raises:
            ConfigError: the new kind is known already, the old one is not, or the network has a
                fixed place for each kind.
        """
        self._refuse_other_kinds(f"add the modality {name!r}")
        if name in self.modalities or like not in self.modalities:
            raise ConfigError(
                f"cannot add the modality {name!r} like {like!r}: expected a new one like one of "
                f"{', '.join(self.modalities)}"
            )
        row = self.modalities.index(like)
        kinds = len(self.modalities)
        self.modalities = (*self.modalities, name)
        for module in self.modules():
            if isinstance(module, SetStatistics):
                module.replace_modalities([*range(kinds), row])
        tensors = [m for m in self.modules() if isinstance(m, ModalityTensor)]
        return [tensor.add_modality(row) for tensor in tensors]

    def replace_modalities(self, like: Mapping[str, str]) -> None:
        """Serve other kinds of sensors, each with a copy of what served one of those so far.

        Args:
            like: for each new kind, in the order of the new ids, the old one that it begins as;
                the same name for a kind that stays.

        Raises:
            ConfigError: an old kind is not known, or the network has a fixed place for each kind
                and they are to change.
        """
        if unknown := sorted(set(like.values()) - set(self.modalities)):
            raise ConfigError(
                f"there is no modality {unknown[0]!r}: expected one of {', '.join(self.modalities)}"
            )
        names = tuple(like)
        if names == self.modalities == tuple(like.values()):
            return
        self._refuse_other_kinds(
            f"replace the modalities {', '.join(self.modalities)} by {', '.join(names)}"
        )
        self._keep_rows([self.modalities.index(old) for old in like.values()])
        self.modalities = names

    def _refuse_other_kinds(self, change: str) -> None:
        """Raise ConfigError where the kinds of sensors cannot be others than in training."""
        if not self.set_like:
            raise ConfigError(
                f"cannot {change}: {type(self).__name__} has a fixed place for each modality and "
                "must be trained anew"
            )

    def _keep_rows(self, rows: Sequence[int]) -> None:
        """Let the kinds ``rows``, which may repeat, be those that there are."""
        for module in self.modules():
            if isinstance(module, ModalityTensor | SetStatistics):
                module.replace_modalities(rows)

    def modality_parameters(self, name: str) -> list[nn.Parameter]:
        """Return the parameters that serve one kind of sensor and no other.

        Raises:
            ConfigError: the network does not know this kind.
        """
        if name not in self.modalities:
            raise ConfigError(
                f"there is no modality {name!r}: expected one of {', '.join(self.modalities)}"
            )
        row = self.modalities.index(name)
        return [m.rows[row] for m in self.modules() if isinstance(m, ModalityTensor)]

    def fold(self) -> None:
        """Replace parts by exactly equal, cheaper ones, for deployment and in evaluation mode.

        SegFormer heads become constants, and so do the parameters of each kind of sensor. The names
        of the parameters change: load weights first.
        """
        for module in list(self.modules()):
            if isinstance(module, ModalityTensor):
                module.fold()
            for name, child in module.named_children():
                if isinstance(child, SegFormerHead):
                    setattr(module, name, child.folded())


def upsample_logits(logits: Tensor, height: int, width: int) -> Tensor:
    """Bring logits ``[B, K, h, w]`` to ``[B, K, height, width]``, bilinear, corners not aligned."""
    return resize_map(logits, (height, width))
