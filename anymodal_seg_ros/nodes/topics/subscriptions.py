"""Subscriptions that ask for what the publishers offer, and count what gets lost on the way.

A best-effort reader matches every driver, but loses from a reliable one what that would have sent
again: most of an image stream where buffers are short. A reliable reader hears nothing of a
best-effort driver. ROS's own ``BEST_AVAILABLE`` chooses once, at subscribing, when the driver may
not run yet. So the graph is looked at now and then, and the topic subscribed to anew when its
publishers change what they offer; until the new subscription hears something the old one stays, so
that nothing is missed in between, and what both hear is taken once.
"""

from __future__ import annotations

import difflib
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind
from rclpy.utilities import get_rmw_implementation_identifier

from anymodal_seg_ros.nodes.process.distribution import HAS_MESSAGE_INFO, OnMessage, subscribe
from anymodal_seg_ros.nodes.topics.offers import of_others, offers_of
from anymodal_seg_ros.nodes.topics.qos_overrides import overrides_named
from anymodal_seg_ros.nodes.topics.topic_facts import (
    LOST_AT_LEAST,
    Offer,
    TopicFacts,
    best_match,
    other_transports,
)
from anymodal_seg_ros.sensing.events.arrays import wants_raw

DEPTH = 5
"""Messages that wait for a callback; as in the sensor data profile."""

WINDOW_S = 5.0
"""Losses and senders are told of the last seconds."""

_HANDOVER_S = 5.0
"""How long a subscription may take to hear what the one before it hears."""

_BEHIND_S = 1.0
"""How long either of the two may be behind the other: what waits for a callback is heard then."""

_ALIKE = 3


class TopicSubscription:
    """One topic, subscribed to as well as its publishers allow.

    Everything is called in the executor's thread.
    """

    def __init__(
        self,
        node: Node,
        kind: Any,
        type_name: str,
        topic: str,
        on_message: OnMessage,
        *,
        latched: bool = False,
        watched: bool = True,
        raw: bool | None = None,
    ) -> None:
        """Subscribe.

        Args:
            node: subscribes.
            kind: class of the messages.
            type_name: of the messages, e.g. ``sensor_msgs/msg/Image``.
            topic: relative, absolute or private name.
            on_message: called with every message, and its info where there is such.
            latched: whether messages from before are of use, as a calibration's.
            watched: count who sends.
            raw: take the bytes that were sent; None for what is best for the type.
        """
        self._node, self._kind, self._type, self._topic = node, kind, type_name, topic
        self._on_message = on_message
        self._latched, self._watched = latched, watched
        self._raw = wants_raw(type_name) if raw is None else raw
        self.name = str(node.resolve_topic_name(topic))
        """The topic's full name, remapped."""
        self._received = self._lost = 0
        self._window: deque[tuple[float, int, int]] = deque()
        self._senders: dict[Any, float] = {}
        self._leaving: Any = None
        self._leaves_s = self._alone_s = 0.0
        """When the one from before goes, and since when nothing comes twice any more."""
        self._both: deque[tuple[str, int]] = deque(maxlen=4 * DEPTH)
        self._asked = best_match(self._fitting(offers_of(node, topic)), latched, (False, False))
        self._subscription = self._subscribe()

    def look(self) -> TopicFacts:
        """Look at the graph, subscribe anew if the publishers have changed, and tell what is."""
        offers = offers_of(self._node, self._topic)
        asked = best_match(self._fitting(offers), self._latched, self._asked)
        now_s = time.monotonic()
        if now_s >= self._leaves_s:
            self._let_go()
        if asked != self._asked:
            self._asked = asked
            self._let_go()
            if not HAS_MESSAGE_INFO:  # messages would come twice, and nothing tells them apart
                self._node.destroy_subscription(self._subscription)
            before, self._subscription = self._subscription, self._subscribe()
            if HAS_MESSAGE_INFO:
                self._leaving, self._leaves_s = before, now_s + _HANDOVER_S
                self._alone_s = self._leaves_s + _BEHIND_S
        profile = self._subscription.qos_profile
        return TopicFacts(
            topic=self.name,
            type=self._type,
            offers=offers,
            senders=sum(now_s - heard_s < WINDOW_S for heard_s in self._senders.values()),
            reliable=profile.reliability == ReliabilityPolicy.RELIABLE,
            latched=profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
            received=self._received,
            lost=self._lost,
            lost_share=self._lost_share(now_s),
            alike=() if offers else self._alike(),
            packed="" if offers else self._packed(),
            middleware=str(get_rmw_implementation_identifier()),
        )

    def destroy(self) -> None:
        """Stop listening."""
        self._let_go()
        self._node.destroy_subscription(self._subscription)

    def _let_go(self) -> None:
        """Do without the subscription from before."""
        if self._leaving is not None:
            self._node.destroy_subscription(self._leaving)
            self._leaving = None

    def _subscribe(self) -> Any:
        reliable, latched = self._asked
        qos = QoSProfile(
            depth=DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        kinds = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, *self._overridden()]
        made: Any = None

        def take(message: Any, info: Mapping[str, Any] | None) -> None:
            now_s = time.monotonic()
            if now_s < self._alone_s and self._is_known(info):
                return
            if self._leaving is not None and made is self._subscription:
                self._leaves_s = min(self._leaves_s, now_s + _BEHIND_S)
            self._take(message, info)

        def count_lost(number: int) -> None:
            if made is self._subscription:
                self._lost += number

        with overrides_named(self._node, self.name, "subscription"):
            made = subscribe(
                self._node,
                self._kind,
                self._topic,
                take,
                count_lost,
                qos,
                QoSOverridingOptions(policy_kinds=kinds),
                raw=self._raw,
            )
        return made

    def _overridden(self) -> list[QoSPolicyKind]:
        """Return what the user has fixed; only that is declared, what is ours may change."""
        prefix = f"qos_overrides.{self.name}.subscription."
        kinds = (QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
        return [kind for kind in kinds if self._node.has_parameter(prefix + kind.name.lower())]

    def _take(self, message: Any, info: Mapping[str, Any] | None) -> None:
        self._received += 1
        if self._watched and info is not None and (sender := info.get("publisher_gid")):
            # Its form differs between distributions, but it can always be written down.
            self._senders[str(sender)] = time.monotonic()
        self._on_message(message, info)

    def _is_known(self, info: Mapping[str, Any] | None) -> bool:
        """Whether the other one of two subscriptions has heard a message already."""
        sent = int((info or {}).get("source_timestamp") or 0)
        message = str((info or {}).get("publisher_gid", "")), sent
        known = sent > 0 and message in self._both
        self._both.append(message)
        return known

    def _lost_share(self, now_s: float) -> float:
        """Return which share of the messages of the last seconds was lost."""
        self._window.append((now_s, self._received, self._lost))
        while now_s - self._window[0][0] > WINDOW_S:
            self._window.popleft()
        self._senders = {k: at for k, at in self._senders.items() if now_s - at < WINDOW_S}
        _, received_before, lost_before = self._window[0]
        lost, received = self._lost - lost_before, self._received - received_before
        return lost / (lost + received) if lost >= LOST_AT_LEAST else 0.0

    def _fitting(self, offers: tuple[Offer, ...]) -> list[Offer]:
        return [offer for offer in offers if offer.type == self._type]

    def _alike(self) -> tuple[str, ...]:
        """Return topics of this type that somebody else publishes, the most alike first."""
        there = self._node.get_topic_names_and_types()
        found = [topic for topic, types in there if self._type in types and topic != self.name]
        published = of_others(self._node, found)
        return tuple(difflib.get_close_matches(self.name, published, n=_ALIKE, cutoff=0.0))

    def _packed(self) -> str:
        """Return a topic that somebody publishes the same pictures on, in another transport."""
        there = {topic for topic, _ in self._node.get_topic_names_and_types()}
        names = other_transports(self.name, self._type)
        return next(iter(of_others(self._node, [name for name in names if name in there])), "")
