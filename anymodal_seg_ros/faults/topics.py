"""Where the fault injector publishes what becomes of a sensor's messages."""

from __future__ import annotations

PREFIX = "faulty"
"""Of the topics, unless another one is chosen."""


def faulty_topic(topic: str, prefix: str = PREFIX) -> str:
    """Return the topic behind the injector: ``faulty/rgb/image`` of ``rgb/image``."""
    return f"/{prefix}{topic}" if topic.startswith("/") else f"{prefix}/{topic}"
