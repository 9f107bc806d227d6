"""Networks by name, as recipes and model manifests ask for them.

A network's module is imported only when it is asked for: some need libraries that a robot that runs
another one has not installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from anymodal_seg_ros.config import build
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.networks.base import AnyModalNetwork


@dataclass(frozen=True, slots=True)
class _NetworkEntry:
    """Where a network and its options are; both are imported from ``module`` when needed."""

    module: str
    network: str
    """Its class, built from the options, the number of classes and the modalities."""

    @property
    def architecture(self) -> str:
        """The dataclass of its options."""
        return f"{self.network}Architecture"


_NETWORKS: dict[str, _NetworkEntry] = {
    "anyseg": _NetworkEntry("anyseg", "AnySeg"),
    "charm": _NetworkEntry("charm", "Charm"),
    "equiseg": _NetworkEntry("equiseg", "EQUISeg"),
    "segrgbx": _NetworkEntry("segrgbx", "SegRGBX"),
    "cmnext": _NetworkEntry("cmnext", "CMNeXt"),
    "stitchfusion": _NetworkEntry("stitchfusion", "StitchFusion"),
    "magic": _NetworkEntry("magic", "Magic"),
    "concat": _NetworkEntry("concat", "Concat"),
    "late_fusion": _NetworkEntry("late_fusion", "LateFusion"),
    "quorum": _NetworkEntry("quorum", "Quorum"),
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
        ConfigError: the network or one of its options is unknown or out of range, or a library that
            it needs is not installed.
    """
    module, entry = _module(architecture.get("network"))
    options = _options(architecture, module, entry)
    network: AnyModalNetwork = getattr(module, entry.network)(options, num_classes, modalities)
    return network


def check_architecture(architecture: Mapping[str, Any]) -> None:
    """Make sure that there is such a network with such options; nothing is built.

    Raises:
        ConfigError: as of :func:`build_network`.
    """
    _options(architecture, *_module(architecture.get("network")))


def _options(architecture: Mapping[str, Any], module: Any, entry: _NetworkEntry) -> Any:
    options = {key: value for key, value in architecture.items() if key != "network"}
    return build(getattr(module, entry.architecture), options, "architecture")


def _module(name: Any) -> tuple[Any, _NetworkEntry]:
    if not isinstance(name, str) or name not in _NETWORKS:
        raise ConfigError(
            f"architecture.network is {name!r}: expected one of {', '.join(_NETWORKS)}"
        )
    try:
        entry = _NETWORKS[name]
        return import_module(f"anymodal_seg_ros.networks.{entry.module}"), entry
    except ImportError as error:
        raise ConfigError(
            f"architecture.network is {name!r}, whose libraries cannot be imported ({error}): "
            "install anymodal_seg_ros[train]"
        ) from error
