"""No node of ours takes the place of an attribute that rclpy's nodes keep for themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.ros_graph import Graph
from rclpy.lifecycle import LifecycleNode

pytestmark = pytest.mark.ros

NODES = Path(__file__).resolve().parents[2] / "anymodal_seg_ros" / "nodes"


def assigned(path: Path) -> Iterator[str]:
    """Yield what the nodes in a file assign to themselves: ``Class.attribute``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and {"Node", "LifecycleNode", "GivenParameters"} & {
            base.id for base in node.bases if isinstance(base, ast.Name)
        }:
            for target in ast.walk(node):
                if (
                    isinstance(target, ast.Attribute)
                    and isinstance(target.ctx, ast.Store)
                    and isinstance(target.value, ast.Name)
                    and target.value.id == "self"
                ):
                    yield f"{node.name}.{target.attr}"


def test_attributes_of_rclpy_are_left_alone(graph: Graph) -> None:
    """A list of timers of our own, called as rclpy's is, switched every other timer off."""
    plain = LifecycleNode("plain", context=graph.context)
    theirs = set(dir(plain))
    plain.destroy_node()
    found = [name for path in sorted(NODES.rglob("*.py")) for name in assigned(path)]
    assert "SegmentationNode._own_timers" in found, "the nodes are found"
    assert [name for name in found if name.split(".")[1] in theirs] == []
