"""Parameter files as ROS 2 takes them: sections of several nodes, namespaces and wildcards.

A section holds for a node if its name, in which ``/*`` stands for one part and ``/**`` for any
number of them, fits the node's full name. Where several hold, the later one wins, parameter by
parameter. A desk has no nodes: there the file itself says in which namespace its node is.

A section for any node, as ``/**``, may hold what is meant for others. What there is none of this
node's is left alone and told; in a section that names the node it is a mistake.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config.fields import misspelling_of
from anymodal_seg_ros.config.files import read_yaml
from anymodal_seg_ros.config.seg import BlackBoxConfig, RigConfig, SegConfig, seg_config
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import one_line, quote

NODE_NAME = "segmentation_node"
"""Of the node, unless it is given another one when it is started."""

OF_EVERY_NODE = (
    "use_sim_time",
    "start_type_description_service",
    "qos_overrides",
    "diagnostic_updater",
)
"""Parameters that any node may have, by the first part of their names: they are passed over."""

_PARAMETERS = "ros__parameters"

_FIRST_PARTS = tuple(spec.name for spec in fields(SegConfig))
_BELOW = {
    spec.name: f"{group}.{spec.name}"
    for group, section in (("black_box", BlackBoxConfig), ("rig", RigConfig))
    for spec in fields(section)
}
"""Parameters that stand below another one, by what they are called there."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What ROS takes for the name of a node, and for each part of a namespace."""


class NoSectionError(ConfigError):
    """A parameter file holds nothing for the node."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What a parameter file says of one node.

    Attributes:
        config: its parameters.
        namespace: that the node is in, and its relative topics with it, e.g. ``/robot1``.
        node: its name, without the namespace.
        own_sensors: whether it names sensors; else they are those of the demo.
        of_others: a sentence that names what is left alone as other nodes'; empty if nothing is.
    """

    config: SegConfig
    namespace: str
    node: str
    own_sensors: bool = False
    of_others: str = ""


def load_config(path: Path, namespace: str | None = None, node: str = NODE_NAME) -> SegConfig:
    """Read the node's parameters from a ROS 2 parameter file; see :func:`load_node_config`."""
    return load_node_config(path, namespace, node).config


def load_node_config(
    path: Path | Sequence[Path], namespace: str | None = None, node: str = NODE_NAME
) -> NodeConfig:
    """Read what a ROS 2 parameter file says of the segmentation node.

    Args:
        path: of a YAML file with sections such as ``/**:`` or ``segmentation_node:``, nested in
            namespaces or not, each with ``ros__parameters:`` in it; or of several files, of which
            the later ones win.
        namespace: that the node is in; None takes the one that the file speaks of.
        node: name of the node.

    Raises:
        NoSectionError: no section in the file is for the node.
        ConfigError: it cannot be read, more than one node of this name is in it, or a parameter is
            unknown or invalid.
    """
    _check_name("namespace", namespace or "", namespace.strip("/").split("/") if namespace else [])
    _check_name("node", node, [node])
    paths = [path] if isinstance(path, Path) else list(path)
    shown = ", ".join(map(str, paths))
    merged: dict[str, dict[str, Any]] = {}  # as rcl does it: each section in its first place
    for name, parameters in (section for one in paths for section in _read_sections(one)):
        merged.setdefault(name, {}).update(flat_names(parameters))
    names = list(merged)
    full_name, inside = _full_name(names, namespace, node, shown)
    given: dict[str, Any] = {}
    addressed: set[str] = set()
    for name, parameters in merged.items():
        if holds_for(name, full_name):
            given.update(parameters)
            addressed.update(parameters if names_a_node(name) else ())
    others = of_others(given, addressed)
    own = {
        name: value
        for name, value in given.items()
        if name.split(".")[0] not in OF_EVERY_NODE and name not in others
    }
    if not own and not all(holds_for(name, full_name) for name in names):
        raise NoSectionError(_no_section(names, full_name, node, shown))
    try:
        config = seg_config(nest(own))
    except ConfigError as error:
        raise ConfigError(f"{shown}: {error}") from error
    return NodeConfig(config, inside, node, names_sensors(own), left_alone(others))


def of_others(given: Iterable[str], addressed: Collection[str]) -> list[str]:
    """Return which parameters are meant for other nodes than this one.

    They came from where any node is spoken to, a section such as ``/**`` or what a launch file sets
    for a group, and are nothing of this node's, nor nearly.

    Args:
        given: dotted names.
        addressed: those among them that came with the name of the node.
    """
    return [
        name
        for name in given
        if name.split(".")[0] not in (*_FIRST_PARTS, *OF_EVERY_NODE)
        and name not in addressed
        and not misspelling_of(name.split(".")[0], _alike(name))
    ]


def left_alone(others: Iterable[str]) -> str:
    """Say in a line that parameters are not used, being other nodes'; empty if there are none."""
    said = [
        f"{quote(name)} (did you mean {_BELOW[first]}?)" if first in _BELOW else quote(name)
        for name in others
        for first in [name.split(".")[0]]
    ]
    if not said:
        return ""
    return one_line(
        f"not used are {', '.join(said)}: given to any node, as under '/**' or by a SetParameter, "
        "and no parameters of this one"
    )


def names_a_node(section: str) -> bool:
    """Whether a section names one node, in whichever namespace, and not any."""
    return "*" not in section.rsplit("/", 1)[-1]


def _alike(name: str) -> Iterable[str]:
    """Return what a name could be a slip of: a group of a group, a value of a value."""
    groups = ("rig", "black_box")
    return groups if "." in name else [first for first in _FIRST_PARTS if first not in groups]


def names_sensors(flat: Iterable[str]) -> bool:
    """Whether there is a sensor among parameters, given by their dotted names."""
    return any(name.split(".")[:2] == ["rig", "sensors"] for name in flat)


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into nested mappings, in the order they came in.

    Raises:
        ConfigError: a name is both a value and the beginning of another name.
    """
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, leaf = name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
            if not isinstance(branch, dict):
                raise ConfigError(
                    f"unknown parameter {quote(name)}: {quote(group)} is a value, not a group"
                )
        if leaf in branch:
            shown = quote(repr(value))
            raise ConfigError(f"{quote(name)} is {shown}: expected named parameters below it")
        branch[leaf] = value
    return tree


def sections_of(content: Any, above: str = "") -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield the absolute names of a file's sections, wildcards and all, and their parameters.

    Namespaces may be nested: ``robot1: {segmentation_node: {ros__parameters: …}}``.
    """
    if not isinstance(content, Mapping):
        return
    for key, value in content.items():
        part = str(key).strip("/")
        name = f"{above}/{part}" if part else above  # "/" is the namespace of what has none
        if not isinstance(value, Mapping):
            continue
        if isinstance(value.get(_PARAMETERS), Mapping):
            yield name, value[_PARAMETERS]
        yield from sections_of({k: v for k, v in value.items() if k != _PARAMETERS}, name)


def flat_names(tree: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield parameters by dotted names; some are written so in files too."""
    for key, value in tree.items():
        name = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from flat_names(value, name)
        else:
            yield name, value


def holds_for(section: str, full_name: str) -> bool:
    """Whether a section is of a node, as rcl finds it out.

    Args:
        section: its absolute name; ``/*`` stands for one part of a name, ``/**`` for any number.
        full_name: of the node.
    """
    parts = re.split(r"(/\*\*|/\*)", section)
    wild = {"/**": r"(/\w+)*", "/*": r"/\w+"}
    pattern = "".join(wild.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(pattern, full_name) is not None


def _check_name(what: str, given: str, parts: list[str]) -> None:
    """Refuse what ROS would: such a name fits no section, not even those that are for all."""
    if parts != [""] and not all(_NAME.fullmatch(part) for part in parts):
        raise ConfigError(
            f"{what} is '{quote(given)}': expected letters, digits and '_', and no digit first"
        )


def _read_sections(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    content = read_yaml(path, "parameter file", ros=True)
    if not isinstance(content, Mapping):
        raise ConfigError(
            f"{path} must hold node sections such as '/**:' with '{_PARAMETERS}:' in them"
        )
    found = list(sections_of(content))
    if not found:
        raise ConfigError(f"{path} has no '{_PARAMETERS}:' section")
    return found


def _full_name(sections: list[str], namespace: str | None, node: str, path: str) -> tuple[str, str]:
    """Return the node's full name and its namespace."""
    if namespace is not None:
        inside = "/" + namespace.strip("/")
        names = [(f"{inside.rstrip('/')}/{node}", inside)]
    else:
        named = {name: "/" for name in [f"/{node}"] if name in sections}
        named = named or {s: s[: -len(node) - 1] for s in sections if _is_name_of(s, node)}
        if len(named) > 1:
            raise ConfigError(
                f"{path} has sections of {len(named)} nodes, {quote(', '.join(named), 200)}: say "
                "which one with its namespace (--namespace)"
            )
        names = list(named.items()) or [(f"/{node}", "/"), *(_instance(s, node) for s in sections)]
    for full_name, inside in names:
        if any(holds_for(section, full_name) for section in sections):
            return full_name, inside
    raise NoSectionError(_no_section(sections, names[0][0], node, path))


def _is_name_of(section: str, node: str) -> bool:
    return "*" not in section and section.endswith(f"/{node}")


def _instance(section: str, node: str) -> tuple[str, str]:
    """Return a name that a section with wildcards may be meant for, and the namespace it tells."""
    head = section.split("/*")[0]
    one = section.removesuffix("/**").removesuffix("/*").replace("/**", "").replace("/*", "/any")
    return f"{one.removesuffix(f'/{node}')}/{node}", (head if head != section else "") or "/"


def _no_section(sections: list[str], full_name: str, node: str, path: str) -> str:
    shown = quote(", ".join(sections), 200)
    by_last = {section.rsplit("/", 1)[-1]: section for section in sections}
    near = difflib.get_close_matches(node, by_last, 1, cutoff=0.6)
    hint = f"did you mean {full_name} by {quote(by_last[near[0]])}? " if near else ""
    return (
        f"nothing in {path} is for {full_name}, it has {shown}: {hint}Name a section after the "
        "node, or '/**' for all, or say which node is meant (--namespace, --node)"
    )
