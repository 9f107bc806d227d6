"""How many messages a message is made of, before an object is made of each of them.

A cloud of 20 MB may say that it has a million fields, for which the library takes twelve seconds.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from rosbags.interfaces import Nodetype

_SIZES = {"bool": 1, "byte": 1, "char": 1, "octet": 1} | {
    f"{kind}{8 * size}": size
    for kind, sizes in (("int", (1, 2, 4, 8)), ("uint", (1, 2, 4, 8)), ("float", (4, 8)))
    for size in sizes
}
"""Bytes of numbers."""


def parts(name: str, types: Mapping[str, Any], data: bytes, *, cdr: bool) -> int:
    """Return the length of the first list of messages in a message.

    Args:
        name: of its type.
        types: definitions of it and of all that it is made of.
        data: as it was on the wire.
        cdr: whether it is encoded so; else as in ROS 1.

    Returns:
        0 if there is none, or the data are too damaged to say.
    """
    try:
        return _Walk(types, data, cdr).to_a_list(name) or 0
    except (struct.error, IndexError, KeyError):
        return 0


class _Walk:
    """Goes through the fields of a message up to the first list of messages."""

    def __init__(self, types: Mapping[str, Any], data: bytes, cdr: bool) -> None:
        self._types, self._aligned, self._at = types, cdr, 0
        self._data = memoryview(data)[4:] if cdr else memoryview(data)
        self._length = struct.Struct("<I" if not cdr or data[1] & 1 else ">I")

    def to_a_list(self, name: str) -> int | None:
        """Return the length of the first list; None if this type has none."""
        for _, (kind, value) in self._types[name][1]:
            if kind == Nodetype.BASE:
                self._pass(value[0], 1)
            elif kind == Nodetype.NAME:
                if (found := self.to_a_list(value)) is not None:
                    return found
            else:
                inner, length = value
                count = length if kind == Nodetype.ARRAY else self._count()
                if inner[0] != Nodetype.BASE:
                    return int(count)
                self._pass(inner[1][0], count)
        return None

    def _pass(self, kind: str, count: int) -> None:
        """Pass over numbers or texts."""
        if kind in _SIZES and count:
            self._align(_SIZES[kind])
            self._at += _SIZES[kind] * count
        for _ in range(0 if kind in _SIZES else count):
            length = self._count()
            self._at += length

    def _count(self) -> int:
        self._align(4)
        (found,) = self._length.unpack_from(self._data, self._at)
        self._at += 4
        return int(found)

    def _align(self, size: int) -> None:
        if self._aligned:
            self._at += -self._at % size
