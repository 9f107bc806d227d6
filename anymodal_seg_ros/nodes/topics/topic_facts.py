"""What the ROS graph says of a sensor's topic, in words that name the mend. No rclpy in here."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from anymodal_seg_ros.config import MESSAGE_TYPES
from anymodal_seg_ros.config.other_types import mend_of_type

LOST_SHARE = 0.05
"""Share of the messages lost on the way from which on it is told."""

LOST_AT_LEAST = 5
"""Fewer lost messages than this are no pattern."""

_UNKNOWN = "_NODE_NAME_UNKNOWN_"
"""What the graph calls a node whose publisher it knows before its name."""

_TRANSPORTS = ("compressed", "compressedDepth")
_PICTURES = (MESSAGE_TYPES["image"], MESSAGE_TYPES["compressed"])
_TYPE_WORDS = {message: word for word, message in MESSAGE_TYPES.items()}


class Trouble(enum.Enum):
    """What can be wrong with a topic, the worst first; the value is what the console calls it."""

    NO_PUBLISHER = "nobody publishes it"
    ANOTHER_TYPE = "it carries another type"
    ASKS_FOR_MORE = "it is asked for what no publisher offers"
    TWO_PUBLISHERS = "two drivers publish it"
    LOST = "messages are lost on the way"
    UNHEARD = "nothing of it comes"
    NONE = "in order"


@dataclass(frozen=True, slots=True)
class Offer:
    """One publisher of a topic, as the graph knows it.

    Attributes:
        node: full name of its node.
        type: of its messages, e.g. ``sensor_msgs/msg/Image``.
        reliable: whether it sends again what was lost.
        latched: whether it keeps its last messages for those who come later (transient local).
    """

    node: str
    type: str
    reliable: bool
    latched: bool


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as the graph and the middleware know it at one moment.

    Attributes:
        topic: its full name.
        type: of the messages that are subscribed to.
        offers: its publishers, also those of other types.
        senders: how many of them were heard in the last seconds; 0 where that cannot be told.
        reliable: whether it is heard reliably.
        latched: whether it is heard with what was published before (transient local).
        received: messages that came since the subscription was made first.
        lost: messages that the middleware lost on the way since then.
        lost_share: share of the lost ones in the last seconds, 0..1.
        alike: topics of the same type that somebody publishes, the most alike first; looked up
            where nobody publishes this one.
        packed: a topic that somebody publishes with the same pictures in another transport, such
            as ``/compressed`` below this one; looked up where nobody publishes this one.
        middleware: what carries the messages, e.g. ``rmw_fastrtps_cpp``.
    """

    topic: str
    type: str
    offers: tuple[Offer, ...] = ()
    senders: int = 0
    reliable: bool = False
    latched: bool = False
    received: int = 0
    lost: int = 0
    lost_share: float = 0.0
    alike: tuple[str, ...] = ()
    packed: str = ""
    middleware: str = ""

    @property
    def fitting(self) -> tuple[Offer, ...]:
        """The publishers whose messages can be subscribed to."""
        return tuple(offer for offer in self.offers if offer.type == self.type)

    @property
    def trouble(self) -> Trouble:
        """The worst that is wrong now."""
        if not self.offers:
            return Trouble.NO_PUBLISHER
        if not self.fitting:
            return Trouble.ANOTHER_TYPE
        if self._not_offered:
            return Trouble.ASKS_FOR_MORE
        if self._senders > 1:
            return Trouble.TWO_PUBLISHERS
        if self.lost_share >= LOST_SHARE:
            return Trouble.LOST
        if not self.received and not self.lost:
            return Trouble.UNHEARD
        return Trouble.NONE

    @property
    def _not_offered(self) -> str:
        """The policy by which none of the publishers matches; empty where one does.

        Only what a person has fixed can ask for more than there is: see :func:`best_match`. Where
        messages come, the graph does not tell all that is offered.
        """
        if self.received:
            return ""
        if not any(offer.reliable or not self.reliable for offer in self.fitting):
            return "reliability"
        if not any(offer.latched or not self.latched for offer in self.fitting):
            return "durability"
        return ""

    @property
    def _senders(self) -> int:
        """How many send at one time.

        A killed driver stays in the graph for up to 20 s, so only who is heard counts, if known;
        and one that ended and was started again was heard twice, but is in the graph once.
        """
        return min(self.senders or len(self.fitting), len(self.fitting))

    @property
    def words(self) -> str:
        """What is wrong and how to mend it; empty while nothing is."""
        if self.trouble is Trouble.NO_PUBLISHER and self.packed:
            return f"nobody publishes {self.topic}, but {self.packed} is published: take that one"
        if self.trouble is Trouble.NO_PUBLISHER:
            others = f"; published are {', '.join(self.alike)}" if self.alike else ""
            return f"nobody publishes {self.topic}: start the driver, or mend the name{others}"
        if self.trouble is Trouble.ANOTHER_TYPE:
            return f"{self.topic} is published as {self.offers[0].type}: {self._mend_of_type()}"
        if self.trouble is Trouble.ASKS_FOR_MORE:
            policy = self._not_offered
            offered = "best_effort" if policy == "reliability" else "volatile"
            return (
                f"nothing can come on {self.topic}, whose publishers offer {policy} {offered} "
                f"only: mend qos_overrides.{self.topic}.subscription.{policy}"
            )
        if self.trouble is Trouble.TWO_PUBLISHERS:
            nodes = ", ".join(sorted({offer.node for offer in self.fitting}))
            return (
                f"{self._senders} publishers send on {self.topic} ({nodes}): "
                "one sensor is one topic, stop or remap the others"
            )
        if self.trouble is Trouble.LOST:
            return (
                f"{self.lost_share:.0%} of the messages on {self.topic} are lost on the way: "
                f"{self._mend_of_loss()}"
            )
        if self.trouble is Trouble.UNHEARD:
            node = self.fitting[0].node
            who = "somebody" if _UNKNOWN in node else node  # who it is has not come either
            return (
                f"{who} publishes {self.topic}, but nothing of it has come: see "
                f"whether it sends at all ('ros2 topic hz' beside it){self._mend_of_containers()}"
            )
        return ""

    def _mend_of_type(self) -> str:
        if self.type not in _TYPE_WORDS:  # a calibration: it has but one type
            return f"{self.type} is expected, mend the name"
        word = _TYPE_WORDS.get(self.offers[0].type)
        if word is None:
            other = mend_of_type(self.offers[0].type) or "look for another topic of the driver"
            return f"{self.type} is expected, {other}"
        return f"set type: {word}"

    @property
    def _is_fast_dds(self) -> bool:
        return "fastrtps" in self.middleware or "fastdds" in self.middleware

    def _mend_of_containers(self) -> str:
        """Name what keeps messages from a place that the graph reaches."""
        if not self._is_fast_dds:
            return "; if it does, a firewall may be between"
        return (
            "; if it does and either of you is in a container on the host's network, give that "
            "--ipc=host: Fast DDS sends within a machine by /dev/shm"
        )

    def _mend_of_loss(self) -> str:
        if self._is_fast_dds:
            return "start the driver with this package's config/fastdds.xml as its Fast DDS profile"
        return f"give {self.middleware or 'the middleware'} larger receive buffers"


def other_transports(topic: str, type_name: str) -> list[str]:
    """Return what image_transport calls the pictures of a topic in its other transports.

    Args:
        topic: its full name.
        type_name: of its messages; what is neither of the two types of images has no others.
    """
    if type_name not in _PICTURES:
        return []
    above, _, last = topic.rpartition("/")
    packed = last in _TRANSPORTS
    base = above if packed else topic
    names = ([base] if packed else []) + [f"{base}/{name}" for name in _TRANSPORTS]
    return [name for name in names if name != topic]


def best_match(
    offers: Sequence[Offer], latched: bool, before: tuple[bool, bool]
) -> tuple[bool, bool]:
    """Choose how to subscribe: as well as every publisher can, so that all of them match.

    A reader that asks for more than a writer offers hears nothing of it; one that asks for less
    gives away what the writer would have sent again, which is most of an image stream where the
    network is short of buffers.

    Args:
        offers: the publishers whose type fits.
        latched: whether old messages are of use, as those of a calibration.
        before: what to keep while there is no publisher.

    Returns:
        Whether to be reliable, and whether to ask for old messages.
    """
    if not offers:
        return before
    reliable = all(offer.reliable for offer in offers)
    return reliable, latched and reliable and all(offer.latched for offer in offers)
