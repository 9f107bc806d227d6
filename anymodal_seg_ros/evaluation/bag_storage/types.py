"""Bytes to messages: by the definitions in the bag, by the standard ones, or by this package's own.

Recorders before Iron store no definitions in sqlite3 files, others garble some of those that nobody
here asks for. So a definition is read only when a message of its type is, and where it is of no
use the standard one is taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from anymodal_seg_ros.evaluation.bag_storage.parts import parts
from anymodal_seg_ros.evaluation.bag_storage.recording import BagError, Channel
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.messages.rosbags import typestore

ENCODINGS = ("cdr", "ros1")
"""Of messages, that can be decoded."""

_MAX_DEFINITION = 1 << 16
"""Characters; those of standard messages have some thousands."""
_MAX_FIELDS = 2000
"""Of a type and all that it is made of, those of fixed arrays counted each time."""
_MAX_FIXED = 1 << 16
"""Values of a fixed array of numbers."""
_MOST_PARTS, _MOST_EVENTS = 10_000, 4_000_000
"""Messages in a list within a message: fields of a cloud, transforms; events, where each is one."""
_MAX_DEFINED = 64
"""Definitions of a bag that are read."""
_OWN_NAMES = {"octet": "uint8", "byte": "uint8", "char": "uint8", "boolean": "bool"}
"""What definitions call the types of numbers, and what NumPy makes of them."""
_CDR = (b"\0\0", b"\0\1")
"""Beginnings of CDR, big-endian and little-endian."""
_IDL_SEPARATOR = "=" * 80 + "\n"


class Types:
    """Decodes messages of any type whose definition is in the bag, standard or known."""

    def __init__(self) -> None:
        self._standard: dict[str, Typestore] = {}
        self._stores: dict[tuple[str, str, str], Typestore | str] = {}
        """What knows a type, or why nobody does."""

    def decode(self, channel: Channel, data: bytes) -> Any:
        """Return a message with its fields; arrays are views on its bytes.

        Raises:
            BagError: the type is not known, or the bytes do not fit it.
        """
        store = self._store(channel)
        count = parts(channel.type, store.fielddefs, data, cdr=channel.encoding == "cdr")
        if count > (_MOST_EVENTS if channel.type.endswith("/EventArray") else _MOST_PARTS):
            raise BagError(f"data is no {channel.type}: it has a list of {count} messages")
        try:
            if channel.encoding == "ros1":
                return store.deserialize_ros1(data, channel.type)
            return _from_cdr(store, channel.type, data)
        except Exception as error:  # whatever the generated code meets in damaged bytes
            raise BagError(f"data is no {channel.type}: {quote(error, 120)}") from error

    def recorded(self, channel: Channel) -> Typestore | None:
        """Return what knows a channel's type by the bag's own definition, else by the standard one.

        The bag's own may lack fields that are standard today. None: nobody knows the type.
        """
        if channel.encoding not in ENCODINGS:
            return None
        standard = self._standard_store(channel.encoding)
        with contextlib.suppress(Exception):  # whatever the library's parsers meet in such a text
            if channel.definition:
                return _store_of(channel, _parsed(channel), standard)
        return standard if channel.type in standard.fielddefs else None

    def _store(self, channel: Channel) -> Typestore:
        key = (channel.encoding, channel.type, channel.definition)
        if key not in self._stores:
            try:
                self._stores[key] = self._make(channel)
            except BagError as error:
                self._stores[key] = str(error)
        found = self._stores[key]
        if isinstance(found, str):
            raise BagError(found)
        return found

    def _make(self, channel: Channel) -> Typestore:
        if channel.encoding not in ENCODINGS:
            encoding = quote(channel.encoding) or "nothing that the bag tells"
            raise BagError(f"{channel.topic} is encoded as {encoding}: expected cdr")
        standard = self._standard_store(channel.encoding)
        reason = "the bag holds no definition of it, and it is no standard type"
        try:
            if channel.definition and len(self._stores) < _MAX_DEFINED:
                types = _parsed(channel)
                if channel.type in standard.fielddefs:
                    _check_standard(channel.type, types, standard.fielddefs)
                return _store_of(channel, types, standard)
        except Exception as error:  # whatever the library's parsers meet in such a text
            reason = f"its definition in the bag cannot be used ({quote(error, 80)})"
        if channel.type in standard.fielddefs:
            return standard
        raise BagError(f"{channel.topic} is of type {quote(channel.type)}: {reason}")

    def _standard_store(self, encoding: str) -> Typestore:
        if encoding not in self._standard:
            stores = {"cdr": Stores.ROS2_HUMBLE, "ros1": Stores.ROS1_NOETIC}
            self._standard[encoding] = typestore(stores[encoding])
        return self._standard[encoding]


def _from_cdr(store: Typestore, name: str, data: bytes) -> Any:
    """Return the message that bytes begin with.

    What follows it is passed over, as middlewares do; the library refuses more than three bytes.

    Raises:
        Exception: whatever the generated code meets in damaged bytes.
    """
    if data[:2] not in _CDR:
        raise ValueError("they do not begin as CDR does")
    definition = store.get_msgdef(name)
    read = definition.deserialize_cdr_le if data[1] else definition.deserialize_cdr_be
    message, _ = read(data[4:], 0, definition.cls, store)
    return message


def _store_of(channel: Channel, types: Mapping[str, Any], standard: Typestore) -> Typestore:
    """Make a store of a type by its own definition, and of what it needs."""
    _Sizes({**standard.fielddefs, **types}).of(channel.type)
    needed: dict[str, Any] = {}
    open_names = [channel.type]
    while open_names:
        name = open_names.pop()
        if name in needed:
            continue
        needed[name] = types[name] if name in types else standard.fielddefs[name]
        open_names += [inner for _, field in needed[name][1] for inner in _inner(field)]
    store = get_typestore(Stores.EMPTY)
    store.register(needed)
    return store


def _parsed(channel: Channel) -> Mapping[str, Any]:
    text = channel.definition
    if len(text) > _MAX_DEFINITION:
        raise ValueError(f"it has {len(text)} characters")
    if not channel.definition_kind.endswith("idl"):
        return get_types_from_msg(text, channel.type)
    if not text.startswith(f"{_IDL_SEPARATOR}IDL: "):
        return get_types_from_idl(text)
    types: dict[str, Any] = {}
    for part in text.split(_IDL_SEPARATOR)[1:]:
        types.update(get_types_from_idl(part.split("\n", 1)[1]))
    return types


def _check_standard(name: str, types: Mapping[str, Any], standard: Mapping[str, Any]) -> None:
    """Check that a type has every field of the standard one, and of the same type.

    Raises:
        ValueError: it has not: what reads messages knows the standard ones.
    """
    if name not in types:
        return
    fields = dict(types[name][1])
    for field, kind in standard[name][1]:
        if field not in fields:
            raise ValueError("it lacks fields of the standard one")
        if _plain(fields[field]) != _plain(kind):
            raise ValueError(f"its field {field} is not of the standard one's type")
        for inner in _inner(kind):
            _check_standard(inner, types, standard)


def _plain(field: Any) -> Any:
    """Return what a field is, without the names of numbers and the bounds of sequences."""
    kind, value = field
    if kind == Nodetype.NAME:
        return value
    if kind == Nodetype.BASE:
        return _OWN_NAMES.get(value[0], value[0])
    return (_plain(value[0]), value[1] if kind == Nodetype.ARRAY else None)


class _Sizes:
    """Counts how many values types have at least, each sequence counted as one."""

    def __init__(self, types: Mapping[str, Any]) -> None:
        """Take the definitions of all types that there may be in one."""
        self._types = types
        self._known: dict[str, int] = {}
        self._within: set[str] = set()

    def of(self, name: str) -> int:
        """Return the number of a type.

        Raises:
            ValueError: it is more than a message can be meant to have, or the type is made of
                itself, or of sequences of what takes no bytes, however long they are said to be.
        """
        if name in self._known:
            return self._known[name]
        if name in self._within:
            raise ValueError("it is made of itself")
        self._within.add(name)
        total = sum(self._of_field(field) for _, field in self._types[name][1])
        if total > _MAX_FIELDS:
            raise ValueError(f"it has more than {_MAX_FIELDS} fields")
        self._known[name] = total
        return total

    def _of_field(self, field: Any) -> int:
        kind, value = field
        if kind == Nodetype.BASE:
            return 1
        if kind == Nodetype.NAME:
            return self.of(value)
        inner, length = value
        if kind == Nodetype.ARRAY and inner[0] == Nodetype.BASE and inner[1][0] != "string":
            if length > _MAX_FIXED:
                raise ValueError(f"it has an array of {length} values")
            return 1
        size = self._of_field(inner)
        if not size:
            raise ValueError("it has many of what takes no bytes")
        return size * length if kind == Nodetype.ARRAY else size


def _inner(field: Any) -> list[str]:
    """Return the names of the types that a field is made of."""
    kind, value = field
    if kind == Nodetype.NAME:
        return [value]
    if kind == Nodetype.BASE:
        return []
    return _inner(value[0])
