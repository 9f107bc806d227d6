"""From the ids or colours that labels have to the classes of the model that is judged."""

from __future__ import annotations

from collections import Counter
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

_MOST_NAMED = 8
"""Of the ids that a map lacks."""


class LabelMap:
    """From the ids, or the colours, of labels to the ids of the model's classes."""

    def __init__(self, manifest: Manifest, entries: Mapping[object, object] | None = None) -> None:
        """Prepare the table.

        Args:
            manifest: of the model that is judged.
            entries: the class of every id, or of every colour (``128 64 128``: red, green, blue),
                by id or name, or :data:`IGNORE`. What is not named has no label. None: the ids are
                the model's own.

        Raises:
            ConfigError: an entry is impossible.
        """
        names = [spec.name for spec in manifest.classes]
        self._names = names
        self._strict = entries is None
        self._of_colors = any(isinstance(key, str) for key in entries or ())
        size = 1 << 24 if self._of_colors else 1 << 16
        self._table = np.full(size, UNLABELED, np.uint8)
        self._named = np.zeros(size, np.bool_)
        self._named[UNLABELED] = not self._of_colors  # this id means nothing in most data sets
        self._unnamed: Counter[int] = Counter()
        self._pixels = 0
        if entries is None:
            self._table[: len(names)] = np.arange(len(names), dtype=np.uint8)
            return
        for key, value in entries.items():
            place = _color(key) if self._of_colors else _id(key)
            self._table[place] = self._target(key, value)
            self._named[place] = True

    @property
    def notes(self) -> list[str]:
        """What the labels had that the map does not name, the most frequent first."""
        if not self._unnamed:
            return []
        often = [
            " ".join(map(str, place.to_bytes(3, "big"))) if self._of_colors else str(place)
            for place, _ in self._unnamed.most_common(_MOST_NAMED)
        ]
        more = len(self._unnamed) - len(often)
        told = ", ".join(often) + (f" and {more} more" if more else "")
        return [
            f"the label map does not name {told}: {self._unnamed.total() / self._pixels:.1%} of "
            f"the labels' pixels count for nothing; name them, with {IGNORE} where that is meant"
        ]

    def apply(self, ids: npt.NDArray[np.integer], where: str) -> Mask:
        """Return the ids in the model's classes.

        Args:
            ids: of a label; of a picture of colours what :func:`packed` makes of it.
            where: it is from, for the error.

        Raises:
            BagError: an id is neither a class of the model nor :data:`UNLABELED`, without a map; or
                the map is of colours and the label of ids, or the other way round.
        """
        if (ids.dtype == np.uint32) is not self._of_colors:
            raise BagError(
                f"{where}: the label has ids, the label map has colours"
                if self._of_colors
                else f"{where}: the label is a picture of colours: say what they mean with a "
                "--label-map of colours, such as '128 64 128: road'"
            )
        label = np.asarray(self._table[ids], np.uint8)
        if self._strict:
            self._refuse_foreign(ids, label, where)
            return label
        self._pixels += ids.size
        values, numbers = np.unique(ids[~self._named[ids]], return_counts=True)
        self._unnamed.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
        return label

    def _refuse_foreign(self, ids: npt.NDArray[np.integer], label: Mask, where: str) -> None:
        foreign = (label == UNLABELED) & (ids != UNLABELED)
        if foreign.any():
            first = int(ids[foreign].min())
            raise BagError(
                f"{where}: the label has the id {first}, the model knows 0 to "
                f"{len(self._names) - 1} and {UNLABELED} for nothing: say what it means with "
                "--label-map"
            )

    def _target(self, key: object, value: object) -> int:
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


def packed(colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return one number for each pixel of a picture of colours, uint8 ``[H, W, 3]``, red first."""
    red, green, blue = (colors[..., channel].astype(np.uint32) for channel in range(3))
    return np.asarray(red << 16 | green << 8 | blue, np.uint32)


def _id(key: object) -> int:
    if type(key) is not int or not 0 <= key < 1 << 16:
        raise ConfigError(f"label map: the id {key!r} is no integer from 0 to 65535")
    return key


def _color(key: object) -> int:
    parts = key.split() if isinstance(key, str) else []
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() and int(p) < 256 for p in parts):
        raise ConfigError(
            f"label map: the key is {key!r:.60}: expected ids, such as 7, or colours, such as "
            "128 64 128, all of one kind"
        )
    red, green, blue = map(int, parts)
    return red << 16 | green << 8 | blue


def load_label_map(path: Path | None, manifest: Manifest) -> LabelMap:
    """Read a label map: YAML of ``id: class`` or ``red green blue: class``.

    Without a file the ids are the model's own.

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
