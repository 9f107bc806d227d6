"""Strategies by name, as recipes ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anymodal_seg_ros.config import build
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.strategies.anyseg import AnySegOptions, AnySegStrategy
from anymodal_seg_training.strategies.base import Setting, Strategy
from anymodal_seg_training.strategies.charm import CharmOptions, CharmStrategy
from anymodal_seg_training.strategies.equiseg import EQUISegOptions, EQUISegStrategy
from anymodal_seg_training.strategies.quorum import QuorumOptions, QuorumStrategy
from anymodal_seg_training.strategies.segrgbx import SegRGBXOptions, SegRGBXStrategy
from anymodal_seg_training.strategies.segrgbx_clip import SegRGBXClipOptions, SegRGBXClipStrategy
from anymodal_seg_training.strategies.supervised import Supervised, SupervisedOptions


@dataclass(frozen=True, slots=True)
class _Entry:
    """How to read a strategy's options, and its class, built from these and a :class:`Setting`."""

    options: type[Any]
    strategy: type[Any]


_STRATEGIES: dict[str, _Entry] = {
    "supervised": _Entry(SupervisedOptions, Supervised),
    "anyseg": _Entry(AnySegOptions, AnySegStrategy),
    "charm": _Entry(CharmOptions, CharmStrategy),
    "equiseg": _Entry(EQUISegOptions, EQUISegStrategy),
    "quorum": _Entry(QuorumOptions, QuorumStrategy),
    "segrgbx": _Entry(SegRGBXOptions, SegRGBXStrategy),
    "segrgbx_clip": _Entry(SegRGBXClipOptions, SegRGBXClipStrategy),
}


def strategy_names() -> tuple[str, ...]:
    """Return the names that ``strategy.name`` may have."""
    return tuple(_STRATEGIES)


def build_strategy(section: Mapping[str, Any], setting: Setting) -> Strategy:
    """Build the strategy that a recipe's ``strategy`` section names.

    Args:
        section: ``name``, the name of a strategy, and that strategy's own options.
        setting: what it needs to know of the run.

    Raises:
        ConfigError: the strategy or one of its options is unknown or out of range, or it cannot
            train on the mixed data sets of this run.
    """
    name = section.get("name")
    if name not in _STRATEGIES:
        raise ConfigError(f"strategy.name is {name!r}: expected one of {', '.join(_STRATEGIES)}")
    entry = _STRATEGIES[name]
    options = {key: value for key, value in section.items() if key != "name"}
    if setting.known and not entry.strategy.mixes:
        able = ", ".join(name for name, entry in _STRATEGIES.items() if entry.strategy.mixes)
        raise ConfigError(
            f"strategy.name is {name!r}, which cannot train on mixed data sets: it would learn "
            "about classes that a data set does not know, or needs all sensors in every step; "
            f"expected one of {able}"
        )
    strategy: Strategy = entry.strategy(build(entry.options, options, "strategy"), setting)
    return strategy
