"""The bundled parameter files: each describes a rig that the node would take."""

from __future__ import annotations

from pathlib import Path

import pytest

from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.nodes.launch_arguments import rigs
from anymodal_seg_ros.sensing.geometry.rig_geometry import RigGeometry

CONFIG = Path(__file__).resolve().parents[2] / "config"
FILES = sorted(CONFIG.rglob("*.yaml"))
MODALITIES = {"rgb", "thermal", "depth", "event", "lidar"}


def test_the_launch_argument_knows_every_rig() -> None:
    assert set(rigs().values()) == set((CONFIG / "rigs").glob("*.yaml"))
    assert {"realsense_d435", "zed", "rgb_ouster"} <= set(rigs())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_parameter_file_is_a_rig(path: Path) -> None:
    sensors = load_config(path).rig.sensors
    assert {sensor.modality for sensor in sensors.values()} <= MODALITIES
    RigGeometry(sensors, [name for name, sensor in sensors.items() if sensor.sends_points])


@pytest.mark.parametrize("path", sorted((CONFIG / "rigs").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_bundled_rig_names_drivers_topics_outright_and_its_reference(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert f"rig:={path.stem}" in text
    assert "reference: [" in text, "ROS tools do not keep the order of sensors"
    for sensor in load_config(path).rig.sensors.values():
        assert sensor.topic.startswith("/")
