"""What an operator may ask of the node: rest, switch a sensor off, forget, write it all down."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from anymodal_seg_ros.foreign_text import one_line

Deed = Callable[[], str]
"""Does something and says what in one line; an exception says why it could not."""


class NodeServices:
    """``~/enable``, ``~/set_sensor_enabled/NAME``, ``~/reset`` and ``~/save_snapshot``.

    No service ever raises: it answers ``success: false`` with the reason.
    """

    def __init__(
        self,
        node: Node,
        sensors: Iterable[str],
        *,
        enable: Callable[[bool], str],
        enable_sensor: Callable[[str, bool], str],
        reset: Deed,
        save_snapshot: Deed,
    ) -> None:
        """Offer the services.

        Args:
            node: offers them.
            sensors: names in the configuration.
            enable: makes masks or lets them be.
            enable_sensor: takes a sensor into the masks or out of them.
            reset: forgets everything that was seen.
            save_snapshot: writes down what there is.
        """
        node.create_service(SetBool, "~/enable", functools.partial(_set, enable))
        for name in sensors:
            node.create_service(
                SetBool,
                f"~/set_sensor_enabled/{name}",
                functools.partial(_set, functools.partial(enable_sensor, name)),
            )
        node.create_service(Trigger, "~/reset", functools.partial(_trigger, reset))
        node.create_service(Trigger, "~/save_snapshot", functools.partial(_trigger, save_snapshot))


def _set(deed: Callable[[bool], str], request: Any, response: Any) -> Any:
    return _answer(lambda: deed(bool(request.data)), response)


def _trigger(deed: Deed, _: Any, response: Any) -> Any:
    return _answer(deed, response)


def _answer(deed: Deed, response: Any) -> Any:
    try:
        response.message, response.success = deed(), True
    except Exception as error:
        response.message, response.success = one_line(error), False
    return response
