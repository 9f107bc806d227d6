"""What a node's command line says to itself, beside what it says to ROS."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rclpy.utilities import remove_ros_args

from anymodal_seg_ros.config import read_yaml
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import one_line, quote
from anymodal_seg_ros.nodes.process.parameter_files import given_files


def own_arguments(args: Sequence[str] | None = None) -> list[str]:
    """Return what is left of a command line without its first word and what is meant for ROS.

    Args:
        args: the command line with its program name; None means ``sys.argv``.

    Raises:
        ConfigError: rcl cannot make sense of the rest, such as a parameter file with tabs; or an
            argument is no text.
    """
    given = list(sys.argv if args is None else args)
    for argument in given:
        _check_text(argument)
    try:
        return list(remove_ros_args(given)[1:])
    except RuntimeError as error:  # RCLInvalidROSArgsError, which is not public
        for path in given_files(given):
            read_yaml(path, "parameter file", ros=True)  # names the line, and what is wrong with it
        raise _unusable(error) from error


def _check_text(argument: str) -> None:
    """Refuse what rcl takes no word of: bytes that are no text in the encoding of this process."""
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"the argument {quote(argument)} cannot be read as {sys.getfilesystemencoding()}: "
            "set LANG=C.UTF-8 and write names in UTF-8"
        ) from error


def not_started(error: Exception, given: Sequence[str]) -> ConfigError:
    """Say why ROS does not start: rcl raises the same of its arguments and of what is around it.

    Args:
        error: what ``rclpy.init`` raised.
        given: the command line with its program name.
    """
    try:
        remove_ros_args(list(given))
    except RuntimeError:
        return _unusable(error)
    if type(error).__name__ == "UnknownROSArgsError":  # which is not public
        return _unusable(error)
    return ConfigError(f"ROS cannot be started: {one_line(error)}")


def _unusable(error: Exception) -> ConfigError:
    """Say of ROS arguments that rcl refuses how they are written: rcl speaks of its lexer."""
    return ConfigError(
        f"the ROS arguments cannot be used: {one_line(error)}; write them as --ros-args "
        "--params-file rig.yaml -p model:=rig-nano -r __ns:=/robot1 -r __node:=eyes"
    )
