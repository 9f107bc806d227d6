"""``vision_msgs/LabelInfo`` from a manifest, with stand-ins where the package is missing."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.nodes.label_info import label_info, label_json

pytestmark = pytest.mark.ros


def test_the_place_of_a_class_is_its_id_in_both_forms() -> None:
    manifest = load_model().manifest
    stand_in = SimpleNamespace(LabelInfo=SimpleNamespace, VisionClass=SimpleNamespace)
    message = label_info(manifest, stand_in)
    named = {entry.class_id: entry.class_name for entry in message.class_map}
    assert named == dict(enumerate(spec.name for spec in manifest.classes))
    assert message.threshold == 0.0
    said = json.loads(label_json(manifest))["class_map"]
    assert {entry["class_id"]: entry["class_name"] for entry in said} == named
    assert tuple(said[0]["color"]) == manifest.classes[0].color
