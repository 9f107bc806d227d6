"""Several data sets as one: each with its own sensors and classes, the classes united.

SegRGB-X (arXiv 2603.28023) trains on five. How often each comes is a proposal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anymodal_seg_ros.config import build, choice, number
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.manifest import ClassSpec
from anymodal_seg_ros.networks.label_space import LabelSpace
from anymodal_seg_training.datasets.base import Dataset, Split

Open = Callable[[Mapping[str, Any]], Dataset]
"""Opens the data set that a ``data`` section names."""

DRAWS = ("root_size", "size", "equal")
_EXPONENTS = dict(zip(DRAWS, (0.5, 1.0, 0.0), strict=True))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class MixedOptions:
    """What a recipe says about the mixture beside ``sets`` and ``synonyms``."""

    draw: str = choice(
        DRAWS, "A step's data set is drawn by the root of its number of frames, by it, or evenly"
    )


@dataclass(frozen=True, slots=True)
class SetOptions:
    """What a recipe says about one of the sets beside ``data`` and ``modalities``."""

    weight: float = number(1.0, 1e-6, 1e6, "How often it is drawn, times what 'draw' says")


@dataclass(frozen=True, slots=True)
class Member:
    """One of the data sets.

    Attributes:
        name: in the recipe.
        dataset: with its own classes.
        modalities: of the recipe's, those that its frames have.
        weight: see :class:`SetOptions`.
    """

    name: str
    dataset: Dataset
    modalities: tuple[str, ...]
    weight: float


class MixedDataset:
    """The data sets of a mixture.

    Attributes:
        members: by their names in the recipe.
        space: the classes of all of them.
        classes: the classes of the union, in the order of ``space``.
    """

    def __init__(
        self, members: Sequence[Member], synonyms: Mapping[str, str], options: MixedOptions
    ) -> None:
        """Unite the classes.

        Raises:
            ConfigError: they cannot be united; see :meth:`.LabelSpace.unite`.
        """
        self.members = {member.name: member for member in members}
        names = {m.name: [entry.name for entry in m.dataset.classes] for m in members}
        self.space = LabelSpace.unite(names, synonyms)
        self.classes = _colored(self.space, members)
        self._exponent = _EXPONENTS[options.draw]

    @property
    def description(self) -> str:
        """See :class:`.base.Dataset`."""
        parts = [
            f"- {member.name} ({', '.join(member.modalities)}): {member.dataset.description}"
            for member in self.members.values()
        ]
        return "\n".join([f"{len(parts)} data sets, their classes united:", "", *parts])

    def split(self, name: str) -> Split:
        """Refuse: the frames of the sets have different sensors and lie in different places.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"a mixed data set has no frames of its own, {name} or other: name one of its sets "
            f"({', '.join(self.members)}) in a recipe of its own"
        )

    def chances(self, sizes: Mapping[str, int]) -> dict[str, float]:
        """Return with which probability a step's frames come from each set.

        Args:
            sizes: numbers of training frames.
        """
        shares = {
            name: member.weight * sizes[name] ** self._exponent
            for name, member in self.members.items()
        }
        total = sum(shares.values())
        return {name: share / total for name, share in shares.items()}


def open_mixed(section: Mapping[str, Any], open_dataset: Open) -> MixedDataset:
    """Open the data sets of a recipe's ``data`` section.

    Args:
        section: ``sets``, ``synonyms`` and :class:`MixedOptions`.
        open_dataset: opens one of them.

    Raises:
        ConfigError: an entry is unknown, missing or out of range, or the classes cannot be united.
    """
    rest = dict(section)
    sets, synonyms = rest.pop("sets", None), rest.pop("synonyms", {})
    options = build(MixedOptions, rest, "data")
    if not isinstance(sets, Mapping) or not sets:
        raise ConfigError(f"data.sets is {sets!r}: expected data sets by name")
    if not isinstance(synonyms, Mapping):
        raise ConfigError(f"data.synonyms is {synonyms!r}: expected names of classes by name")
    members = [_member(str(name), entry, open_dataset) for name, entry in sets.items()]
    meanings = {str(name): str(meaning) for name, meaning in synonyms.items()}
    return MixedDataset(members, meanings, options)


def _member(name: str, entry: Any, open_dataset: Open) -> Member:
    where = f"data.sets.{name}"
    if not _NAME.fullmatch(name):  # it becomes part of file names
        raise ConfigError(f"{where}: a name has letters, digits, - and _ only: choose another")
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where} is {entry!r}: expected data and modalities")
    rest = dict(entry)
    data, modalities = rest.pop("data", None), rest.pop("modalities", None)
    options = build(SetOptions, rest, where)
    if not isinstance(data, Mapping) or data.get("dataset") == "mixed":
        raise ConfigError(f"{where}.data is {data!r}: expected a data set that is not mixed itself")
    if not isinstance(modalities, list) or not modalities or len(set(modalities)) < len(modalities):
        raise ConfigError(
            f"{where}.modalities is {modalities!r}: expected a list of the modalities that it has"
        )
    try:
        dataset = open_dataset(data)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    return Member(name, dataset, tuple(map(str, modalities)), options.weight)


def _colored(space: LabelSpace, members: Sequence[Member]) -> tuple[ClassSpec, ...]:
    """Give each class its colour in the first set that has it; a colour that is taken is moved on.

    Colours only have to differ, so that a picture of a mask can be read.
    """
    colors: dict[int, tuple[int, int, int]] = {}
    for member in members:
        for place, entry in zip(space.members[member.name], member.dataset.classes, strict=True):
            if place in colors:
                continue
            red, green, blue = entry.color
            while (red, green, blue) in colors.values():
                red, green = (red + 37) % 256, (green + 91) % 256
            colors[place] = (red, green, blue)
    return tuple(ClassSpec(name, colors[place]) for place, name in enumerate(space.classes))
