"""The shipped parameter files are what the code says, and load without ROS."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from anymodal_seg_ros.config import (
    ChecksConfig,
    CountsConfig,
    EventConfig,
    RegistrationConfig,
    RigConfig,
    SegConfig,
    SensorConfig,
    load_config,
)

SECTIONS = {
    "checks": ChecksConfig,
    "counts": CountsConfig,
    "registration": RegistrationConfig,
    "events": EventConfig,
}
CONFIG = Path(__file__).resolve().parents[1] / "config"


def test_params_yaml_is_the_default_configuration_in_full() -> None:
    # The order of preference is written out, for whoever copies the file.
    named = replace(SegConfig().rig, reference=tuple(SegConfig().rig.sensors))
    assert load_config(CONFIG / "params.yaml") == replace(SegConfig(), rig=named)
    assert list(load_config(CONFIG / "params.yaml").rig.sensors) == list(SegConfig().rig.sensors)
    written = yaml.safe_load((CONFIG / "params.yaml").read_text())["/**"]["ros__parameters"]
    names = {cls: {f.name for f in dataclasses.fields(cls)} for cls in (SegConfig, RigConfig)}
    assert set(written) == names[SegConfig]
    assert set(written["rig"]) == names[RigConfig]
    first = next(iter(written["rig"]["sensors"].values()))
    assert set(first) == {f.name for f in dataclasses.fields(SensorConfig)}
    for section, cls in SECTIONS.items():
        assert set(first[section]) == {f.name for f in dataclasses.fields(cls)}


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.name)
def test_every_parameter_file_loads(path: Path) -> None:
    assert load_config(path).rig.sensors


LOOKS = """
import sys
from pathlib import Path
from anymodal_seg_ros.config import read_yaml
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.inference.model import load_model
name = bytes.fromhex(sys.argv[1]).decode()
for look in (load_model, lambda path: read_yaml(Path(path) / "rig.yaml", "rig")):
    try:
        look(name)
    except AnymodalError as error:
        print(str(error).encode("ascii", "replace").decode())
"""


def test_a_folder_that_the_locale_cannot_spell_is_not_said_to_be_missing(tmp_path: Path) -> None:
    folder = tmp_path / "mödel"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LOOKS, str(folder).encode().hex()],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    assert all("looked for as ascii here: set LANG=C.UTF-8" in line for line in lines)
