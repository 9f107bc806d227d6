"""When a message arrived: before it waited for its callback, if the middleware wrote it down."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

NOT_BELIEVED_NS = 5_000_000_000
"""A wait as long as this means that somebody has set the system clock in the meantime."""


def waited_ns(info: Mapping[str, Any] | None, longest_ns: int) -> int:
    """Return how long a message has waited for its callback, 0 where that is not known.

    The middleware stamps with the system clock, which may be set at any time; the pipeline counts
    on a steady one. So only the difference is taken over, as it is at this moment.

    Args:
        info: rclpy's ``MessageInfo``; None in Humble, which has none.
        longest_ns: at most this is returned: a time further back would be a clock that jumped.
    """
    received_ns = int((info or {}).get("received_timestamp") or 0)
    waited = time.time_ns() - received_ns
    return min(waited, longest_ns) if received_ns > 0 and 0 < waited < NOT_BELIEVED_NS else 0
