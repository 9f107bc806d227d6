"""Strategies by name, as recipes ask for them.

A strategy's module is imported only when it is asked for: some need libraries of their networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from anymodal_seg_ros.config import build
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.strategies.base import Setting, Strategy


@dataclass(frozen=True, slots=True)
class _StrategyEntry:
    """Where a strategy and its options are; both are imported from ``module`` when needed."""

    module: str
    strategy: str
    """Its class, built from its options and a :class:`Setting`."""
    mixes: bool = False
    """Whether it may train on mixed data sets: in each step with the sensors of one of them, and
    without learning anything about classes that this one does not know."""
    masks: bool = True
    """Whether the network that it trains is one that makes masks."""

    @property
    def options(self) -> str:
        """The dataclass of its options."""
        return f"{self.strategy.removesuffix('Strategy')}Options"


_STRATEGIES: dict[str, _StrategyEntry] = {
    "supervised": _StrategyEntry("supervised", "Supervised", mixes=True),
    "anyseg": _StrategyEntry("anyseg", "AnySegStrategy"),
    "charm": _StrategyEntry("charm", "CharmStrategy"),
    "equiseg": _StrategyEntry("equiseg", "EQUISegStrategy", mixes=True),
    "magic": _StrategyEntry("magic", "MagicStrategy"),
    "quorum": _StrategyEntry("quorum", "QuorumStrategy"),
    "segrgbx": _StrategyEntry("segrgbx", "SegRGBXStrategy", mixes=True),
    "segrgbx_clip": _StrategyEntry("segrgbx_clip", "SegRGBXClipStrategy", mixes=True, masks=False),
}


def strategy_names() -> tuple[str, ...]:
    """Return the names that ``strategy.name`` may have."""
    return tuple(_STRATEGIES)


def makes_masks(name: Any) -> bool:
    """Whether what the strategy of this name trains can be evaluated and exported."""
    entry = _STRATEGIES.get(name) if isinstance(name, str) else None
    return entry is None or entry.masks


def build_strategy(section: Mapping[str, Any], setting: Setting) -> Strategy:
    """Build the strategy that a recipe's ``strategy`` section names.

    Args:
        section: ``name``, the name of a strategy, and that strategy's own options.
        setting: what it needs to know of the run.

    Raises:
        ConfigError: the strategy or one of its options is unknown or out of range, a library that
            it needs is not installed, or it cannot train on the mixed data sets of this run.
    """
    name, entry = _named(section)
    if setting.known and not entry.mixes:
        able = ", ".join(name for name, entry in _STRATEGIES.items() if entry.mixes)
        raise ConfigError(
            f"strategy.name is {name!r}, which cannot train on mixed data sets: it compares "
            "predictions of classes that a data set does not know, or needs the same sensors in "
            f"every step; expected one of {able}"
        )
    module, options = _options(section)
    strategy: Strategy = getattr(module, entry.strategy)(options, setting)
    return strategy


def check_strategy(section: Mapping[str, Any]) -> None:
    """Make sure that there is such a strategy with such options; nothing is built.

    Raises:
        ConfigError: as of :func:`build_strategy`.
    """
    _options(section)


def _named(section: Mapping[str, Any]) -> tuple[str, _StrategyEntry]:
    name = section.get("name")
    if not isinstance(name, str) or name not in _STRATEGIES:
        raise ConfigError(f"strategy.name is {name!r}: expected one of {', '.join(_STRATEGIES)}")
    return name, _STRATEGIES[name]


def _options(section: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return a strategy's module and its options as the module has them."""
    name, entry = _named(section)
    try:
        module = import_module(f"{__name__}.{entry.module}")
    except ImportError as error:
        raise ConfigError(
            f"strategy.name is {name!r}, whose libraries cannot be imported ({error}): "
            "install anymodal_seg_ros[train]"
        ) from error
    options = {key: value for key, value in section.items() if key != "name"}
    return module, build(getattr(module, entry.options), options, "strategy")
