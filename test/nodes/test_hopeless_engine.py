"""The end of a node whose engine is past hope."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from anymodal_seg_ros.nodes.segmentation_node import SegmentationNode
from anymodal_seg_ros.nodes.stop_limits import WORKER_S


@pytest.mark.parametrize(("broken", "limit_s"), [("", WORKER_S), ("the engine hangs", 0.5)])
def test_a_thread_that_is_known_to_hang_is_not_waited_for(broken: str, limit_s: float) -> None:
    """Who supervises the node starts another one, the sooner the better."""
    asked: list[float] = []

    def stop(limit_s: float) -> bool:
        asked.append(limit_s)
        return False

    worker = SimpleNamespace(stop=stop)
    node: Any = SimpleNamespace(
        _inputs=None,
        _clock_watch=None,
        _black_box=None,
        _worker=worker,
        broken=broken,
        get_logger=mock.Mock(),
    )
    SegmentationNode._end(node)
    assert asked == [limit_s] and node._left_alone is worker
