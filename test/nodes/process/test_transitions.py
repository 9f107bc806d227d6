"""Requests for transitions, as anybody may send them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from anymodal_seg_ros.nodes.process.transitions import refuse_impossible_transitions


def test_the_name_of_a_transition_is_fit_for_a_log_before_rcl_writes_it_there() -> None:
    labels: list[str] = []

    def answer(request: Any, response: Any) -> Any:
        labels.append(request.transition.label)
        raise RuntimeError("impossible")

    service = SimpleNamespace(srv_name="/a/change_state", callback=answer)
    log = SimpleNamespace(error=lambda words: None)
    node: Any = SimpleNamespace(services=[service], get_logger=lambda: log)
    refuse_impossible_transitions(node)
    for label in ("configure", "\x1b[31m\n[FATAL] all is lost", "x" * 10**6):
        request = SimpleNamespace(transition=SimpleNamespace(label=label))
        assert service.callback(request, SimpleNamespace(success=True)).success is False
    assert labels[:2] == ["configure", "?[31m [FATAL] all is lost"] and len(labels[2]) < 100
