"""Fixtures of the tests on real DDS."""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("rclpy") is None:
    collect_ignore_glob = ["test_*.py"]

    def pytest_report_header() -> str:
        return "test/ros is left out: rclpy is not installed (pip install '.[ros]')"

else:
    from fixtures.ros_graph import Graph, RosProcess, StartNode, ros_environment, unused_domain

    from anymodal_seg_ros.nodes.process.shared_memory import remove_dead_segments

NODE = "anymodal_seg_ros.nodes.segmentation_node"


@pytest.fixture(scope="session")
def ros_domain() -> Iterator[int]:
    """A ROS domain of this run's own, set for this process and its children."""
    domain = unused_domain()
    before = dict(os.environ)
    os.environ.update(ros_environment(domain))
    yield domain
    os.environ.clear()
    os.environ.update(before)
    remove_dead_segments()


@pytest.fixture(scope="session")
def graph(ros_domain: int) -> Iterator[Graph]:
    graph = Graph(ros_domain)
    yield graph
    graph.close()


@pytest.fixture(scope="session")
def _names() -> Iterator[str]:
    """Namespaces, so that no node of one test hears another's sensors."""
    return (f"/robot{i}" for i in itertools.count())


@pytest.fixture()
def namespace(_names: Iterator[str]) -> str:
    return next(_names)


@pytest.fixture()
def start_node(
    ros_domain: int, tiny_model: Path, tmp_path: Path, namespace: str
) -> Iterator[StartNode]:
    """Start segmentation nodes in the test's namespace; keyword arguments are parameters.

    Without sensors of their own they have those of the simulator.
    """
    started: list[RosProcess] = []

    def start(*ros_args: str, env: dict[str, str] | None = None, **parameters: Any) -> RosProcess:
        given = {"model": str(tiny_model), "demo": True, **parameters}
        args = ["--ros-args", *ros_args, "-r", f"__ns:={namespace}"]  # the last one wins
        for name, value in given.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            args += ["-p", f"{name.replace('__', '.')}:={text}"]
        process = RosProcess(NODE, args, tmp_path / f"node{len(started)}", env)
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture(scope="session")
def bond_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where processes find ``bond``, for PYTHONPATH."""
    return _compiled("bond", tmp_path_factory)


@pytest.fixture(scope="session")
def event_camera_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where processes find ``event_camera_msgs``, for PYTHONPATH."""
    return _compiled("event_camera_msgs", tmp_path_factory)


@pytest.fixture(scope="session")
def tf2_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where processes find ``tf2_msgs``, for PYTHONPATH."""
    return _compiled("tf2_msgs", tmp_path_factory)


@pytest.fixture(scope="session")
def vision_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where processes find ``vision_msgs``, for PYTHONPATH."""
    return _compiled("vision_msgs", tmp_path_factory)


def _compiled(package: str, folders: pytest.TempPathFactory) -> str:
    """Compile a package that the wheels lack; a full installation has it."""
    from fixtures.message_package import PACKAGES, build_package, lacking

    if importlib.util.find_spec(package):
        return ""
    if reason := lacking():
        pytest.skip(reason)
    path = str(build_package(package, PACKAGES[package], folders.mktemp(package)))
    sys.path.append(path)
    return path
