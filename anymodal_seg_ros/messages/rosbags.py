"""The back end that makes messages of the types that bags are written with."""

from __future__ import annotations

from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from anymodal_seg_ros.messages.definitions import DEFINITIONS
from anymodal_seg_ros.messages.values import Message


def typestore(base: Stores = Stores.ROS2_HUMBLE) -> Typestore:
    """Return a distribution's types, and those that are defined here."""
    store = get_typestore(base)
    for name, text in DEFINITIONS.items():
        if name not in store.fielddefs:
            store.register(get_types_from_msg(text, name))
    return store


TYPES = typestore()
"""The messages that can be written."""


def make(message: Message) -> Any:
    """Turn a message into the object of rosbags; all its fields must be given.

    Arrays are taken as they are, not copied.
    """
    fields = {name: _made(value) for name, value in message.fields.items()}
    return TYPES.types[message.type](**fields)


def _made(value: Any) -> Any:
    if isinstance(value, Message):
        return make(value)
    return [_made(one) for one in value] if isinstance(value, list) else value
