"""Processes of ROS end, whatever their middleware does."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fixtures.ros_graph import TIMEOUT_S

pytestmark = pytest.mark.ros

HELD_BACK = """
import ctypes
from anymodal_seg_ros.nodes import shutdown

class Participant:
    def __del__(self):
        ctypes.PyDLL(None).pause()  # in C, with the interpreter's lock, for ever

shutdown._TEARDOWN_S = 0.5
with shutdown.ros_session([]):
    node = Participant()
    node.itself = node
    del node
print("not reached")
"""
LONG_AFTERWARDS = """
import time
from anymodal_seg_ros.nodes import shutdown

shutdown._TEARDOWN_S = {limit}
with shutdown.ros_session([]):
    pass
time.sleep(2 * {limit})
print("reached")
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def test_a_middleware_that_never_lets_go_does_not_keep_the_process(ros_domain: int) -> None:
    ended = run(HELD_BACK)
    assert ended.returncode == 1
    assert "not reached" not in ended.stdout
    assert "in _shut_down" in ended.stderr, "where it was held back is told"


def test_what_comes_after_ros_may_take_as_long_as_it_likes(ros_domain: int) -> None:
    ended = run(LONG_AFTERWARDS.format(limit=3.0))
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "reached\n")
