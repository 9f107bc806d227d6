"""What the launch files make of their arguments. Without launch in it, so that tests need none."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import did_you_mean, misspelling_of
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.resources import config_dir

_PACKAGE, _SCRIPT = "anymodal_seg_ros", "segmentation_node"

_INTERPRETER = re.compile(
    r"#!(/\S*python[\d.]*)\s|#!/bin/sh\n'''exec' \"?(/[^\"\n]*?python[\d.]*)[\" ]"
)
"""The first line of a script, or, where a path is too long for the kernel, a shell's exec."""

_PATHS = ("model", "require", "baseline", "junit", "out")
"""Options of ``evaluate`` that may begin with ``~``."""

_SHARED = {
    "params_file": "Parameters of the node: your robot's sensors, deadlines, model, engine",
    "rig": "Instead of params_file: name of a bundled rig (config/rigs), or a path",
    "model": "Model folder or name of a bundled model; empty: as the params_file says",
    "engine": "What executes the model; empty: as the params_file says",
    "namespace": "Namespace of the nodes and their topics",
    "use_sim_time": "Take the time from /clock: true or false in any spelling; empty: as the "
    "params_file or a SetParameter around this says",
    "log_level": "debug, info, warn, error or fatal",
    "python": "Interpreter to run the nodes with, e.g. that of a venv with PyTorch; by default the "
    "one that the package was installed for",
}
"""Arguments that several launch files have, with what they are for."""

_LEVELS = ("debug", "info", "warn", "error", "fatal")

_WORDS = {
    True: ("true", "1", "yes", "on"),
    False: ("false", "0", "no", "off"),
}


def boolean(name: str, text: str) -> bool | None:
    """Return what an argument says in any spelling; None if it says nothing.

    Raises:
        ConfigError: it is neither.
    """
    word = text.strip().lower()
    if not word:
        return None
    for value, spellings in _WORDS.items():
        if word in spellings:
            return value
    raise ConfigError(f"{name}:={text} cannot be understood: expected true or false")


def log_level(text: str) -> str:
    """Return what rcl takes as ``--log-level``: a level, or LOGGER:=LEVEL.

    Raises:
        ConfigError: it is none; rcl would tell of a lexer's error in its own sources.
    """
    level = text.rpartition(":=")[2].lower()
    if level not in _LEVELS:
        raise ConfigError(
            f"log_level:={text} cannot be used: {did_you_mean(level, _LEVELS)}expected one of "
            f"{', '.join(_LEVELS)}, or LOGGER:=LEVEL"
        )
    return text


def interpreter() -> str:
    """Return the interpreter that this package was installed for, as ``ros2 run`` would use it.

    ``ros2 launch`` itself runs in the distribution's own, which does not see what is installed in
    the virtual environment that ran colcon.
    """
    prefixes = [Path(text) for text in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    scripts = [prefix / "lib" / _PACKAGE / _SCRIPT for prefix in prefixes if prefix.name]
    found = (_shebang(path) for path in scripts if path.is_file())
    return next((python for python in found if python), sys.executable)


def shared(*names: str) -> dict[str, dict[str, str]]:
    """Return what launch is told of arguments that several launch files have, by their names."""
    defaults = {"log_level": "info", "python": interpreter()}
    return {
        name: {"default_value": defaults.get(name, ""), "description": _SHARED[name]}
        for name in names
    }


def program(name: str, text: str) -> str:
    """Return the path of a program that an argument names, as an absolute path or found on PATH.

    launch itself only writes a traceback where there is none, and ends as if all were well.

    Raises:
        ConfigError: there is none that can be run.
    """
    found = shutil.which(os.path.expanduser(text))
    if found is None:
        raise ConfigError(
            f"{name}:={text} cannot be run: there is no such program; give the path of an "
            "interpreter, as .venv/bin/python"
        )
    return os.path.abspath(found)


def misspelt(given: Mapping[str, str], defaults: Mapping[str, str]) -> list[str]:
    """Return a sentence for each argument that is nearly one of a launch file's.

    launch takes any argument and says nothing. Those of launch files that include this one are
    among them, so only what can hardly be anything else is spoken of.

    Args:
        given: values of all arguments by name.
        defaults: those of the launch file, by the names that it has.
    """
    left = [name for name, default in defaults.items() if given.get(name, default) == default]
    found = []
    for name in sorted(set(given) - set(defaults)):
        if near := misspelling_of(name, left):
            found.append(f"{name}:={given[name]} is not used: did you mean {near}?")
    return found


def tell_misspelt(context: Any, arguments: Iterable[Any], tell: Callable[[str], Any]) -> None:
    """Tell of each argument that was given and is nearly one of a launch file's.

    Args:
        context: of launch.
        arguments: that the launch file declares.
        tell: is given each sentence of :func:`misspelt`.
    """
    defaults = {
        a.name: "".join(part.perform(context) for part in a.default_value) for a in arguments
    }
    for words in misspelt(context.launch_configurations, defaults):
        tell(words)


def rigs() -> dict[str, Path]:
    """Return the parameter files of the bundled rigs by their names."""
    return {path.stem: path for path in sorted((config_dir() / "rigs").glob("*.yaml"))}


def parameter_file(params_file: str, rig: str, demo: bool) -> Path | None:
    """Return the parameter file that the arguments ask for; None for the simulator's sensors.

    Args:
        params_file: path of a file, also relative or from ``~``; empty if not given.
        rig: name of a bundled rig, or path of a file; empty if not given.
        demo: whether the simulator's sensors may stand in for one's own.

    Raises:
        ConfigError: there is no such file, both are given, or nothing is.
    """
    if params_file and rig:
        raise ConfigError(f"params_file:={params_file} and rig:={rig} are both given: give one")
    if params_file:
        return existing_file("params_file", params_file)
    if rig:
        known = rigs()
        if rig in known:
            return known[rig]
        if "/" in rig or rig.endswith((".yaml", ".yml")):
            return existing_file("rig", rig)
        raise ConfigError(
            f"rig:={rig} is no bundled rig: {did_you_mean(rig, known)}there are {', '.join(known)}"
        )
    if demo:
        return None
    raise ConfigError(
        "no sensors are named: give params_file:=PATH with those of your robot, rig:=NAME of "
        f"{', '.join(rigs())}, or demo:=true for the four of the simulator"
    )


def existing_file(name: str, text: str) -> Path:
    """Return the absolute path of a file that an argument names.

    Raises:
        ConfigError: there is none, or the argument is empty.
    """
    if not text:
        raise ConfigError(f"{name} is missing: give {name}:=PATH of a YAML file")
    path = _absolute(name, text)
    if not path.is_file():
        near = did_you_mean(path.name, (p.name for p in _siblings(path))).strip()
        lack = "is a folder, and no file" if path.is_dir() else "does not exist"
        raise ConfigError(f"{name}:={text} cannot be used: {path} {lack}{near and f': {near}'}")
    return path


def replayed(bag: str, params_file: str, rig: str = "") -> tuple[Path, Path]:
    """Return the absolute paths of a bag to play and of the parameter file for it.

    Args:
        bag: its folder or file, also relative or from ``~``.
        params_file: path of a file.
        rig: as for :func:`parameter_file`; both empty for ``rig.yaml`` in the bag's folder.

    Raises:
        ConfigError: there is no such bag or file, or both files are given.
    """
    if not bag:
        raise ConfigError("bag is missing: give bag:=PATH of the bag to play")
    path = _absolute("bag", bag)
    if not path.exists():
        raise ConfigError(f"bag:={bag} cannot be played: there is no bag at {path}")
    if given := (params_file or rig) and parameter_file(params_file, rig, demo=False):
        return path, given
    beside = (path if path.is_dir() else path.parent) / "rig.yaml"
    if not beside.is_file():
        raise ConfigError(
            f"params_file is missing, and there is no {beside}: give params_file:=PATH or "
            f"rig:=NAME; 'anymodal-seg inspect {shlex.quote(str(path))} --init rig.yaml' "
            "proposes one"
        )
    return path, beside


def overrides(**given: str) -> dict[str, Any]:
    """Return the parameters that launch arguments set, without those that say nothing.

    Args:
        given: arguments by the names of their parameters.

    Raises:
        ConfigError: a switch is neither true nor false.
    """
    switches = ("use_sim_time", "autostart", "demo")
    values: dict[str, Any] = {
        name: boolean(name, text) if name in switches else text for name, text in given.items()
    }
    return {name: value for name, value in values.items() if value not in (None, "")}


def evaluate_arguments(bag: Path, params_file: Path, given: Mapping[str, str]) -> list[str]:
    """Return the arguments of ``anymodal-seg`` that score what a running node makes of a bag.

    Args:
        bag: its folder or file.
        params_file: of the node.
        given: options of ``evaluate`` by name; what is empty is left out.
    """
    chosen = []
    for name, text in given.items():
        if text:  # no shell has looked at what follows name:=; of whom nobody knows, ~ stays
            chosen += [f"--{name}", os.path.expanduser(text) if name in _PATHS else text]
    return ["evaluate", str(bag), "--live", "--params", str(params_file), *chosen]


def _absolute(name: str, text: str) -> Path:
    """Return the absolute path that an argument names; a shell has not looked at it.

    Raises:
        ConfigError: it cannot be looked at: no such user, too long, not allowed.
    """
    try:
        path = Path(text).expanduser().absolute()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigError(f"{name}:={quote(text)} cannot be used: {why}") from error
    return path


def _siblings(path: Path) -> list[Path]:
    return list(path.parent.glob("*.yaml")) if path.parent.is_dir() else []


def _shebang(script: Path) -> str:
    """Return the interpreter that a script names; empty if it names none that can be run."""
    with script.open("rb") as file:
        head = file.read(1000).decode("utf-8", "replace")
    named = _INTERPRETER.match(head)
    python = next((path for path in named.groups() if path), "") if named else ""
    return python if os.access(python, os.X_OK) else ""
