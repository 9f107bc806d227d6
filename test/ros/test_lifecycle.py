"""The node's life: its states, and how it ends in each of them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from fixtures.ros_graph import Graph, StartNode, wait_until

pytestmark = pytest.mark.ros

SIGINT, SIGTERM = signal.SIGINT, signal.SIGTERM
WAYS_TO_STATE = {
    "unconfigured": [],
    "inactive": ["configure"],
    "active": ["configure", "activate"],
    "finalized": ["shutdown"],
}


@pytest.mark.parametrize("state", WAYS_TO_STATE)
def test_ends_without_a_word_in_every_state(
    state: str, graph: Graph, start_node: StartNode, namespace: str
) -> None:
    signals = {"one": (SIGINT,), "two": (SIGTERM,), "three": (SIGINT, SIGINT)}
    nodes = {n: start_node("-r", f"__node:={n}", autostart=False) for n in signals}
    for name in nodes:
        for transition in WAYS_TO_STATE[state]:
            assert graph.change(f"{namespace}/{name}", transition)
        assert graph.state(f"{namespace}/{name}") == state
    for name, node in nodes.items():
        node.send(*signals[name])
    for node in nodes.values():
        assert node.wait() == 0
        assert node.stderr == ""


def test_starts_by_itself(graph: Graph, start_node: StartNode, namespace: str) -> None:
    process, name = start_node(), f"{namespace}/segmentation_node"
    wait_until(lambda: graph.state(name) == "active", "the active state")
    process.send(SIGTERM, SIGINT)
    assert process.wait() == 0
    assert process.stderr == ""


def test_can_be_driven_round_and_round(graph: Graph, start_node: StartNode, namespace: str) -> None:
    process, name = start_node(autostart=False), f"{namespace}/segmentation_node"
    for _ in range(3):
        for transition, state in (
            ("configure", "inactive"),
            ("activate", "active"),
            ("deactivate", "inactive"),
            ("activate", "active"),
            ("deactivate", "inactive"),
            ("cleanup", "unconfigured"),
        ):
            assert graph.change(name, transition)
            assert graph.state(name) == state
    assert not graph.change(name, "activate"), "unconfigured cannot be activated"
    assert graph.state(name) == "unconfigured"
    assert graph.change(name, "configure"), "and lives on"
    assert process.stderr == ""


def test_configure_fails_in_one_line_and_can_be_tried_again(
    graph: Graph, start_node: StartNode, namespace: str, tmp_path: Path, tiny_model: Path
) -> None:
    folder = tmp_path / "late_model"
    process = start_node(model=folder, autostart=False)
    name = f"{namespace}/segmentation_node"
    assert not graph.change(name, "configure")
    assert graph.state(name) == "unconfigured"
    (line,) = [line for line in process.stdout.splitlines() if "FATAL" in line]
    assert str(folder) in line
    folder.symlink_to(tiny_model)
    assert graph.change(name, "configure")
    assert graph.state(name) == "inactive"
