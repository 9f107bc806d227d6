"""From the ids that labels have to the classes of the model that is judged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import did_you_mean, read_yaml
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.bags import BagError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.frames import UNLABELED, Mask
from anymodal_seg_ros.inference.manifest import Manifest

IGNORE = "ignore"
"""In a label map: pixels of this id have no label."""


class LabelMap:
    """From the ids of labels to those of the model's classes."""

    def __init__(self, manifest: Manifest, entries: Mapping[object, object] | None = None) -> None:
        """Prepare the table.

        Args:
            manifest: of the model that is judged.
            entries: the class of every id, by id or name, or :data:`IGNORE`. Ids that are not named
                have no label. None: the ids are the model's own.

        Raises:
            ConfigError: an entry is impossible.
        """
        names = [spec.name for spec in manifest.classes]
        self._names = names
        self._strict = entries is None
        self._table = np.full(65536, UNLABELED, np.uint8)
        if entries is None:
            self._table[: len(names)] = np.arange(len(names), dtype=np.uint8)
            return
        for key, value in entries.items():
            if type(key) is not int or not 0 <= key < len(self._table):
                raise ConfigError(f"label map: the id {key!r} is no integer from 0 to 65535")
            self._table[key] = self._target(key, value)

    def apply(self, ids: npt.NDArray[np.integer], where: str) -> Mask:
        """Return the ids in the model's classes.

        Raises:
            BagError: an id is neither a class of the model nor :data:`UNLABELED`, without a map.
        """
        label = np.asarray(self._table[ids], np.uint8)
        if self._strict:
            foreign = (label == UNLABELED) & (ids != UNLABELED)
            if foreign.any():
                first = int(ids[foreign].min())
                raise BagError(
                    f"{where}: the label has the id {first}, the model knows 0 to "
                    f"{len(self._names) - 1} and {UNLABELED} for nothing: say what it means with "
                    "--label-map"
                )
        return label

    def _target(self, key: int, value: object) -> int:
        if value == IGNORE:
            return UNLABELED
        if type(value) is int and 0 <= value < len(self._names):
            return value
        if isinstance(value, str) and value in self._names:
            return self._names.index(value)
        near = did_you_mean(value, self._names) if isinstance(value, str) else ""
        raise ConfigError(
            f"label map: {key} is {quote(repr(value))}: {near}expected a class of the model ("
            f"{', '.join(self._names)}), its id, or {IGNORE}"
        )


def load_label_map(path: Path | None, manifest: Manifest) -> LabelMap:
    """Read a label map: YAML of ``id: class``; without a file the ids are the model's own.

    Raises:
        ConfigError: the file cannot be read, or an entry is impossible.
    """
    if path is None:
        return LabelMap(manifest)
    entries = read_yaml(path, "label map")
    if not isinstance(entries, Mapping):
        raise ConfigError(f"{path}: expected entries 'id: class', not {quote(repr(entries))}")
    try:
        return LabelMap(manifest, entries)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
