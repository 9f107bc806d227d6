"""Who publishes a topic, and which topics segmentation nodes make of those of cameras."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from anymodal_seg_ros.nodes.topics.topic_facts import Offer

_EVIDENCE = "/modality_status"
"""What only segmentation nodes publish, below their own name."""


def offers_of(node: Node, topic: str) -> tuple[Offer, ...]:
    """Return the publishers of a topic.

    Args:
        node: looks at the graph.
        topic: relative, absolute or private name.
    """
    return tuple(
        Offer(
            node=f"{end.node_namespace.rstrip('/')}/{end.node_name}",
            type=str(end.topic_type),
            reliable=end.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
            latched=end.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
        )
        for end in node.get_publishers_info_by_topic(topic)
    )


def of_others(node: Node, topics: Iterable[str]) -> list[str]:
    """Return the topics that somebody publishes who is no segmentation node.

    Masks, overlays and points are no cameras, whatever they are remapped to.

    Args:
        node: looks at the graph; what it publishes itself does not count.
        topics: full names.
    """
    ours = {
        topic.removesuffix(_EVIDENCE)
        for topic, _ in node.get_topic_names_and_types()
        if topic.endswith(_EVIDENCE)
    }
    ours.add(node.get_fully_qualified_name())

    def somebody(topic: str) -> bool:
        senders = {offer.node for offer in offers_of(node, topic)}
        # Of a name that is remapped in this node, the other one is looked at: it is only counted.
        return bool(senders - ours) or (not senders and node.count_publishers(topic) > 0)

    return [topic for topic in topics if somebody(topic)]
