"""Files for RViz, Foxglove and the diagnostic aggregator: they name topics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CONFIG = Path(__file__).resolve().parents[2] / "config"
NODE = "/segmentation_node"


@pytest.fixture(scope="module")
def published() -> set[str]:
    """Full names of what a node of the usual name publishes."""
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    from anymodal_seg_ros.nodes.outputs import TOPICS

    return {f"{NODE}/{name}" for name in TOPICS} | {"/diagnostics"}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield str(key)
            yield from strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from strings(entry)
    elif isinstance(value, str):
        yield value


def test_rviz_shows_only_what_is_published_and_hears_any_reliability(published: set[str]) -> None:
    content = yaml.safe_load((CONFIG / "rviz" / "segmentation.rviz").read_text(encoding="utf-8"))
    displays = content["Visualization Manager"]["Displays"]
    topics = [display["Topic"] for display in displays if "Topic" in display]
    assert {topic["Value"] for topic in topics} <= published
    assert {topic["Reliability Policy"] for topic in topics} == {"Best Effort"}
    assert len(topics) == 3


def test_foxglove_shows_only_what_is_published_in_panels_that_there_are(
    published: set[str],
) -> None:
    content = json.loads((CONFIG / "foxglove" / "live.json").read_text(encoding="utf-8"))
    named = {match for text in strings(content) for match in re.findall(r"^/[\w/]+", text)}
    assert named
    assert named <= published
    placed = {text for text in strings(content["layout"]) if "!" in text}
    assert placed == set(content["configById"]), "every panel has its place, and its settings"


def test_the_analyzers_take_the_names_of_our_diagnostics() -> None:
    text = (CONFIG / "diagnostics" / "analyzers.yaml").read_text(encoding="utf-8")
    group = yaml.safe_load(text)["/**"]["ros__parameters"]["segmentation"]
    assert group["type"] == "diagnostic_aggregator/AnalyzerGroup"
    taken = {name: entry["contains"][0] for name, entry in group["analyzers"].items()}
    for name in ("segmentation_node", "robot1/segmentation_node"):
        assert taken["sensors"] in f"{name}: sensor rgb"
        assert taken["pipeline"] in f"{name}: pipeline"
    assert "rgb" not in taken["sensors"]
