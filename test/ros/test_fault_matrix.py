"""Some of the fault matrix, and half a minute of the soak: the whole of both are programs.

benchmarks/fault_matrix.py and benchmarks/soak_ros.py; docs/reliability tells what they found.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from fixtures.fault_cases import Case, run
from fixtures.robot import Robot
from fixtures.ros_graph import TIMEOUT_S, Graph

from benchmarks import fault_matrix, soak_ros

pytestmark = pytest.mark.ros

CASES = [
    Case("rgb", "killed", "steady"),
    Case("depth", "stuck", "recovery"),
    Case("thermal", "hostile encoding", "steady"),
    Case("events", "stamps + 1 h", "steady"),
    Case("node", "engine returns NaN", "steady"),
    Case("node", "disk full", "steady"),
    Case("node", "model replaced", "steady"),
]
SUBSETS = [
    frozenset({"rgb", "events", "depth", "thermal"}),
    frozenset({"events"}),
    frozenset({"rgb", "depth"}),
    frozenset({"rgb", "events", "depth", "thermal"}),
]


@pytest.fixture(scope="module")
def robot(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    """One robot for all of them: each leaves it as it was."""
    with Robot(graph, "/matrix", tmp_path_factory.mktemp("robot")) as robot:
        for sensor in robot.sensors:
            robot.start_camera(sensor)
        robot.start_node()
        assert robot.wait_well(TIMEOUT_S), robot.seen.words
        yield robot


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_masks_go_on_and_the_states_are_right(robot: Robot, case: Case) -> None:
    outcome = run(robot, case, patience_s=TIMEOUT_S)
    assert not outcome.failed, outcome


def test_from_subset_to_subset(robot: Robot) -> None:
    assert robot.wait_well(TIMEOUT_S)
    for before, after in pairwise(SUBSETS):
        found = fault_matrix.go(robot, before, after)
        assert not found["failed"], (before, after, found)


def test_nothing_grows_and_every_message_is_accounted_for(robot: Robot) -> None:
    assert robot.wait_well(TIMEOUT_S)
    found = soak_ros.soak(robot, seconds=20.0, seed=3, every_s=3.0)
    assert not soak_ros.judge(found), found["faults"]


def test_the_walk_takes_every_transition_once() -> None:
    way = fault_matrix.walk()
    steps = list(pairwise(way))
    assert len(steps) == len(set(steps)) == 15 * 14
