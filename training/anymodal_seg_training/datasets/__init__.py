"""Data sets by name, as recipes ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from anymodal_seg_ros.config import build
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.datasets.base import Dataset
from anymodal_seg_training.datasets.mixed import open_mixed


@dataclass(frozen=True, slots=True)
class _DatasetEntry:
    """How to read a data set's options and how to open it."""

    options: type[Any]
    open: Callable[[Any], Dataset]


def _rig() -> _DatasetEntry:
    # Imported only when asked for: the simulator needs libraries that other data sets do not.
    from anymodal_seg_training.datasets.rig import RigDataset, RigOptions

    return _DatasetEntry(RigOptions, RigDataset)


def _rigbench() -> _DatasetEntry:
    from anymodal_seg_training.datasets.rigbench import RigBenchDataset, RigBenchOptions

    return _DatasetEntry(RigBenchOptions, RigBenchDataset)


def _folders() -> _DatasetEntry:
    from anymodal_seg_training.datasets.folders import FolderDataset, FolderOptions

    return _DatasetEntry(FolderOptions, FolderDataset)


def _bag() -> _DatasetEntry:
    from anymodal_seg_training.datasets.bag import BagDataset
    from anymodal_seg_training.datasets.bag_options import BagOptions

    return _DatasetEntry(BagOptions, BagDataset)


def _packed() -> _DatasetEntry:
    from anymodal_seg_training.datasets.packed import PackedDataset, PackedOptions

    return _DatasetEntry(PackedOptions, PackedDataset)


_DATASETS: dict[str, Callable[[], _DatasetEntry]] = {
    "rig": _rig,
    "rigbench": _rigbench,
    "folders": _folders,
    "bag": _bag,
    "packed": _packed,
}


def open_dataset(section: Mapping[str, Any]) -> Dataset:
    """Open the data set that a recipe's ``data`` section names.

    Args:
        section: ``dataset``, the name of a data set, and that data set's own options.

    Raises:
        ConfigError: the data set or one of its options is unknown or out of range.
    """
    name = section.get("dataset")
    options = {key: value for key, value in section.items() if key != "dataset"}
    if name == "mixed":
        return open_mixed(options, open_dataset)
    if not isinstance(name, str) or name not in _DATASETS:
        known = ", ".join([*_DATASETS, "mixed"])
        raise ConfigError(f"data.dataset is {name!r}: expected one of {known}")
    entry = _DATASETS[name]()
    return entry.open(build(entry.options, options, "data"))
