"""The node's life: its states, and how it ends in each of them."""

from __future__ import annotations

import os
import signal
import sys
import threading
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
        assert ("finalized: nothing more is taken" in node.stdout) == (state == "finalized")


@pytest.mark.parametrize("asked", [False, True], ids=["by itself", "asked by a service"])
def test_ends_at_once_while_an_engine_is_tried_out(
    asked: bool, graph: Graph, start_node: StartNode, namespace: str, tmp_path: Path
) -> None:
    """The first start with ``engine: auto`` takes seconds, on a busy machine a minute."""
    (tmp_path / "openvino.py").write_text(
        "import os, time\nprint('loading', file=open(os.environ['ALIVE'], 'w'), flush=True)\n"
        "time.sleep(600)\n"
    )
    os.mkfifo(tmp_path / "alive")
    first = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    env = {"PYTHONPATH": first, "ALIVE": str(tmp_path / "alive")}
    env["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    node = start_node(engine="auto", autostart=not asked, env=env)
    answers: list[bool] = []
    ask = threading.Thread(
        target=lambda: answers.append(graph.change(f"{namespace}/segmentation_node", "configure"))
    )
    if asked:
        ask.start()
    (tmp_path / "alive").open().readline()
    node.send(SIGINT)
    assert node.wait() == 0
    assert node.stderr == ""
    assert "the process was told to end" in node.stdout
    assert "FATAL" not in node.stdout
    if asked:
        ask.join()
        assert answers == [False]


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
