"""The layout for Foxglove names what a bag of results really holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.scenes import ENCODINGS, scene

from anymodal_seg_ros.config import SegConfig
from anymodal_seg_ros.evaluation.bag_writer import ImageBagWriter
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.replay import absolute_topic
from anymodal_seg_ros.evaluation.scorecard.cases import HEALTHY, Case
from anymodal_seg_ros.evaluation.scorecard.replays.job import Subject
from anymodal_seg_ros.evaluation.scorecard.replays.result_bag import write_result_bag
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.resources import config_dir
from anymodal_seg_ros.simulation.rigs import rig_by_name

LAYOUT = config_dir() / "foxglove" / "evaluation.json"
STATUS = re.compile(r'(.+)\.status\[:\]\{name=="(\w+)"\}\.values\[:\]\{key=="(\w+)"\}\.value')


@pytest.fixture(scope="module")
def layout() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(LAYOUT.read_text())
    return content


@pytest.fixture(scope="module")
def results(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a bag with the topics that ``simulate bag`` writes."""
    place, rig = tmp_path_factory.mktemp("results"), SegConfig().rig
    start, size = 1_700_000_000_000_000_000, (24, 32)
    with ImageBagWriter(place / "drive") as bag:
        for number in range(10):
            stamp = start + number * 33_000_000
            for name, sensor in rig.sensors.items():
                pixels = scene(sensor.modality, number, *size)
                image = Image(pixels, ENCODINGS[sensor.modality])
                bag.write(absolute_topic(sensor.topic), image, stamp, stamp, name)
    config = SegConfig(model=str(tiny_model), rig=rig)
    out = place / "results"
    assert write_result_bag(Subject(place / "drive", "drive", config), Case(HEALTHY), out) > 0
    return out


def panels(layout: Any) -> Iterator[str]:
    """Yield the panels that are shown."""
    if isinstance(layout, str):
        yield layout
        return
    assert set(layout) == {"direction", "first", "second", "splitPercentage"}
    yield from panels(layout["first"])
    yield from panels(layout["second"])


def test_the_ids_in_the_masks_have_names_for_who_comes_late(
    results: Path, tiny_model: Path
) -> None:
    topic = "/segmentation_node/label_info"
    with Bag(results) as bag:
        assert bag.latched(topic) == 1
        first = next(iter(bag.messages([topic, "/segmentation_node/mask"])))
        assert first.topic == topic, "before any mask"
        named = {entry.class_id: entry.class_name for entry in bag.decode(first).class_map}
    classes = load_model(str(tiny_model)).manifest.classes
    assert named == dict(enumerate(spec.name for spec in classes))


def test_every_panel_is_shown_once_and_configured(layout: dict[str, Any]) -> None:
    shown = list(panels(layout["layout"]))
    assert sorted(shown) == sorted(layout["configById"])
    assert len(set(shown)) == len(shown)


def test_topics_are_those_of_the_bag_or_of_the_simulated_rig(
    layout: dict[str, Any], results: Path
) -> None:
    named = set()
    for panel in layout["configById"].values():
        named |= set(panel.get("imageMode", {}).values())
        named |= {panel["topicToRender"]} if "topicToRender" in panel else set()
        named |= {path["value"].split(".")[0] for path in panel.get("paths", ())}
    with Bag(results) as bag:
        there = set(bag.topics)
    simulated = {
        f"/{sensor.name}/{what}"
        for sensor in rig_by_name("aligned")
        for what in ("image", "camera_info", "labels")
    }
    assert named <= there | simulated
    assert {name for name in named if name.startswith("/segmentation_node")} <= there
    assert {f"/{name}/image" for name in ("rgb", "thermal", "depth", "events")} <= there & named


def test_paths_lead_to_a_value(layout: dict[str, Any], results: Path) -> None:
    paths = [
        path["value"] for panel in layout["configById"].values() for path in panel.get("paths", ())
    ]
    found = []
    for path in paths:
        match = STATUS.fullmatch(path)
        assert match is not None, path
        found.append(match.groups())
    assert {key for _, _, key in found} == {"state", "contribution"}
    with Bag(results) as bag:
        messages = [bag.decode(m) for m in bag.messages([found[0][0]])]
    said = {s.name: {v.key for v in s.values} for message in messages for s in message.status}
    assert {name for _, name, key in found if key == "state"} <= set(said)
    assert all("state" in said[name] for _, name, _ in found)
