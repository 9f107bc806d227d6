"""Where the fault injector listens, and where it publishes what becomes of a sensor's messages."""

from __future__ import annotations

from anymodal_seg_ros.config import NODE_NAME

PREFIX = "faulty"
"""Of the topics, unless another one is chosen."""


def driven_topic(topic: str) -> str:
    """Return the topic of a driver for any node of the namespace.

    ``~/image`` and ``{node}/image`` are ``segmentation_node/image``: another node's would be meant
    where that node resolved them.
    """
    if topic.startswith("~"):
        topic = NODE_NAME + topic[1:]
    return topic.replace("{node}", NODE_NAME)


def faulty_topic(topic: str, prefix: str = PREFIX) -> str:
    """Return the topic behind the injector: ``faulty/rgb/image`` of ``rgb/image``."""
    topic = driven_topic(topic)
    return f"/{prefix}{topic}" if topic.startswith("/") else f"{prefix}/{topic}"
