"""Bytes to messages: by the definitions in the bag, by the standard ones, or by this package's own.

Recorders before Iron store no definitions in sqlite3 files, others garble some of those that nobody
here asks for. So a definition is read only when a message of its type is, and where it is of no
use the standard one is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from anymodal_seg_ros.evaluation.bag_storage.recording import BagError, Channel
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.messages.rosbags import typestore

ENCODINGS = ("cdr", "ros1")
"""Of messages, that can be decoded."""

_MAX_DEFINITION = 1 << 20
_IDL_SEPARATOR = "=" * 80 + "\n"


class Types:
    """Decodes messages of any type whose definition is in the bag, standard or known."""

    def __init__(self) -> None:
        self._standard: dict[str, Typestore] = {}
        self._stores: dict[tuple[str, str, str], Typestore] = {}

    def decode(self, channel: Channel, data: bytes) -> Any:
        """Return a message with its fields; arrays are views on its bytes.

        Raises:
            BagError: the type is not known, or the bytes do not fit it.
        """
        store = self._store(channel)
        try:
            if channel.encoding == "ros1":
                return store.deserialize_ros1(data, channel.type)
            return store.deserialize_cdr(data, channel.type)
        except Exception as error:  # whatever the generated code meets in damaged bytes
            raise BagError(f"data is no {channel.type}: {quote(error, 120)}") from error

    def _store(self, channel: Channel) -> Typestore:
        key = (channel.encoding, channel.type, channel.definition)
        if key not in self._stores:
            self._stores[key] = self._make(channel)
        return self._stores[key]

    def _make(self, channel: Channel) -> Typestore:
        if channel.encoding not in ENCODINGS:
            raise BagError(f"{channel.topic} is encoded as {quote(channel.encoding)}: expected cdr")
        standard = self._standard_store(channel.encoding)
        reason = "the bag holds no definition of it, and it is no standard type"
        try:
            if channel.definition:
                return _defined(channel, standard)
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


def _defined(channel: Channel, standard: Typestore) -> Typestore:
    """Make a store of a type by its own definition, and of what it needs."""
    types = _parsed(channel)
    wanted = _names(types[channel.type])
    usual = standard.fielddefs.get(channel.type)
    if usual is not None and not _names(usual) <= wanted:
        raise ValueError("it lacks fields of the standard one")
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


def _names(definition: Any) -> set[str]:
    return {name for name, _ in definition[1]}


def _inner(field: Any) -> list[str]:
    """Return the names of the types that a field is made of."""
    kind, value = field
    if kind == Nodetype.NAME:
        return [value]
    if kind == Nodetype.BASE:
        return []
    return _inner(value[0])
