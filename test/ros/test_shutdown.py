"""Processes of ROS end, whatever their middleware does."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fixtures.ros_graph import TIMEOUT_S

from anymodal_seg_ros.nodes.process.shutdown import _is_of_rclpy_alone

pytestmark = pytest.mark.ros

HELD_BACK = """
import ctypes, gc
from anymodal_seg_ros.nodes import stop_limits
from anymodal_seg_ros.nodes.process import shutdown

class Participant:
    def __del__(self):
        ctypes.PyDLL(None).pause()  # in C, with the interpreter's lock, for ever

stop_limits.MIDDLEWARE_S = 0.5
gc.disable()  # or chance decides when it goes
with shutdown.ros_session([]):
    node = Participant()
    node.itself = node
    del node
print("not reached")
"""
LONG_AFTERWARDS = """
import time
from anymodal_seg_ros.nodes import stop_limits
from anymodal_seg_ros.nodes.process import shutdown

stop_limits.MIDDLEWARE_S = {limit}
with shutdown.ros_session([]):
    pass
time.sleep(2 * {limit})
print("reached")
"""


IMPOSSIBLE = """
import threading, time
import rclpy
from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter as Given
from rosgraph_msgs.msg import Clock
from anymodal_seg_ros.nodes.process.shutdown import ros_session, spinning

def until(holds):
    end = time.monotonic() + 60.0
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)

with ros_session([]) as stop:
    node = rclpy.create_node("a", parameter_overrides=[Given("use_sim_time", value=True)])
    other = rclpy.create_node("b")
    clock = other.create_publisher(Clock, "/clock", 10)
    sets = other.create_client(SetParameters, "/a/set_parameters")
    gets = other.create_client(GetParameters, "/a/get_parameters")
    with spinning(node, stop), spinning(other, threading.Event()):
        until(lambda: clock.get_subscription_count() and sets.service_is_ready())
        until(gets.service_is_ready)
        clock.publish(Clock(clock=Time(sec=-5)))
        for kind in (10, 200):
            wrong = Parameter(name="use_sim_time", value=ParameterValue(type=kind))
            sets.call_async(SetParameters.Request(parameters=[wrong]))

        def goes_on():
            clock.publish(Clock(clock=Time(sec=7)))
            return node.get_clock().now().nanoseconds == 7 * 10**9

        until(goes_on)
        answer = gets.call_async(GetParameters.Request(names=["use_sim_time"]))
        until(answer.done)
        assert not stop.is_set()
    node.destroy_node()
    other.destroy_node()
print("reached")
"""


def test_no_time_and_no_parameter_that_cannot_be_ends_a_node(ros_domain: int) -> None:
    """Anybody can publish on /clock and ask for parameters; rclpy raises in its own callbacks."""
    ended = run(IMPOSSIBLE)
    assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (0, ["reached"]), ended.stderr
    said = ended.stdout + ended.stderr
    assert "is refused: " in said and "Traceback" not in said


def test_what_a_callback_of_ours_raises_ends_the_node() -> None:
    def raised(code: str, name: str) -> Exception:
        """What a function of a module of that name raises."""
        scope: dict[str, object] = {"__name__": name}
        exec(code, scope)
        try:
            scope["f"]()  # type: ignore[operator]
        except ValueError as error:
            return error.with_traceback(error.__traceback__.tb_next)  # type: ignore[union-attr]
        raise AssertionError

    code = "import enum\ndef f(): enum.Enum('E', 'a')('b')"
    assert _is_of_rclpy_alone(raised(code, "rclpy.parameter"))
    assert not _is_of_rclpy_alone(raised(code, "anymodal_seg_ros.nodes.inputs"))
    assert not _is_of_rclpy_alone(raised(code, "__main__"))


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
