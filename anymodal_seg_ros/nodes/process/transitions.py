"""What rclpy's lifecycle nodes lack: word of what went wrong, and a no to what cannot be."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.foreign_text import block, one_line, quote
from anymodal_seg_ros.inference.runtimes.loading import GivenUpError

N = TypeVar("N", bound=LifecycleNode)
Transition = Callable[[N, LifecycleState], TransitionCallbackReturn]


def told(transition: Transition[N]) -> Transition[N]:
    """Log what a transition callback raises, which rclpy would drop without a word.

    An error of this package is the user's to mend: one line, and the transition fails. Anything
    else is a fault of the program: its traceback, and the node goes through error processing.
    What was given up, because the process was told to end, is neither.
    """

    @functools.wraps(transition)
    def wrapped(node: N, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except GivenUpError as error:
            node.get_logger().info(str(error))
            return TransitionCallbackReturn.FAILURE
        except AnymodalError as error:
            node.get_logger().fatal(one_line(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:
            node.get_logger().fatal(f"{transition.__name__} failed:{block(traceback.format_exc())}")
            return TransitionCallbackReturn.ERROR

    return wrapped


def refuse_impossible_transitions(node: LifecycleNode) -> None:
    """Answer a request for an impossible transition with no.

    In Humble and Jazzy it raises out of the executor instead, and so would end the node. And rcl
    logs the name of a transition that it does not know as it came.
    """
    (service,) = (s for s in node.services if s.srv_name.endswith("/change_state"))
    answer = service.callback

    def answer_or_refuse(request: Any, response: Any) -> Any:
        request.transition.label = quote(request.transition.label)
        try:
            return answer(request, response)
        except RuntimeError as error:  # RCLError, which is not public
            node.get_logger().error(f"transition refused: {one_line(error)}")
            response.success = False
            return response

    service.callback = answer_or_refuse
