"""The launch files, read but not run: what they declare, start and import exists.

``test/ros/test_launch.py`` runs them where the real launch libraries are installed.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from pathlib import Path

import pytest
from fixtures.launch_files import LAUNCH, calls, declared, keywords, shared_names

from anymodal_seg_ros.nodes import stop_limits
from anymodal_seg_ros.nodes.process.launch_arguments import interpreter, shared

FILES = sorted(LAUNCH.glob("*.launch.py"))
ARGUMENTS = {
    "faults.launch.py": {
        "timeline",
        "params_file",
        "rig",
        "model",
        "engine",
        "namespace",
        "use_sim_time",
        "log_level",
        "python",
    },
    "replay.launch.py": {
        "bag",
        "params_file",
        "rig",
        "model",
        "engine",
        "namespace",
        "labels",
        "require",
        "baseline",
        "junit",
        "out",
        "rate",
        "player",
        "log_level",
        "python",
    },
    "seg.launch.py": {
        "params_file",
        "rig",
        "demo",
        "model",
        "engine",
        "name",
        "namespace",
        "use_sim_time",
        "autostart",
        "respawn",
        "build_only",
        "log_level",
        "python",
    },
    "sim.launch.py": {
        "sensors",
        "seed",
        "weather",
        "model",
        "engine",
        "params_file",
        "namespace",
        "log_level",
        "python",
    },
}


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def launch_file(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture()
def tree(launch_file: Path) -> ast.Module:
    return ast.parse(launch_file.read_text())


def test_every_launch_file_is_known() -> None:
    assert {path.name for path in FILES} == set(ARGUMENTS)


def test_arguments_are_declared_with_defaults_and_explained(
    launch_file: Path, tree: ast.Module
) -> None:
    own = declared(tree)
    names = shared_names(tree)
    assert {*own, *names} >= ARGUMENTS[launch_file.name]
    assert len(own) + len(names) == len({*own, *names})
    for name, given in own.items():
        assert "default_value" in given, name
        assert "description" in given, name
    assert all(told["description"] for told in shared(*names).values())
    # ros2 itself may run in another interpreter
    assert shared("python")["python"]["default_value"] == interpreter()


def test_what_is_called_alike_is_explained_alike() -> None:
    """Only what a file does without its params_file is its own, and the simulator's rig."""
    own = [(name, file.name) for file in FILES for name in declared(ast.parse(file.read_text()))]
    names = [name for name, _ in own if name not in ("params_file", "rig")]
    assert len(names) == len(set(names))
    assert {file for name, file in own if name == "rig"} == {"sim.launch.py"}


def test_every_file_tells_of_a_misspelt_argument(tree: ast.Module) -> None:
    assert len(list(calls(tree, "tell_misspelt"))) == 1


def test_nodes_run_by_interpreter_and_module(tree: ast.Module) -> None:
    """So that they start in every kind of install, with the libraries of the chosen venv."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    nodes = [*calls(tree, "Node"), *calls(tree, "LifecycleNode")]
    processes = list(calls(tree, "ExecuteProcess"))
    assert nodes or processes
    assert all("package" not in keywords(node) for node in nodes)
    commands = [keywords(node)["arguments"] for node in nodes]
    for command in (keywords(process)["cmd"] for process in processes):
        assert isinstance(command, ast.List)
        commands.append(ast.List(command.elts[1:]))
    for command in commands:
        assert isinstance(command, ast.List)
        flag, module, *_ = command.elts
        assert isinstance(flag, ast.Constant)
        assert flag.value == "-m"
        assert isinstance(module, ast.Name)
        assert importlib.util.find_spec(constants[module.id]) is not None


def test_what_is_imported_from_the_package_exists(tree: ast.Module) -> None:
    own = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("anymodal_seg_ros")
    ]
    assert own
    for node in own:
        module = importlib.import_module(str(node.module))
        for alias in node.names:
            assert hasattr(module, alias.name)


def test_nothing_is_set_for_the_processes_of_others(tree: ast.Module) -> None:
    assert list(calls(tree, "SetEnvironmentVariable")) == []
    started = [*calls(tree, "Node"), *calls(tree, "LifecycleNode"), *calls(tree, "ExecuteProcess")]
    assert all("additional_env" in keywords(call) for call in started)


def test_a_wrong_log_level_is_told_by_every_file_that_starts_a_node(tree: ast.Module) -> None:
    nodes = [*calls(tree, "Node"), *calls(tree, "LifecycleNode")]
    assert len(list(calls(tree, "log_level"))) == bool(nodes)


def test_launch_waits_for_the_node_as_long_as_its_parts_may_take_one_after_the_other() -> None:
    node, *others = calls(ast.parse((LAUNCH / "seg.launch.py").read_text()), "LifecycleNode")
    assert not others
    assert ast.unparse(keywords(node)["sigterm_timeout"]) == "str(stop_limits.WHOLE_S)"
    limits = {name: value for name, value in vars(stop_limits).items() if name.endswith("_S")}
    whole_s = limits.pop("WHOLE_S")
    assert whole_s == sum(limits.values())
    assert min(limits.values()) > 0
    told = (LAUNCH.parent / "docs" / "how-to" / "fault-management.md").read_text()
    assert f'sigterm_timeout="{whole_s:g}"' in told


def test_every_part_that_is_waited_for_has_its_limit_from_there() -> None:
    """A limit of a part's own would not be in the sum."""
    nodes = LAUNCH.parent / "anymodal_seg_ros" / "nodes"
    used = set()
    for file in nodes.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "stop_limits":
                used.add(node.attr)
    assert used == {name for name in vars(stop_limits) if re.fullmatch("[A-Z]+_S", name)} - {
        "WHOLE_S"
    }
