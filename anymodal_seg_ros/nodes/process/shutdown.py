"""Run a node until it is told to stop, then stop without a word on stderr, in every state.

rclpy's own signal handlers shut the context down under a running callback, and a second SIGINT
(launch and Ctrl-C send two) kills the interpreter while it finalises. So: own handlers that only
leave word, the executor in a thread that is joined, and both signals ignored from then on. And a
limit for the middleware, which may wait for ever where it takes itself down.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence

import rclpy
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.nodes import stop_limits
from anymodal_seg_ros.nodes.environment import prepare_process
from anymodal_seg_ros.nodes.process import executor, log_folder
from anymodal_seg_ros.nodes.process.own_arguments import not_started
from anymodal_seg_ros.nodes.process.shared_memory import remove_half_made_ports
from anymodal_seg_ros.streams import fill_closed

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NO_SIGNAL = b"\0"

_STDERR = 2

_PACKAGE = "anymodal_seg_ros"
"""Speaks before there is a node."""

_ABOUT_A_MESSAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What is raised of a message that cannot be; of the middleware it would be a RuntimeError."""

_SAY_AGAIN_S = 5.0


@contextlib.contextmanager
def ros_session(args: Sequence[str] | None = None) -> Iterator[threading.Event]:
    """Initialise rclpy, yield the event that SIGINT and SIGTERM set, shut rclpy down within 10 s.

    Call it in the main thread of a process that ends with it: afterwards both signals stay ignored,
    because they may still come while the interpreter finalises. Nodes are to be destroyed in the
    body, best by a function that keeps no reference to them.

    Args:
        args: the command line with its program name, as ``rclpy.init`` takes it; None means
            ``sys.argv``.

    Raises:
        ConfigError: rclpy cannot make sense of the ROS arguments, or of ROS_DOMAIN_ID and the like.
    """
    fill_closed()  # else a line of the log could be taken for a signal
    stop = threading.Event()
    with _set_by_signals(stop):
        try:
            prepare_process()
            _init(args)
            yield stop
        finally:
            _shut_down()


@contextlib.contextmanager
def _set_by_signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set an event while the body runs.

    Python runs handlers in the main thread, between two instructions. A signal that comes just
    before that thread blocks in ``stop.wait()`` would be handled after the wait, which is never;
    and a handler that sets the event may wait for a lock that the main thread holds. So handlers do
    nothing, and a thread reads from the socket that the interpreter itself writes signals to.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def relay() -> None:
        if reader.recv(1) != _NO_SIGNAL:
            stop.set()

    thread = threading.Thread(target=relay, name="signals")
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    thread.start()
    try:
        yield
    finally:
        _ignore_signals()
        signal.set_wakeup_fd(before)
        writer.send(_NO_SIGNAL)
        thread.join()
        reader.close()
        writer.close()


def _shut_down() -> None:
    """Take down what is left of ROS; what takes too long ends the process, with exit code 1.

    The Fast DDS of PyPI's wheels waits for discovery callbacks in a loop that keeps their lock
    (its time-out overflows where the C++ library has steady clocks only by way of the system's), so
    a process that ends just as another comes or goes would never end. It also holds the
    interpreter, which faulthandler's thread does without.
    """
    _ignore_signals()
    faulthandler.dump_traceback_later(stop_limits.MIDDLEWARE_S, exit=True, file=_STDERR)
    with warnings.catch_warnings():
        # What was ready when the executor ended is a coroutine that nobody awaits any more.
        warnings.simplefilter("ignore", RuntimeWarning)
        # A node hangs together in cycles. Left to the interpreter's finalisation, the last of them,
        # and with them the DDS participant, would go when half of Python is gone already.
        gc.collect()
        rclpy.try_shutdown()
    faulthandler.cancel_dump_traceback_later()


def _init(args: Sequence[str] | None) -> None:
    for port in remove_half_made_ports():
        get_logger(_PACKAGE).warning(
            f"removed {port}, which a process left half made that was killed while it started: "
            "every later one would have waited for it without end"
        )
    why_no_log = log_folder.why_no_log()
    if why_no_log:
        get_logger(_PACKAGE).warning(one_line(why_no_log))
    given = log_folder.with_log(sys.argv if args is None else args, why_no_log)
    try:
        rclpy.init(args=given, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # RCLError and UnknownROSArgsError, which are not public
        raise not_started(error, given) from error


@contextlib.contextmanager
def spinning(node: Node, stop: threading.Event) -> Iterator[None]:
    """Serve a node's callbacks in a thread while the body runs, and join it afterwards.

    A callback that raises sets ``stop``, and its exception is raised again when the body ends. But
    what rclpy's own callbacks raise, of a ``/clock`` before 0 or a parameter of no type, is said
    and costs nothing: anybody may send such a thing.
    """
    serving = executor.MessagesLast()
    serving.add_node(node)
    ended: Future[None] = Future()
    raised: list[BaseException] = []

    def spin() -> None:
        try:
            while not ended.done():
                try:
                    serving.spin_until_future_complete(ended)
                except _ABOUT_A_MESSAGE as error:
                    if not _is_of_rclpy_alone(error):
                        raise
                    words = f"a message or request is refused: {one_line(error)}"
                    node.get_logger().warning(words, throttle_duration_sec=_SAY_AGAIN_S)
        except BaseException as error:
            raised.append(error)
        finally:
            stop.set()

    thread = threading.Thread(target=spin, name="executor")
    thread.start()
    try:
        yield
    finally:
        # Not executor.shutdown() first: it takes the nodes and the guard condition away from under
        # a thread that is about to wait for them, which then waits for ever.
        ended.set_result(None)
        thread.join()
        serving.shutdown()
    if raised:
        raise raised[0]


def _is_of_rclpy_alone(error: Exception) -> bool:
    """Whether nobody's code but rclpy's, and Python's own, had a hand in it below the executor."""
    modules = {
        str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)
    }
    others = {name.partition(".")[0] for name in modules - {__name__, executor.__name__}}
    return "rclpy" in others and others <= {"rclpy", *sys.stdlib_module_names} - {"__main__"}


def run_until_signal(node: Node, stop: threading.Event) -> None:
    """Serve a node's callbacks until ``stop`` is set, then destroy the node."""
    try:
        with spinning(node, stop):
            stop.wait()
    finally:
        _ignore_signals()
        node.destroy_node()


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def fail(name: str, error: AnymodalError) -> int:
    """Log in one line why a process cannot go on, and return its exit code."""
    get_logger(name).fatal(one_line(error))
    return 1
