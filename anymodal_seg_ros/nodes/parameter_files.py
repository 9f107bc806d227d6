"""What ``--params-file`` arguments hold, to say what rcl passes over without a word.

rcl drops a section whose name is not the node's, and fails on an empty list without naming it. The
files are read here only to say so; the parameters themselves come from rcl.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import read_yaml
from anymodal_seg_ros.errors import ConfigError

_PARAMETERS = "ros__parameters"


def given_files(arguments: Sequence[str]) -> list[Path]:
    """Return the parameter files that a command line names."""
    files, in_ros = [], False
    for place, word in enumerate(arguments):
        if word in ("--ros-args", "--"):
            in_ros = word == "--ros-args"
        elif in_ros and word == "--params-file" and place + 1 < len(arguments):
            files.append(Path(arguments[place + 1]))
    return files


def sections(content: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and the parameters of every section of a parameter file.

    Namespaces may be nested: ``robot1: {segmentation_node: {ros__parameters: …}}``.
    """
    if not isinstance(content, Mapping):
        return
    for key, value in content.items():
        if key == _PARAMETERS and isinstance(value, Mapping):
            yield path or "/", value
        elif key != _PARAMETERS:
            yield from sections(value, f"{path}/{str(key).strip('/')}")


def holds_for(section: str, node: str) -> bool:
    """Whether a section is of a node, as rcl sees it.

    Args:
        section: its name; ``*`` stands for one part of a name, ``**`` for any number of them.
        node: full name of the node.
    """
    pattern = ""
    for part in section.strip("/").split("/"):
        if part == "**":
            pattern += "(/[^/]+)*"
        else:
            pattern += "/" + re.escape(part).replace(r"\*", "[^/]+")
    return re.fullmatch(pattern, node) is not None


def unheard_files(arguments: Sequence[str], node: str) -> str:
    """Say which parameter files hold nothing for a node, and why; empty if all do.

    Args:
        arguments: the command line of the node.
        node: its full name.
    """
    said = []
    for path in given_files(arguments):
        try:
            names = [name for name, _ in sections(read_yaml(path, "parameter file", ros=True))]
        except ConfigError:
            continue  # rcl has said so, or knows better
        if not any(holds_for(name, node) for name in names):
            found = ", ".join(repr(name) for name in names) or "none"
            said.append(
                f"the parameter file {path} holds nothing for {node}: its sections are {found}; "
                f"name one of them '/**' or '{node}'"
            )
    return "; ".join(said)


def empty_values(arguments: Sequence[str]) -> str:
    """Name the parameters in the files whose value is an empty list or nothing; empty if none."""
    found = []
    for path in given_files(arguments):
        try:
            content = read_yaml(path, "parameter file", ros=True)
        except ConfigError:
            continue
        for _, parameters in sections(content):
            found += [f"{name} in {path} is {value!r}" for name, value in _empty(parameters, "")]
    return ", ".join(found)


def _empty(parameters: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in parameters.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _empty(value, f"{name}.")
        elif value is None or (isinstance(value, list | Mapping) and not value):
            yield name, value
