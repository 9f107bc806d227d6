"""Parameters that change while the node runs, and those that wait for the next configure.

A change is checked as the whole configuration is at the start, so what is set can also be run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.node import Node
from rclpy.parameter import Parameter

from anymodal_seg_ros.config import SegConfig, did_you_mean
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.foreign_text import one_line, quote
from anymodal_seg_ros.nodes.parameters import configured, flat, is_own
from anymodal_seg_ros.nodes.process.distribution import before_parameters_are_set

_LIVE = re.compile(
    r"overlay_alpha|lazy"
    r"|rig\.(deadline_s|deadline_max_s|budget_ms|max_rate_hz|content_checks)"
    r"|rig\.sensors\.[^.]+\.(enabled|critical|expected_hz|tolerance_s|checks\..+)"
)


_NUMBERS = Parameter.Type.INTEGER, Parameter.Type.DOUBLE


def is_live(name: str) -> bool:
    """Whether a parameter may change while the node is active."""
    return _LIVE.fullmatch(name) is not None


class UnknownParameterError(ParameterNotDeclaredException):
    """A parameter is to be set that there is not; rclpy answers with the text.

    Args:
        name: of it.
        known: names of parameters.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self._text = one_line(
            f"there is no parameter {quote(name)}: {did_you_mean(name, known)}"
            "'ros2 param list' names all"
        )
        super().__init__(name)

    def __str__(self) -> str:
        return self._text


class LiveParameters:
    """Checks every change of the node's parameters and hands on the configuration they make."""

    def __init__(
        self,
        node: Node,
        config: SegConfig,
        is_active: Callable[[], bool],
        apply: Callable[[SegConfig], None],
    ) -> None:
        """Begin to take changes.

        Args:
            node: has declared all parameters of ``config``.
            config: as it is now.
            is_active: whether masks are being made, so that not everything may change.
            apply: called with the new configuration; what it raises refuses the change.
        """
        self._node = node
        self._config, self._is_active, self._apply = config, is_active, apply
        before_parameters_are_set(node, self._prepared)
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, parameters: Sequence[Any]) -> Any:
        if self._is_active() and any(map(self._changes_clock, parameters)):
            return _refused(
                "use_sim_time cannot change while the node is active: deactivate it first "
                "(ros2 lifecycle set), its clock is chosen anew at activate"
            )
        values = flat(self._config)
        changed = {
            p.name: p.value for p in parameters if is_own(p.name) and values.get(p.name) != p.value
        }
        if not changed:
            return SetParametersResult(successful=True)
        fixed = [name for name in changed if not is_live(name)]
        if fixed and self._is_active():
            return _refused(
                f"{fixed[0]} cannot change while the node is active: deactivate and clean up "
                "first (ros2 lifecycle set), it is read anew at configure"
            )
        try:
            config = configured({**values, **changed})
            self._apply(config)
        except AnymodalError as error:
            return _refused(one_line(error))
        except Exception as error:  # it would end the executor
            return _refused(f"{type(error).__name__}: {one_line(error)}")
        self._config = config
        return SetParametersResult(successful=True)

    def _prepared(self, given: list[Any]) -> list[Any]:
        """Refuse names that nobody has declared, which rclpy leaves out of its own words."""
        for parameter in given:
            if not self._node.has_parameter(parameter.name):
                raise UnknownParameterError(parameter.name, flat(self._config))
        return [self._widened(each) for each in given]

    def _widened(self, parameter: Any) -> Any:
        """Take a whole number for a float, as parameter files do."""
        name, (whole, floating) = parameter.name, _NUMBERS
        if parameter.type_ != whole or not self._node.has_parameter(name):
            return parameter
        if self._node.get_parameter(name).type_ != floating:
            return parameter
        return Parameter(name, floating, float(parameter.value))

    def _changes_clock(self, parameter: Any) -> bool:
        """Whether a parameter sets another time than the node lives in."""
        name = "use_sim_time"
        return bool(
            parameter.name == name and parameter.value != self._node.get_parameter(name).value
        )


def _refused(reason: str) -> Any:
    return SetParametersResult(successful=False, reason=reason)
