"""Networks by name, as recipes and model manifests ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anymodal_seg_ros.config import build
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.anyseg import AnySeg, AnySegArchitecture
from anymodal_seg_ros.networks.base import AnyModalNetwork
from anymodal_seg_ros.networks.quorum import Quorum, QuorumArchitecture


@dataclass(frozen=True, slots=True)
class _Entry:
    """How to read a network's options and how to build it from them."""

    architecture: type[Any]
    network: Callable[[Any, int, Sequence[str]], AnyModalNetwork]


_NETWORKS: dict[str, _Entry] = {
    "anyseg": _Entry(AnySegArchitecture, AnySeg),
    "quorum": _Entry(QuorumArchitecture, Quorum),
}


def network_names() -> tuple[str, ...]:
    """Return the names that ``architecture.network`` may have."""
    return tuple(_NETWORKS)


def build_network(
    architecture: Mapping[str, Any], num_classes: int, modalities: Sequence[str]
) -> AnyModalNetwork:
    """Build a network with random weights, in training mode.

    Args:
        architecture: ``network``, the name of a network, and that network's own options.
        num_classes: number of classes K.
        modalities: the kinds of sensors, in the order of their ids.

    Raises:
        ConfigError: the network or one of its options is unknown or out of range.
    """
    name = architecture.get("network")
    if name not in _NETWORKS:
        raise ConfigError(
            f"architecture.network is {name!r}: expected one of {', '.join(_NETWORKS)}"
        )
    entry = _NETWORKS[name]
    options = {key: value for key, value in architecture.items() if key != "network"}
    return entry.network(
        build(entry.architecture, options, "architecture"), num_classes, modalities
    )
