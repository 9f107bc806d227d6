"""Options that several commands share: whose parameters, in which namespace, how long work takes.

``--params`` is ``--params-file``, as ROS calls it, in every command that reads the node's file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from anymodal_seg_ros.config import NODE_NAME

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Gives a command an option."""


def params_option(says: str) -> Decorator:
    """Return the option ``params``: the node's parameter files.

    Args:
        says: what they are for, and which stand in where none is given.
    """
    return click.option(
        "--params",
        "--params-file",
        "params",
        multiple=True,
        type=click.Path(path_type=Path),
        help=f"The node's parameter file, or several as for the node: the last one wins.{says}",
    )


def latency_option(**more: Any) -> Decorator:
    """Return the option ``latency``; whatever else is given goes to click."""
    return click.option(
        "--latency",
        default="none",
        show_default=True,
        metavar="none|measured|fixed:MS",
        help="How long the node is busy with a mask, in the bag's time: frames are dropped as on a "
        "robot whose network is slower than its cameras. measured: as long as on this machine.",
        **more,
    )


namespace_option: Decorator = click.option(
    "--namespace",
    help="Namespace that the node is in, and its relative topics.  [default: the parameter file's]",
)

node_option: Decorator = click.option(
    "--node",
    default=NODE_NAME,
    show_default=True,
    help="Name of the node in the parameter file, if it was renamed.",
)
