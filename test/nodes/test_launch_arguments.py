"""What launch arguments mean, without launch."""

from __future__ import annotations

from pathlib import Path

import pytest

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.nodes.launch_arguments import (
    boolean,
    existing_file,
    overrides,
    parameter_file,
    rigs,
)


@pytest.mark.parametrize("text", ["true", "True", "TRUE", " 1", "yes", "On"])
def test_truth_in_every_spelling(text: str) -> None:
    assert boolean("use_sim_time", text) is True


@pytest.mark.parametrize("text", ["false", "False", "0", "no", "off"])
def test_falsehood_in_every_spelling(text: str) -> None:
    assert boolean("use_sim_time", text) is False


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


def test_a_missing_file_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").touch()
    with pytest.raises(ConfigError, match=r"there is no file .*robto.yaml.* mean robot.yaml"):
        existing_file("params_file", str(tmp_path / "robto.yaml"))
    with pytest.raises(ConfigError, match="timeline is missing"):
        existing_file("timeline", "")


def test_sensors_are_named_somehow() -> None:
    assert parameter_file("", "realsense_d435", False) == rigs()["realsense_d435"]
    assert parameter_file("", "", True) is None
    with pytest.raises(ConfigError, match="no sensors are named"):
        parameter_file("", "", False)
    with pytest.raises(ConfigError, match="did you mean realsense_d435"):
        parameter_file("", "realsense_d453", False)
    with pytest.raises(ConfigError, match="both given"):
        parameter_file("a.yaml", "zed", False)
