"""What launch arguments mean, without launch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.nodes.process.launch_arguments import (
    boolean,
    evaluate_arguments,
    existing_file,
    interpreter,
    log_level,
    misspelt,
    overrides,
    parameter_file,
    program,
    replayed,
    rigs,
)


@pytest.mark.parametrize("text", ["true", "True", "TRUE", " 1", "yes", "On"])
def test_truth_in_every_spelling(text: str) -> None:
    assert boolean("use_sim_time", text) is True


@pytest.mark.parametrize("text", ["false", "False", "0", "no", "off"])
def test_falsehood_in_every_spelling(text: str) -> None:
    assert boolean("use_sim_time", text) is False


@pytest.mark.parametrize("text", ["info", "WARN", "rcl:=debug", "fleet.eyes:=Error"])
def test_levels_that_rcl_takes_go_through(text: str) -> None:
    assert log_level(text) == text


@pytest.mark.parametrize("text", ["verbose", "warning", "eyes:=loud", "debug:=eyes", ""])
def test_a_level_that_there_is_none_of_is_refused_before_anything_starts(text: str) -> None:
    with pytest.raises(ConfigError, match=r"log_level:=.* expected one of debug, info, warn"):
        log_level(text)


def test_what_is_not_given_is_not_set() -> None:
    given = overrides(use_sim_time="", autostart="False", model="", engine="onnxruntime")
    assert given == {"autostart": False, "engine": "onnxruntime"}
    with pytest.raises(ConfigError, match="use_sim_time:=maybe"):
        overrides(use_sim_time="maybe")


def test_a_file_may_be_relative_or_of_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "robot.yaml"
    file.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("robot.yaml", "~/robot.yaml", str(file)):
        assert parameter_file(text, "", False) == file


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("~nobody_of_this_name/rig.yaml", "home directory"),
        (f"{'a' * 5000}.yaml", "File name too long"),
        ("a\0b", "null"),
    ],
)
def test_a_path_that_cannot_be_looked_at_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        existing_file("params_file", text)
    assert str(refused.value).startswith("params_file:=") and len(str(refused.value)) < 500
    with pytest.raises(ConfigError, match=f"bag:=.*{why}"):
        replayed(text, "")
    given = {"out": text}
    assert evaluate_arguments(Path("drive"), Path("rig.yaml"), given)[-2:] == ["--out", text]


def test_a_missing_file_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").touch()
    with pytest.raises(ConfigError, match=r"robto.yaml does not exist: did you mean robot.yaml\?$"):
        existing_file("params_file", str(tmp_path / "robto.yaml"))
    with pytest.raises(ConfigError, match="is a folder, and no file"):
        existing_file("params_file", str(tmp_path))
    with pytest.raises(ConfigError, match="timeline is missing"):
        existing_file("timeline", "")


def test_a_program_is_one_that_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    with pytest.raises(ConfigError, match=r"python:=.*/python cannot be run: there is no such"):
        program("python", str(python))
    python.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(python.parent))
    monkeypatch.chdir(tmp_path)
    for text in ("python", "venv/bin/python", "~/venv/bin/python", str(python)):
        assert program("python", text) == str(python)


def test_an_argument_that_is_nearly_ours_is_spoken_of() -> None:
    ours = {"model": "", "params_file": "", "respawn": "false", "namespace": ""}
    assert misspelt({**ours, "modle": "rig-b0"}, ours) == [
        "modle:=rig-b0 is not used: did you mean model?"
    ]


@pytest.mark.parametrize("name", ["map", "use_namespace", "use_respawn", "models_folder"])
def test_arguments_of_launch_files_around_ours_are_theirs(name: str) -> None:
    ours = {"model": "", "params_file": "", "respawn": "false", "namespace": ""}
    assert misspelt({**ours, name: "x"}, ours) == []
    theirs = {**ours, "param_file": "nav2.yaml", "params_file": "robot.yaml"}
    assert misspelt(theirs, ours) == [], "ours was given, so it was not meant"


def test_sensors_are_named_somehow() -> None:
    assert parameter_file("", "realsense_d435", False) == rigs()["realsense_d435"]
    assert parameter_file("", "", True) is None
    with pytest.raises(ConfigError, match="no sensors are named"):
        parameter_file("", "", False)
    with pytest.raises(ConfigError, match="did you mean realsense_d435"):
        parameter_file("", "realsense_d453", False)
    with pytest.raises(ConfigError, match="both given"):
        parameter_file("a.yaml", "zed", False)


def installed(prefix: Path, head: str) -> None:
    folder = prefix / "lib" / "anymodal_seg_ros"
    folder.mkdir(parents=True)
    (folder / "segmentation_node").write_text(head)


def test_the_node_is_run_by_the_interpreter_that_it_was_installed_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``ros2`` is run by /usr/bin/python3, which sees nothing of the workspace's environment."""
    own = tmp_path / "venv" / "bin" / "python3.12"
    own.parent.mkdir(parents=True)
    own.symlink_to(sys.executable)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}/other:{tmp_path}/install")
    assert interpreter() == sys.executable, "nothing is installed"
    installed(tmp_path / "install", f"#!{own}\nimport sys\n")
    assert interpreter() == str(own)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ("#!/bin/sh\n'''exec' {0} \"$0\" \"$@\"\n' '''\n", True),
        ("#!/bin/sh\n'''exec' \"{0}\" \"$0\" \"$@\"\n' '''\n", True),
        ("#!/usr/bin/env python3\n", False),
        ("#!/no/such/python3\n", False),
        ("no script at all", False),
        ("", False),
    ],
)
def test_other_forms_of_a_script_are_read_or_passed_over(
    head: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "python3"
    own.symlink_to(sys.executable)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "install"))
    installed(tmp_path / "install", head.format(own))
    assert interpreter() == (str(own) if found else sys.executable)


def test_a_bag_brings_its_parameters_or_names_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    bag = tmp_path / "drive"
    with pytest.raises(ConfigError, match=r"bag:=~/drive cannot be played: there is no bag at "):
        replayed("~/drive", "")
    bag.mkdir()
    with pytest.raises(
        ConfigError, match=r"there is no .*rig\.yaml: .*inspect .* --init rig\.yaml"
    ):
        replayed("~/drive", "")
    (bag / "rig.yaml").touch()
    assert replayed("~/drive", "") == (bag, bag / "rig.yaml")
    (bag / "one.mcap").touch()
    assert replayed(f"{bag}/one.mcap", "") == (bag / "one.mcap", bag / "rig.yaml")
    (tmp_path / "mine.yaml").touch()
    assert replayed(str(bag), "~/mine.yaml") == (bag, tmp_path / "mine.yaml")
    assert replayed(str(bag), "", "zed") == (bag, rigs()["zed"])
    with pytest.raises(ConfigError, match="both given"):
        replayed(str(bag), "~/mine.yaml", "zed")
    with pytest.raises(ConfigError, match="bag is missing"):
        replayed("", "")


def test_no_folder_is_called_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/ann")
    given = {"out": "~/card", "require": "~/gate.yaml", "labels": "/truth", "junit": ""}
    words = evaluate_arguments(Path("/drive"), Path("/rig.yaml"), given)
    assert words[5:] == [
        *("--out", "/ann/card"),
        *("--require", "/ann/gate.yaml"),
        *("--labels", "/truth"),
    ]
