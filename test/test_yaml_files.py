"""YAML files of strangers: plain values come out of them, or one line that says what is wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures.hostile_yaml import HOSTILE

from anymodal_seg_ros.config import load_config, parse_yaml, read_yaml
from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.evaluation.scorecard.suite import load_suite
from anymodal_seg_ros.evaluation.scorecard.verdict.gate import load_gate
from anymodal_seg_ros.faults.timeline import load_timeline
from anymodal_seg_ros.inference.manifest import load_manifest
from anymodal_seg_ros.sensing.geometry.calibration import load_calibration


def _calibration(path: Path) -> Any:
    return load_calibration(str(path))


def _manifest(path: Path) -> Any:
    return load_manifest(path.rename(path.parent / "model.yaml").parent)


READERS: dict[str, Callable[[Path], Any]] = {
    "parameters": load_config,
    "timeline": load_timeline,
    "calibration": _calibration,
    "manifest": _manifest,
    "gate": load_gate,
    "suite": load_suite,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(reader: str, case: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(HOSTILE[case], encoding="utf-8")
    began = time.process_time()
    with pytest.raises(AnymodalError) as caught:
        READERS[reader](path)
    took_s = time.process_time() - began
    said = str(caught.value)
    assert len(said) < 500
    assert said.isprintable(), repr(said)
    assert took_s < 20, "some thousand times longer than it takes"


def test_plain_values_are_read_as_elsewhere() -> None:
    text = """
    words: [a, 'no', "x\\ty", yes, No, on, ~, null, "", é]
    numbers: [1, -2, +3, 0x1F, 0b11, 010, 1_000, 1.5, .5, 2., 1.0e+3, .inf, -.INF]
    block: |
      two
      lines
    folded: >-
      one
      line
    mapping: {a: {b: [c]}, 7: one, 2.5: x, true: y}
    anchored: &base {x: 1, y: 2}
    again: *base
    merged: {<<: *base, y: 3}
    several: {<<: [{x: 1}, *base], z: 4}
    """
    assert parse_yaml(text, "text") == yaml.safe_load(text)
    assert parse_yaml("x: .nan", "text")["x"] != parse_yaml("x: .nan", "text")["x"]


@pytest.mark.parametrize(
    ("word", "value"),
    [("1e-3", 1e-3), ("2E+2", 200.0), ("12:30", "12:30"), ("2024-01-02", "2024-01-02")],
)
def test_some_words_are_read_as_ros_reads_them(word: str, value: object) -> None:
    assert parse_yaml(f"a: {word}", "text") == {"a": value}


def test_whatever_this_package_ships_is_read_as_pyyaml_reads_it(project_root: Path) -> None:
    files = [
        p for f in ("config", "models", "training") for p in (project_root / f).rglob("*.yaml")
    ]
    assert len(files) > 20
    for path in files:
        assert read_yaml(path, "file") == yaml.safe_load(path.read_text(encoding="utf-8")), path


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path / "pipe", "no regular file"),
        (Path("/dev/zero"), "no regular file"),
        (tmp_path, "no regular file"),
        (tmp_path / "none", "No such file"),
        (Path("a\0b"), "null (byte|character)"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_yaml(path, "recipe")
    (tmp_path / "latin").write_bytes("größe: 1".encode("latin-1"))
    with pytest.raises(
        ConfigError, match=r"cannot read the recipe .*latin: it is not UTF-8 at byte 2"
    ):
        read_yaml(tmp_path / "latin", "recipe")


def test_files_of_opencv_and_of_ros_tools_are_passed_over_leniently() -> None:
    text = (
        "%YAML:1.0\n---\nK: !!opencv-matrix\n   rows: 1\n   dt: d\n   data: [ 1., .5, 5.0e-01 ]\n"
    )
    expected = {"K": {"rows": 1, "dt": "d", "data": [1.0, 0.5, 0.5]}}
    assert parse_yaml(text, "text", foreign=True) == expected
    with pytest.raises(ConfigError):
        parse_yaml(text, "text")
    assert parse_yaml("a: 1\n---\na: 2\n---\n", "text", foreign=True) == {"a": 1}
    assert parse_yaml("a: 1\n---\n", "text") == {"a": 1}
