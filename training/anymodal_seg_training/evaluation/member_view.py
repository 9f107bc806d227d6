"""A run on mixed data sets as one of these data sets sees it: its sensors, its classes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks import AnyModalNetwork, Decoded
from anymodal_seg_training.datasets.base import Dataset
from anymodal_seg_training.datasets.mixed import MixedDataset
from anymodal_seg_training.datasets.mixed_frames import Share
from anymodal_seg_training.recipe import Recipe


def check_modalities(recipe: Recipe, dataset: Dataset) -> None:
    """Make sure that the sets of a mixture have modalities of the recipe, and all of them.

    Raises:
        ConfigError: one is unknown, or is in no set.
    """
    if not isinstance(dataset, MixedDataset):
        return
    known = recipe.modality_names
    for member in dataset.members.values():
        unknown = [name for name in member.modalities if name not in known]
        if unknown:
            raise ConfigError(
                f"data.sets.{member.name}.modalities has {unknown[0]!r}: expected some of the "
                f"recipe's modalities, {', '.join(known)}"
            )
    found = {name for member in dataset.members.values() for name in member.modalities}
    missing = [name for name in known if name not in found]
    if missing:
        raise ConfigError(
            f"no data set has the modality {missing[0]!r}: add it to the modalities of one of "
            "data.sets, or remove it from the recipe's"
        )


def member_recipe(recipe: Recipe, modalities: tuple[str, ...]) -> Recipe:
    """Return the recipe with the modalities of a data set alone, under their ids in the run."""
    specs = {name: recipe.modalities[name] for name in modalities}
    return dataclasses.replace(recipe, modalities=specs)


class MemberNetwork(AnyModalNetwork):
    """A network that tells the classes of one data set alone, by their own ids.

    Sensors are numbered among those of the data set, classes that it does not know are never found.
    """

    ids: Tensor
    classes: Tensor

    def __init__(
        self, network: AnyModalNetwork, modalities: tuple[str, ...], classes: tuple[int, ...]
    ) -> None:
        """Look at a network.

        Args:
            network: of the whole run; shared, not copied.
            modalities: of the data set.
            classes: for each class of the data set, its id in the network.
        """
        super().__init__(len(classes), modalities)
        device = network.temperature.device
        ids = [network.modalities.index(name) for name in modalities]
        self.network = network
        # Of a network of another class, so it is not this class's own.
        self.encodes_apart = network.encodes_apart  # type: ignore[misc]
        self.temperature = network.temperature
        self.register_buffer("ids", torch.tensor(ids, device=device), persistent=False)
        self.register_buffer("classes", torch.tensor(classes, device=device), persistent=False)
        self.train(network.training)

    def forward_features(self, images: Tensor, modality_ids: Tensor) -> list[Tensor]:
        """See :meth:`AnyModalNetwork.forward_features`."""
        return self.network.forward_features(images, self.ids[modality_ids])

    def decode(self, features: list[Tensor], modality_ids: Tensor) -> Decoded:
        """See :meth:`AnyModalNetwork.decode`."""
        found = self.network.decode(features, self.ids[modality_ids])
        return Decoded(found.logits.index_select(1, self.classes), found.contributions)


def seen_by(
    share: Share, recipe: Recipe, network: AnyModalNetwork
) -> tuple[Recipe, AnyModalNetwork]:
    """Return recipe and network as the data set of a share sees them; alone, they themselves."""
    if share.classes is None:
        return recipe, network
    own = member_recipe(recipe, share.modalities)
    return own, MemberNetwork(network, share.modalities, share.classes)


@dataclass(frozen=True, slots=True)
class MemberView:
    """What is needed to measure a network on one data set.

    Attributes:
        name: of the data set among those that are mixed; empty for one alone.
        recipe: with the modalities of the data set.
        dataset: with its own classes.
        network: that tells these classes.
    """

    name: str
    recipe: Recipe
    dataset: Dataset
    network: AnyModalNetwork


def views_of(recipe: Recipe, dataset: Dataset, network: AnyModalNetwork) -> list[MemberView]:
    """Return a run as each of its data sets sees it; of a data set alone, the run itself."""
    if not isinstance(dataset, MixedDataset):
        return [MemberView("", recipe, dataset, network)]
    found = []
    for member in dataset.members.values():
        own = member_recipe(recipe, member.modalities)
        classes = dataset.space.members[member.name]
        network_of_member = MemberNetwork(network, own.modality_names, classes)
        found.append(MemberView(member.name, own, member.dataset, network_of_member))
    return found
