"""Parameter files in the forms that ROS takes them in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from anymodal_seg_ros.config import SegConfig, holds_for, load_config, load_node_config, read_yaml
from anymodal_seg_ros.errors import ConfigError

FRONT = "rig: {sensors: {front: {topic: front/image, modality: rgb}}}"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "namespace"),
    [
        (f"/**:\n  ros__parameters:\n    {FRONT}\n", "/"),
        (f"'**':\n  ros__parameters:\n    {FRONT}\n", "/"),
        (f"/*:\n  ros__parameters:\n    {FRONT}\n", "/"),
        (f"segmentation_node:\n  ros__parameters:\n    {FRONT}\n", "/"),
        (f"/segmentation_node:\n  ros__parameters:\n    {FRONT}\n", "/"),
        (f"/:\n  segmentation_node:\n    ros__parameters:\n      {FRONT}\n", "/"),
        (f"/robot1/segmentation_node:\n  ros__parameters:\n    {FRONT}\n", "/robot1"),
        (f"robot1/segmentation_node:\n  ros__parameters:\n    {FRONT}\n", "/robot1"),
        (f"a:\n  b:\n    segmentation_node:\n      ros__parameters:\n        {FRONT}\n", "/a/b"),
        (f"/robot1/**:\n  ros__parameters:\n    {FRONT}\n", "/robot1"),
        (f"robot1:\n  '*':\n    ros__parameters:\n      {FRONT}\n", "/robot1"),
        (f"/**/segmentation_node:\n  ros__parameters:\n    {FRONT}\n", "/"),
        (f"/*/segmentation_node:\n  ros__parameters:\n    {FRONT}\n", "/"),
        (
            "/segmentation_node:\n  ros__parameters:\n    start_type_description_service: true\n"
            "    use_sim_time: false\n    qos_overrides: {/clock: {subscription: {depth: 1}}}\n"
            f"    diagnostic_updater: {{period: 1.0}}\n    {FRONT}\n",
            "/",
        ),
        (
            "/**:\n  ros__parameters:\n    rig.sensors.front.topic: front/image\n"
            "    rig.sensors.front: {modality: rgb}\n",
            "/",
        ),
        (
            "camera_driver:\n  ros__parameters: {fps: 30}\n/**:\n  ros__parameters:\n"
            f"    use_sim_time: true\nsegmentation_node:\n  ros__parameters:\n    {FRONT}\n",
            "/",
        ),
    ],
)
def test_the_section_of_the_node_is_found(tmp_path: Path, text: str, namespace: str) -> None:
    found = load_node_config(written(tmp_path, text))
    assert list(found.config.rig.sensors) == ["front"]
    assert (found.namespace, found.node) == (namespace, "segmentation_node")


def test_of_several_files_the_later_one_wins_in_the_place_of_its_section(tmp_path: Path) -> None:
    """As rcl merges them: ``/**`` stands first and goes on giving way to the node's own section."""
    files = [tmp_path / "base.yaml", tmp_path / "site.yaml"]
    files[0].write_text(
        "/**: {ros__parameters: {engine: torch, lazy: false}}\n"
        f"/segmentation_node: {{ros__parameters: {{engine: openvino, {FRONT}}}}}\n"
    )
    files[1].write_text("/**: {ros__parameters: {engine: auto, lazy: true, model: rig-b0}}\n")
    found = load_node_config(files)
    assert (found.config.engine, found.config.lazy) == ("openvino", True)
    assert (found.config.model, found.own_sensors) == ("rig-b0", True)
    files[1].write_text("camera: {ros__parameters: {fps: 30}}\n")
    assert load_node_config(files).config.engine == "openvino"
    with pytest.raises(ConfigError, match=r"nothing in .*site\.yaml, .*site\.yaml is for"):
        load_node_config([files[1], files[1]])


def test_of_several_sections_the_later_one_wins_parameter_by_parameter(tmp_path: Path) -> None:
    text = """
segmentation_node:
  ros__parameters:
    threads: 1
    rig: {sensors: {front: {topic: front/image, modality: rgb, expected_hz: 5.0}}}
/**:
  ros__parameters:
    rig: {sensors: {front: {expected_hz: 9.0}}}
"""
    config = load_config(written(tmp_path, text))
    assert config.threads == 1
    assert config.rig.sensors["front"].topic == "front/image"
    assert config.rig.sensors["front"].expected_hz == 9.0


TWO = """
robot1: {segmentation_node: {ros__parameters: {threads: 1}}}
robot2: {segmentation_node: {ros__parameters: {threads: 2}}}
"""


@pytest.mark.parametrize(
    ("namespace", "node", "words"),
    [
        ("a b", "segmentation_node", "namespace is 'a b': expected letters"),
        ("/robot/1", "segmentation_node", "namespace is '/robot/1': expected letters"),
        ("a//b", "segmentation_node", "namespace is 'a//b'"),
        ("/", "front-camera", "node is 'front-camera': expected letters"),
    ],
)
def test_a_name_that_no_node_can_have_is_told_as_such(
    tmp_path: Path, namespace: str, node: str, words: str
) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text("/**: {ros__parameters: {rig: {sensors: {a: {topic: a, modality: rgb}}}}}")
    with pytest.raises(ConfigError, match=words):
        load_node_config(path, namespace, node)
    for fine in ("", "/", "robot", "/robot/", "/fleet/robot_1"):
        assert load_node_config(path, fine).own_sensors


def test_of_two_robots_the_namespace_chooses(tmp_path: Path) -> None:
    path = written(tmp_path, TWO)
    assert load_config(path, "/robot2").threads == 2
    assert load_config(path, "robot1/").threads == 1
    with pytest.raises(ConfigError, match=r"2 nodes, /robot1/segm.*, /robot2/segm.*--namespace"):
        load_config(path)


def test_a_node_of_another_name_can_be_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, f"front_seg:\n  ros__parameters:\n    {FRONT}\n")
    assert list(load_config(path, node="front_seg").rig.sensors) == ["front"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seg_node: {ros__parameters: {threads: 1}}", "did you mean /segmentation_node"),
        ("amcl: {ros__parameters: {a: 1}}\nbt: {ros__parameters: {b: 1}}", "it has /amcl, /bt"),
        ("/**: {ros__parameters: {use_sim_time: true}}\namcl: {ros__parameters: {a: 1}}", "/amcl"),
        ("/**: {rosparameters: {threads: 1}}", "has no 'ros__parameters:' section"),
        ("model: rig-nano", "has no 'ros__parameters:' section"),
        ("/**: {ros__parameters: {rig: 1, rig.trigger: any}}", "rig is a value, not a group"),
    ],
)  # fmt: skip
def test_a_file_with_nothing_for_the_node_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(written(tmp_path, text))


def test_only_parameters_of_every_node_leave_everything_as_it_is(tmp_path: Path) -> None:
    text = "/**:\n  ros__parameters: {use_sim_time: true}\n"
    assert load_config(written(tmp_path, text)) == SegConfig()


def test_exponents_without_a_point_are_numbers_where_a_number_is_expected(tmp_path: Path) -> None:
    text = "/**:\n  ros__parameters: {model: '1e3', rig: {trigger_hz: 1e2}}\n"
    config = load_config(written(tmp_path, text))
    assert config.rig.trigger_hz == 100.0
    assert config.model == "1e3"


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e3", 1000.0),
        ("08", 8.0),
        ("0x1F", 31),
        ("-017", -15),
        ("0x1p3", 8.0),
        ("+.5", 0.5),
        ("infinity", math.inf),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", 2.0**63),
        *((word, word) for word in ("1_000", "0b11", "1e400", "1e-400", "~", "null", "1:30", "1_")),
    ],
)
def test_words_are_what_rcl_reads_from_them(tmp_path: Path, word: str, value: Any) -> None:
    """As rcl itself has read each of them."""
    path = written(tmp_path, f"/**: {{ros__parameters: {{a: {word}}}}}")
    found = read_yaml(path, "parameter file", ros=True)["/**"]["ros__parameters"]["a"]
    assert (type(found), found) == (type(value), value)


def test_a_misspelt_parameter_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    path = written(tmp_path, "/**:\n  ros__parameters: {modle: rig-nano}\n")
    with pytest.raises(ConfigError, match=r"unknown parameter modle: .*did you mean model\?"):
        load_config(path)


@pytest.mark.parametrize("name", ["on", "1", "null", "~x", "1e5", "No", "y", "2024-01-01"])
def test_names_are_text_whatever_they_look_like(tmp_path: Path, name: str) -> None:
    text = (
        f"/**: {{ros__parameters: {{rig: {{sensors: {{{name}: {{topic: a, modality: rgb}}}}}}}}}}"
    )
    assert list(load_config(written(tmp_path, text)).rig.sensors) == [name]


@pytest.mark.parametrize(
    ("word", "value"), [("y", True), ("N", False), ("on", True), ("Off", False), ("no", False)]
)
def test_truth_values_are_spelt_as_rcl_takes_them(tmp_path: Path, word: str, value: bool) -> None:
    text = f"/**: {{ros__parameters: {{lazy: {word}, {FRONT}}}}}"
    assert load_config(written(tmp_path, text)).lazy is value


def test_a_section_of_another_node_is_not_taken_for_a_misspelt_one(tmp_path: Path) -> None:
    text = f"/camera_node: {{ros__parameters: {{{FRONT}}}}}"
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, text))
    assert "did you mean" not in str(caught.value)
    with pytest.raises(ConfigError, match="did you mean /segmentation_node by /seg_node"):
        load_config(written(tmp_path, text.replace("camera", "seg")))


def test_what_ros_does_not_read_is_refused_at_a_desk_too(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text("/**:\n  ros__parameters: {engine: &e auto, model: *e}\n")
    with pytest.raises(ConfigError, match=r"ROS takes no aliases: write out what \*e is in line 2"):
        load_node_config(path)


@pytest.mark.parametrize(
    ("section", "node", "holds"),
    [
        ("/**", "/robot1/front_seg", True),
        ("/**", "/front_seg", True),
        ("/front_seg", "/front_seg", True),
        ("/front_seg", "/robot1/front_seg", False),
        ("/robot1/front_seg", "/robot1/front_seg", True),
        ("/*/front_seg", "/robot1/front_seg", True),
        ("/*/front_seg", "/a/b/front_seg", False),
        ("/**/front_seg", "/a/b/front_seg", True),
        ("/**/front_seg", "/front_seg", True),
        ("/segmentation_node", "/front_seg", False),
        ("/front.seg", "/frontxseg", False),
    ],
)
def test_sections_hold_as_rcl_has_it(section: str, node: str, holds: bool) -> None:
    assert holds_for(section, node) is holds


OTHERS = ("robot_name: r1", "frame_prefix: r1/", "bond_timeout: 4.0", "ekf: {rate: 30.0}")


@pytest.mark.parametrize("line", OTHERS)
@pytest.mark.parametrize("section", ["/**", "/*", "/robot1/**", "/robot1/*"])
def test_what_is_given_to_any_node_and_is_none_of_ours_is_left_alone(
    tmp_path: Path, line: str, section: str
) -> None:
    path = written(tmp_path, f"{section}: {{ros__parameters: {{{line}, {FRONT}}}}}")
    found = load_node_config(path)
    assert found.config == load_config(written(tmp_path, f"/**: {{ros__parameters: {{{FRONT}}}}}"))
    name = "ekf.rate" if line.startswith("ekf") else line.split(":")[0]
    assert found.of_others.startswith(f"not used are {name}: ")


@pytest.mark.parametrize("line", OTHERS)
@pytest.mark.parametrize("section", ["segmentation_node", "/**/segmentation_node"])
def test_in_a_section_that_names_the_node_it_is_a_mistake(
    tmp_path: Path, line: str, section: str
) -> None:
    path = written(tmp_path, f"{section}: {{ros__parameters: {{{line}, {FRONT}}}}}")
    with pytest.raises(ConfigError, match=f"unknown parameter {line.split(':')[0]}: "):
        load_node_config(path)


@pytest.mark.parametrize(
    "line",
    [
        "modle: x",
        "Model: x",
        "lzay: true",
        "engines: auto",
        "overlay: 0.3",
        "diagnostic_hz: 1.0",
        "rgi: {trigger: any}",
        "blackbox: {keep: 3}",
        "rig: {deadline: 0.1}",
        "rig.sensors.front.hz: 3.0",
    ],
)
def test_a_slip_of_ours_is_a_mistake_wherever_it_stands(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f"/**: {{ros__parameters: {{{line}}}}}")
    with pytest.raises(ConfigError, match="unknown parameter"):
        load_node_config(path)


def test_what_stands_above_the_group_that_it_belongs_to_is_told_so(tmp_path: Path) -> None:
    path = written(tmp_path, f"/**: {{ros__parameters: {{deadline_s: 0.1, keep: 3, {FRONT}}}}}")
    said = load_node_config(path).of_others
    assert "deadline_s (did you mean rig.deadline_s?), keep (did you mean black_box.keep?)" in said


def test_names_of_others_are_told_in_one_line_whatever_they_are(tmp_path: Path) -> None:
    names = ['"\\e]0;x\\a"', '"a\\nb"', "7", *(f"robot_{number:03}" for number in range(500))]
    path = written(tmp_path, f"/**: {{ros__parameters: {{{': 1, '.join(names)}: 1, {FRONT}}}}}")
    said = load_node_config(path).of_others
    assert said.startswith("not used are ?]0;x?, a b, 7, robot_000")
    assert said.isprintable()
    assert len(said) < 500
