"""The suite: bags, models, timelines and conditions in one versioned YAML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import (
    NODE_NAME,
    NodeConfig,
    SegConfig,
    build,
    choice,
    load_node_config,
    names,
    number,
    read_yaml,
    switch,
    text,
)
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.naive import PIPELINES
from anymodal_seg_ros.evaluation.replay import latency_model, read_timeline
from anymodal_seg_ros.evaluation.scorecard.cases import NAME, Sweep, path_name
from anymodal_seg_ros.evaluation.scorecard.plan import Trial, unique
from anymodal_seg_ros.evaluation.scorecard.replays.job import AUTO, Subject, Truth
from anymodal_seg_ros.faults.timeline import FaultTimeline

VERSION = 1
"""Of the file."""

RIG = "rig.yaml"
"""The parameter file in a bag's own folder, which is taken where none is named."""

MOST_TRIALS = 10_000
"""Bags times models: files that include others, and lists that are crossed, soon ask for more."""

_DEEPEST = 8
"""Includes within includes: more is a circle."""

_MOST_FILES = 200
"""Read for a suite; each may include the next several times."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a suite; bags, models and timelines are all tried with each other."""

    bags: tuple[str, ...] = names("Bags, relative to the suite file; required")
    name: str = text("", "Name in the scorecard; empty for that of the bag")
    condition: str = text("", "Under which the bags were recorded, e.g. night")
    params: tuple[str, ...] = names(
        "Parameter file, or several: the later one wins; empty for rig.yaml in the bag's folder"
    )
    models: tuple[str, ...] = names("Model folders or names; empty for the parameter file's")
    engine: str = text("", "Engine; empty for the parameter file's")
    pipeline: str = choice(PIPELINES, "naive: how most nodes do it, to compare with")
    namespace: str = text("", "That the node is in; empty for the parameter file's")
    node: str = text(NODE_NAME, "Name of the node in the parameter file")
    latency: str = text("none", "How long the node is busy with a mask: none, measured, fixed:MS")
    faults: tuple[str, ...] = names("Fault timelines, each beside the healthy replay")
    recorded_faults: str = text("", "Timeline of faults that the bags were recorded with")
    labels: str = text(AUTO, "Ground truth: auto, none, a topic, or a folder")
    label_map: str = text("", "File with the class of every id")
    agree_with: str = text("", "Another model, whose masks stand in for labels")
    sweep: bool = switch(False, "Try every subset, and every fault on every sensor")
    kinds: tuple[str, ...] = names("Kinds of faults of the sweep; empty for all")
    moments: tuple[float, ...] = (0.4,)
    """When the faults of the sweep begin: shares of the bag's length."""
    fault_seconds: float = number(2.0, 0.1, 3600.0, "How long they last, in s")
    subsets: bool = switch(True, "Whether the sweep tries every subset, too")

    def __post_init__(self) -> None:
        for what, word in (("name", self.name), ("condition", self.condition)):
            if word and not NAME.fullmatch(word):
                raise ConfigError(
                    f"{what} is {word!r}: expected letters, digits, '_', '.' and '-', a letter or "
                    "digit first"
                )
        try:
            latency_model(self.latency)
        except ValueError as error:
            raise ConfigError(f"latency is {self.latency!r}: {error}") from error
        if not all(0.0 <= moment < 1.0 for moment in self.moments):
            raise ConfigError(f"moments is {list(self.moments)}: expected shares from 0 to 1")

    @property
    def tried(self) -> Sweep | None:
        """The sweep; None if there is none."""
        if not self.sweep:
            return None
        return Sweep(self.kinds, self.moments, self.fault_seconds, subsets=self.subsets)


def load_suite(path: Path) -> list[Trial]:
    """Read a suite.

    Keys are ``version``, ``include`` (files whose entries come first), ``defaults`` (for all
    entries, of included files too, where these say nothing) and ``entries``.

    Raises:
        ConfigError: the file cannot be read, or something in it is unknown or impossible; the
            message names the entry, counted from 1.
    """
    found = _entries(path, {}, [])
    if not found:
        raise ConfigError(f"{path} has no entries: there is nothing to evaluate")
    _bound(sum(len(entry.bags) * max(1, len(entry.models)) for _, entry in found), path)
    trials = [trial for folder, entry in found for trial in trials_of(entry, folder)]
    numbered = unique(trial.subject.name for trial in trials)
    return [
        dataclasses.replace(trial, subject=dataclasses.replace(trial.subject, name=name))
        for trial, name in zip(trials, numbered, strict=True)
    ]


def _bound(asked: int, path: Path) -> None:
    if asked > MOST_TRIALS:
        raise ConfigError(
            f"{path} asks for {asked} trials of a bag with a model, those of included files among "
            f"them: expected at most {MOST_TRIALS}"
        )


def _entries(
    path: Path, defaults: Mapping[str, Any], read: list[Path], depth: int = 0
) -> list[tuple[Path, Entry]]:
    """Read a file and those that it includes.

    Args:
        path: of the file.
        defaults: of the file that includes it.
        read: what has been read so far; this one is added.
        depth: how many files include it, one within the other.
    """
    if depth > _DEEPEST:
        raise ConfigError(f"{path} is included by itself, or too deep")
    read.append(path)
    if len(read) > _MOST_FILES:
        raise ConfigError(f"{path} is one file too many: expected at most {_MOST_FILES} in all")
    content = read_yaml(path, "suite")
    keys = ("version", "include", "defaults", "entries")
    if not isinstance(content, Mapping) or content.get("version") != VERSION:
        raise ConfigError(f"{path}: expected 'version: {VERSION}' and {', '.join(keys[1:])}")
    if unknown := sorted(str(key) for key in content if key not in keys):
        raise ConfigError(f"{path}: unknown {unknown[0]}: expected {', '.join(keys)}")
    own = {**defaults, **_mapping(content.get("defaults"), f"{path}: defaults")}
    found: list[tuple[Path, Entry]] = []
    for included in _list(content.get("include"), f"{path}: include"):
        try:
            found += _entries(path.parent / str(included), own, read, depth + 1)
        except ConfigError as error:
            raise ConfigError(f"{path}: include: {error}") from error
    for n, entry in enumerate(_list(content.get("entries"), f"{path}: entries"), start=1):
        values = {**own, **_mapping(entry, f"{path}: entry {n}")}
        try:
            built = entry_of(values)
            if not built.bags:
                raise ConfigError("bags is missing: name at least one")
        except ConfigError as error:
            raise ConfigError(f"{path}: entry {n}: {error}") from error
        found.append((path.parent, built))
    return found


def entry_of(values: Mapping[str, Any]) -> Entry:
    """Read one entry.

    Raises:
        ConfigError: naming the key, its value and what would be right.
    """
    kinds = values.get("kinds")
    if isinstance(kinds, list):  # YAML 1.1 takes a bare off for a boolean
        values = {**values, "kinds": ["off" if kind is False else kind for kind in kinds]}
    if isinstance(params := values.get("params"), str):
        values = {**values, "params": [params] if params else []}
    return build(Entry, values, "")


def trials_of(entry: Entry, folder: Path) -> list[Trial]:
    """Cross the bags, models and timelines of an entry.

    Args:
        entry: with paths relative to ``folder``.
        folder: of the suite.

    Raises:
        ConfigError: a parameter file or a timeline cannot be used.
    """
    found: list[Trial] = []
    for bag in entry.bags:
        path = folder / bag
        base = entry.name or path_name(path.stem if path.is_file() else path.name)
        where = config_of(path, entry, folder)
        config = where.config
        timelines = _timelines(entry, folder, config)
        recorded = FaultTimeline()
        if entry.recorded_faults:
            recorded = read_timeline(folder / entry.recorded_faults, config.rig)
        for model in entry.models or (config.model,):
            name = base if len(entry.models) < 2 else f"{base}-{path_name(Path(model).name)}"
            chosen = _path_or_name(model, folder)
            subject = Subject(
                path,
                name,
                dataclasses.replace(config, model=chosen, engine=entry.engine or config.engine),
                entry.condition,
                where.namespace,
                where.node,
                entry.latency,
                Truth(
                    _path_or_name(entry.labels, folder),
                    folder / entry.label_map if entry.label_map else None,
                    _path_or_name(entry.agree_with, folder),
                ),
                recorded,
                entry.pipeline,
            )
            found.append(Trial(subject, timelines, entry.tried))
    return found


def config_of(bag: Path, entry: Entry, folder: Path) -> NodeConfig:
    """Read the configuration of a bag: the given files, the one in its folder, or the demo's."""
    beside = bag if bag.is_dir() else bag.parent  # a bag may be one file of its folder
    params = [folder / name for name in entry.params] or [beside / RIG]
    namespace = entry.namespace or None
    if not entry.params and not params[0].is_file():
        return NodeConfig(SegConfig(), namespace or "/", entry.node)
    return load_node_config(params, namespace, entry.node)


def _timelines(entry: Entry, folder: Path, config: SegConfig) -> dict[str, FaultTimeline]:
    labels = unique(path_name(Path(path).stem) for path in entry.faults)
    if len(labels) == 1:
        labels = [""]
    read = [read_timeline(folder / path, config.rig) for path in entry.faults]
    return dict(zip(labels, read, strict=True))


def _path_or_name(text: str, folder: Path) -> str:
    """Return a path relative to the suite if there is such a folder, else the text."""
    return str(folder / text) if text and (folder / text).is_dir() else text


def _mapping(content: Any, where: str) -> Mapping[str, Any]:
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where} is {content!r}: expected named entries")
    return content


def _list(content: Any, where: str) -> Sequence[Any]:
    if content is None:
        return []
    if not isinstance(content, list):
        raise ConfigError(f"{where} is {content!r}: expected a list")
    return content
