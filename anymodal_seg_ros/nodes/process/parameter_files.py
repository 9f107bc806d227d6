"""What ``--params-file`` arguments hold, to say what rcl passes over without a word.

rcl drops a section whose name is not the node's, and does not tell from which one a parameter came.
The files are read here only for that; the parameters themselves come from rcl.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import flat_names, holds_for, names_a_node, read_yaml, sections_of
from anymodal_seg_ros.errors import ConfigError

_TO_A_NODE = re.compile(r"[^:=]+:(?P<parameter>[^:=]+):=")
"""``-p NODE:NAME:=VALUE``"""

Sections = Mapping[Path, Sequence[tuple[str, Mapping[Any, Any]]]]
"""The sections of parameter files, each with its name and parameters, by file."""


def given_files(arguments: Sequence[str]) -> list[Path]:
    """Return the parameter files that a command line names."""
    return [Path(word) for flag, word in _ros_arguments(arguments) if flag == "--params-file"]


def _ros_arguments(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each word that is meant for ROS, with the one after it."""
    in_ros = False
    for word, after in itertools.pairwise(arguments):
        if word in ("--ros-args", "--"):
            in_ros = word == "--ros-args"
        elif in_ros:
            yield word, after


def given_sections(arguments: Sequence[str]) -> Sections:
    """Return the sections of the parameter files that a command line names, each file read once.

    One that cannot be read is left out: rcl has said so, or knows better.
    """
    found: dict[Path, list[tuple[str, Mapping[Any, Any]]]] = {}
    for path in given_files(arguments):
        with contextlib.suppress(ConfigError):
            found[path] = list(sections_of(read_yaml(path, "parameter file", ros=True)))
    return found


def addressed_parameters(arguments: Sequence[str], files: Sections, node: str) -> set[str]:
    """Return the dotted names of the parameters that a command line gives to a node by its name.

    Others, as below ``/**`` or by ``-p NAME:=VALUE``, may be meant for any node.

    Args:
        arguments: the command line of the node.
        files: what :func:`given_sections` returns for it.
        node: its full name.
    """
    found = {
        given["parameter"]
        for flag, word in _ros_arguments(arguments)
        if flag in ("-p", "--param") and (given := _TO_A_NODE.match(word))
    }
    for name, parameters in itertools.chain.from_iterable(files.values()):
        if names_a_node(name) and holds_for(name, node):
            found.update(key for key, _ in flat_names(parameters))
    return found


def unheard_files(files: Sections, node: str) -> str:
    """Say which parameter files hold nothing for a node, and why; empty if all do.

    Args:
        files: what :func:`given_sections` returns.
        node: its full name.
    """
    said = []
    for path, sections in files.items():
        names = [name for name, _ in sections]
        if not any(holds_for(name, node) for name in names):
            found = ", ".join(repr(name) for name in names) or "none"
            said.append(
                f"the parameter file {path} holds nothing for {node}: its sections are {found}; "
                f"name one of them '/**' or '{node}'"
            )
    return "; ".join(said)
