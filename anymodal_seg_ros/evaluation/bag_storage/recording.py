"""What every kind of bag file has in common: channels, records in order of time, notes."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from anymodal_seg_ros.config import parse_yaml
from anymodal_seg_ros.errors import AnymodalError, ConfigError

MAX_TOPICS = 10_000
"""Of a file: a fleet's robot has some hundreds."""
_USUAL_DEPTH = 10
"""Of a publisher, where nobody says it."""
_MAX_PROFILES = 1 << 16
"""Characters of the profiles of a topic's publishers: some hundreds of them."""


class BagError(AnymodalError):
    """A bag cannot be read or written, or does not hold what is asked for."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic as one publisher, or all of them, recorded it.

    Attributes:
        topic: absolute name; some writers leave out the leading slash.
        type: e.g. ``sensor_msgs/msg/Image``, of ROS 1 too.
        encoding: of the messages: ``cdr``, ``ros1``, or what this package cannot read.
        definition: of the type, as text; '' where the file holds none.
        definition_kind: ``ros2msg``, ``ros2idl``, ``ros1msg``, or something else.
        profiles: what its publishers offered, as recorded: ``offered_qos_profiles``.
    """

    topic: str
    type: str
    encoding: str
    definition: str = ""
    definition_kind: str = ""
    profiles: str = ""

    @property
    def latched(self) -> int:
        """Messages that publishers kept for those who come late (transient local); 0: none."""
        return latched_depth(self.profiles)


Record = tuple[int, Channel, bytes]
"""Log time in nanoseconds since the epoch, channel, the message as it was on the wire."""


class Storage(Protocol):
    """One file of a bag, open for reading."""

    @property
    def notes(self) -> Collection[str]:
        """What was wrong with the file but could be passed over, one line each, a few at most."""
        ...

    @property
    def channels(self) -> Collection[Channel]:
        """Every topic, once for each channel of it that differs."""
        ...

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Log time of the first and of the last message; None if there is none."""
        ...

    def count(self, channel: Channel) -> int:
        """How many messages a channel has, as the file says."""
        ...

    def records(
        self, channels: Collection[Channel], start_ns: int, end_ns: int
    ) -> Iterator[Record]:
        """Yield the messages of some channels in order of log time, ``end_ns`` excluded."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def in_order(sources: Iterable[tuple[int, Iterator[Record]]]) -> Iterator[Record]:
    """Merge records by their times; a source is opened only when its time has come.

    Args:
        sources: a time that none of the source's records is before, and the records in order.
    """
    waiting = deque(sorted(sources, key=lambda source: source[0]))
    heads: list[tuple[int, int, Record, Iterator[Record]]] = []
    opened = 0
    while waiting or heads:
        while waiting and (not heads or waiting[0][0] <= heads[0][0]):
            records = waiting.popleft()[1]
            opened += 1
            if (first := next(records, None)) is not None:
                heapq.heappush(heads, (first[0], opened, first, records))
        if heads:
            _, number, record, records = heads[0]
            yield record
            if (following := next(records, None)) is not None:
                heapq.heapreplace(heads, (following[0], number, following, records))
            else:
                heapq.heappop(heads)


def check_topics_number(path: Path, number: int) -> None:
    """Check that a file does not have more topics than anybody can look through.

    Raises:
        BagError: it has.
    """
    if number > MAX_TOPICS:
        raise BagError(
            f"{path} has more than {MAX_TOPICS} topics, which no robot has: record anew what is "
            "needed of it"
        )


def absolute(topic: str) -> str:
    """Return a recorded name as one on the wire is: with a leading slash, and no empty part."""
    return "/" + "/".join(filter(None, topic.split("/")))


def type_name(name: str) -> str:
    """Return a type's full name: ``sensor_msgs/Image`` is ROS 1's for ``sensor_msgs/msg/Image``."""
    package, slash, kind = name.partition("/")
    return f"{package}/msg/{kind}" if slash and "/" not in kind else name


def latched_depth(profiles: str) -> int:
    """Return how many messages the publishers of a topic kept for those who come late.

    Args:
        profiles: ``offered_qos_profiles`` as recorded: YAML, in the words or the numbers of the
            distribution that recorded. What cannot be read counts for nothing: it is only a hint.
    """
    if "durability" not in profiles or len(profiles) > _MAX_PROFILES:
        return 0
    try:
        content = parse_yaml(profiles, "offered_qos_profiles")
    except ConfigError:
        return 0
    return sum(map(_kept, content)) if isinstance(content, list) else 0


def _kept(profile: Any) -> int:
    if not isinstance(profile, dict) or profile.get("durability") not in (1, "transient_local"):
        return 0
    depth = profile.get("depth")
    # Other nodes' depths are not known to recorders, which write 0 then: players take the default.
    return depth if isinstance(depth, int) and 0 < depth <= 10_000 else _USUAL_DEPTH
