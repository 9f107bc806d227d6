"""A lifecycle manager is told that the node lives, by ``bond``, as Nav2's own nodes do it."""

from __future__ import annotations

import importlib
import signal
from typing import Any

import pytest
from fixtures.message_package import python_path
from fixtures.ros_graph import RELIABLE, Graph, StartNode, wait_until

pytestmark = pytest.mark.ros


def test_a_manager_hears_that_the_node_lives_while_it_is_active(
    graph: Graph, start_node: StartNode, namespace: str, bond_path: str
) -> None:
    node = f"{namespace}/front_seg"
    process = start_node("-r", "__node:=front_seg", autostart=False, env=python_path(bond_path))
    heard: list[Any] = []
    status = importlib.import_module("bond.msg").Status
    manager = graph.node.create_subscription(status, f"{namespace}/bond", heard.append, RELIABLE)
    try:
        assert graph.change(node, "configure")
        instances = []
        for _ in range(2):
            assert graph.change(node, "activate")
            before = len(heard)
            wait_until(lambda n=before: len(heard) > n + 2, "word of an active node")
            assert heard[-1].id == "front_seg", "a manager names nodes without their namespace"
            assert heard[-1].active
            instances.append(heard[-1].instance_id)
            assert graph.change(node, "deactivate")
            wait_until(lambda: not heard[-1].active, "word that it is active no more")
            assert heard[-1].instance_id == instances[-1]
        assert instances[0] != instances[1], "the bond of the first one is broken for good"
        assert graph.change(node, "activate")
        wait_until(lambda: heard[-1].active, "word of an active node")
        process.send(signal.SIGTERM)
        wait_until(lambda: not heard[-1].active, "word of a node that is ended")
        assert process.wait() == 0
    finally:
        graph.node.destroy_subscription(manager)
