"""The policy for SROS 2 allows the node what it does, and nothing that it does not do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fixtures.ros_graph import CHECKOUT, Graph, StartNode, wait_until

pytestmark = pytest.mark.ros

POLICY = CHECKOUT / "config" / "security" / "policy.xml"
NOT_ALWAYS = {
    *("/clock", "/tf_static", "~/confidence", "~/label_info", "bond"),
    "~/get_type_description",
}
"""Of simulated time; of transforms; of models that say how sure they are; of distributions with
vision_msgs and with bond, and of those after Humble."""


def allowed(namespace: str) -> dict[str, set[str]]:
    """Return the full names that the policy allows a node in a namespace, by what it may do."""
    (profile,) = ElementTree.parse(POLICY).getroot().iter("profile")
    assert profile.attrib == {"ns": "/", "node": "segmentation_node"}
    found: dict[str, set[str]] = {"subscribe": set(), "publish": set(), "reply": set()}
    for group in profile:
        ((deed, verdict),) = group.attrib.items()
        assert verdict == "ALLOW"
        found[deed] |= {str(item.text) for item in group}
    return {
        deed: {_full(name, namespace) for name in names if name not in NOT_ALWAYS}
        | {_full(name, namespace) for name in names & NOT_ALWAYS}
        for deed, names in found.items()
    }


def _full(name: str, namespace: str) -> str:
    if name.startswith("~/"):
        return f"{namespace}/segmentation_node/{name[2:]}"
    return name if name.startswith("/") else f"{namespace}/{name}"


def test_it_names_what_the_node_does(graph: Graph, start_node: StartNode, namespace: str) -> None:
    start_node()
    assert graph.state(f"{namespace}/segmentation_node")
    node = graph.node

    def names(ask: Callable[[str, str], list[tuple[str, list[str]]]]) -> set[str]:
        return {name for name, _ in ask("segmentation_node", namespace)}

    wait_until(lambda: len(names(node.get_subscriber_names_and_types_by_node)) >= 4, "four topics")
    does = {
        "subscribe": names(node.get_subscriber_names_and_types_by_node),
        "publish": names(node.get_publisher_names_and_types_by_node),
        "reply": names(node.get_service_names_and_types_by_node),
    }
    may = allowed(namespace)
    optional = {_full(name, namespace) for name in NOT_ALWAYS}
    for deed, done in does.items():
        assert done - optional <= may[deed], f"the policy forbids to {deed}"
        assert may[deed] - optional <= done, f"the policy allows more than is needed to {deed}"
    assert not names(node.get_client_names_and_types_by_node), "the node asks nobody"


def test_without_a_keystore_nothing_starts_where_security_is_enforced(
    ros_domain: int, tmp_path: Path
) -> None:
    """The node must not fall back to open topics where its keys cannot be read."""
    env = {
        **os.environ,
        "ROS_SECURITY_ENABLE": "true",
        "ROS_SECURITY_STRATEGY": "Enforce",
        "ROS_SECURITY_KEYSTORE": str(tmp_path / "none"),
        "RCUTILS_LOGGING_USE_STDOUT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "anymodal_seg_ros.nodes.segmentation_node"],
        cwd=CHECKOUT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "SECURITY ERROR" in done.stderr or "security" in done.stderr.lower(), done.stderr
