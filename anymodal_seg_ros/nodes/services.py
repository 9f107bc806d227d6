"""What an operator may ask of the node: rest, switch a sensor off, forget, write it all down."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.exceptions import InvalidServiceNameException
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import one_line, quote
from anymodal_seg_ros.nodes import stop_limits

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
        save_snapshot: Callable[[], Deed],
    ) -> None:
        """Offer the services.

        Args:
            node: offers them.
            sensors: names in the configuration.
            enable: makes masks or lets them be.
            enable_sensor: takes a sensor into the masks or out of them.
            reset: forgets everything that was seen.
            save_snapshot: gathers what there is, and returns what writes it down in another thread.

        Raises:
            ConfigError: a sensor's name is too long for its service.
        """
        node.create_service(SetBool, "~/enable", functools.partial(_set, enable))
        for name, called in service_names(sensors).items():
            switch = functools.partial(_set, functools.partial(enable_sensor, name))
            try:
                node.create_service(SetBool, f"~/set_sensor_enabled/{called}", switch)
            except InvalidServiceNameException as error:
                raise ConfigError(
                    f"rig.sensors.{quote(name)} has a name of {len(name)} characters, and the full "
                    "name of its service ~/set_sensor_enabled/NAME would be too long: shorten it"
                ) from error
        node.create_service(Trigger, "~/reset", functools.partial(_trigger, reset))
        self._snapshot = _Aside(node, save_snapshot)
        # In a group of its own: the others would wait for the answer. A second request does.
        apart = MutuallyExclusiveCallbackGroup()
        node.create_service(Trigger, "~/save_snapshot", self._snapshot.answer, callback_group=apart)

    def stop(self) -> None:
        """Let what is being written down come to its end, within a limit."""
        self._snapshot.stop()


def service_names(sensors: Iterable[str]) -> dict[str, str]:
    """Return what the service of each sensor is called, by the sensor's name.

    A parameter may be called ``front-left`` or ``1``, a service may not: what cannot stand in its
    name becomes ``_``, and a digit at the beginning gets one in front.
    """
    found: dict[str, str] = {}
    for name in sensors:
        called = re.sub(r"^(?=[0-9])|[^A-Za-z0-9_]+", "_", name)
        while called in found.values():
            called = f"{called}_2"
        found[name] = called
    return found


class _Aside:
    """Does work that waits for a disk in a thread of its own: callbacks and masks go on."""

    def __init__(self, node: Node, prepare: Callable[[], Deed]) -> None:
        self._node, self._prepare = node, prepare
        self._thread: threading.Thread | None = None

    async def answer(self, _: Any, response: Any) -> Any:
        """Answer once it is done; meanwhile the executor serves others."""
        try:
            deed = self._prepare()
        except Exception as error:
            response.message, response.success = one_line(error), False
            return response
        answered: Future[Any] = Future(executor=self._node.executor)
        answered.add_done_callback(lambda _: None)  # wakes the executor
        self._thread = threading.Thread(
            target=lambda: answered.set_result(_answer(deed, response)),
            name="snapshot",
            daemon=True,  # a disk that hangs must not keep the process
        )
        self._thread.start()
        return await answered

    def stop(self) -> None:
        """Wait for the thread, not for ever."""
        if self._thread is not None:
            self._thread.join(stop_limits.SNAPSHOT_S)


def _set(deed: Callable[[bool], str], request: Any, response: Any) -> Any:
    return _answer(lambda: deed(bool(request.data)), response)


def _trigger(deed: Deed, _: Any, response: Any) -> Any:
    return _answer(deed, response)


def _answer(deed: Deed, response: Any) -> Any:
    try:
        response.message, response.success = one_line(deed()), True
    except Exception as error:
        response.message, response.success = one_line(error), False
    return response
