"""What rcl passes over in parameter files without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from anymodal_seg_ros.nodes.parameter_files import empty_values, holds_for, unheard_files


@pytest.mark.parametrize(
    ("section", "node", "holds"),
    [
        ("/**", "/robot1/front_seg", True),
        ("/**", "/front_seg", True),
        ("front_seg", "/front_seg", True),
        ("front_seg", "/robot1/front_seg", False),
        ("/robot1/front_seg", "/robot1/front_seg", True),
        ("/*/front_seg", "/robot1/front_seg", True),
        ("/*/front_seg", "/a/b/front_seg", False),
        ("/**/front_seg", "/a/b/front_seg", True),
        ("/**/front_seg", "/front_seg", True),
        ("segmentation_node", "/front_seg", False),
        ("front.seg", "/frontxseg", False),
    ],
)
def test_sections_hold_as_rcl_has_it(section: str, node: str, holds: bool) -> None:
    assert holds_for(section, node) is holds


def write(path: Path, text: str) -> list[str]:
    path.write_text(text)
    return ["node", "--ros-args", "--params-file", str(path), "-r", "__node:=front_seg"]


def test_a_file_for_somebody_else_is_named_with_its_sections(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    text = "segmentation_node: {ros__parameters: {model: a}}\nns: {x: {ros__parameters: {}}}\n"
    words = unheard_files(write(path, text), "/front_seg")
    for word in (str(path), "'/segmentation_node'", "'/ns/x'", "/front_seg"):
        assert word in words


def test_a_file_of_ones_own_is_no_news(tmp_path: Path) -> None:
    arguments = write(tmp_path / "rig.yaml", "/**: {ros__parameters: {model: a}}\n")
    assert unheard_files(arguments, "/front_seg") == ""
    assert unheard_files(["node", "rig.yaml"], "/front_seg") == ""


def test_values_without_a_type_are_named(tmp_path: Path) -> None:
    text = "/**: {ros__parameters: {rig: {sensors: {rgb: {registration: {homography: []}}}}, a: 1}}"
    words = empty_values(write(tmp_path / "rig.yaml", text))
    assert "rig.sensors.rgb.registration.homography" in words
    assert "[]" in words
    assert "a in" not in words
