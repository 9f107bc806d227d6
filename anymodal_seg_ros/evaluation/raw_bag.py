"""Serialised messages of a live graph into a rosbag2 folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rosbags.rosbag2 import StoragePlugin, Writer

from anymodal_seg_ros.messages.rosbags import TYPES
from anymodal_seg_ros.written_files import naming


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One message as it goes over the wire.

    Attributes:
        topic: its full name.
        type: e.g. ``sensor_msgs/msg/Image``.
        time_ns: when it came, nanoseconds since the epoch.
        cdr: the serialised message.
    """

    topic: str
    type: str
    time_ns: int
    cdr: bytes


def write_raw_bag(path: Path, messages: Iterable[RawMessage]) -> list[str]:
    """Write messages into a new bag, in order of time.

    Returns:
        The types whose definition is not known here, whose messages were left out.
    """
    ordered = sorted(messages, key=lambda message: message.time_ns)
    known = [message for message in ordered if message.type in TYPES.types]
    with naming(path), Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as bag:
        connections = {
            topic: bag.add_connection(topic, kind, typestore=TYPES)
            for topic, kind in {message.topic: message.type for message in known}.items()
        }
        for message in known:
            bag.write(connections[message.topic], message.time_ns, message.cdr)
    return sorted({message.type for message in ordered} - {message.type for message in known})
