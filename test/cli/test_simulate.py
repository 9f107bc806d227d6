"""``anymodal-seg simulate``: every output by its command, and what goes wrong in words."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("trimesh", reason="the simulation is not installed: pip install '.[sim]'")

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.cli.simulation import rigbench as command_file
from anymodal_seg_ros.cli.simulation.simulate import SimulationOutputs
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.simulation import contact_sheet
from anymodal_seg_ros.simulation.dataset.frames import sized_sensors
from anymodal_seg_ros.simulation.dataset.rigbench import load_rigbench

TINY = """
version: 9
width: 64
height: 48
kinds: [urban]
weathers: [sun]
cases: [lidarjitter]
splits:
  train: {first_seed: 0, frames_per_scene: 2, clean_scenes: 1, scenes_per_case: 1}
  validation: {first_seed: 100, clean_scenes: 1, scenes_per_case: 0}
  test: {first_seed: 200, clean_scenes: 0, scenes_per_case: 1}
"""

MISFIT = """
faults:
  - {sensor: rgb, kind: lidar_jitter, start_s: 5.0}
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


@pytest.mark.parametrize("name", SimulationOutputs.rooms)
def test_every_output_explains_itself(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "anymodal-seg simulate" in result.output or "Columns:" in result.output


def test_the_group_shows_how_to_begin() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert all(f"simulate {name}" in result.output for name in SimulationOutputs.rooms)


def test_a_data_set_is_an_even_mixture_of_what_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "set"
    size = ("--width", 64, "--height", 48, "--workers", 1, "--frames", 1)
    scenes = ("--scenes", 2, "--validation-scenes", 1, "--test-scenes", 0)
    only = ("--weathers", "fog,rain", "--kinds", "rural", "--cases", "clean")
    result = run("dataset", out, *size, *scenes, *only)
    assert result.exit_code == 0, result.output
    assert "3 frames of 3 scenes" in result.output
    images = sorted(out.glob("img/*/*/*/*.png"))
    assert len(images) == 3
    assert {path.parts[-4] for path in images if "train" in path.parts} == {"fog", "rain"}
    assert all("rural" in path.parent.name for path in images)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("dataset", "x", "--weathers", "fog,snow"), "'snow'"),
        (("dataset", "x", "--kinds", ""), "expected of"),
        (("dataset", "my_rgb/x", "--scenes", 1), "choose another folder"),
        (("rigbench",), "either OUT"),
        (("rigbench", "--check", "/nowhere"), "/nowhere"),
        (("bag", "x", "--faults", "/nowhere.yaml"), "/nowhere.yaml"),
        (("bag", "x", "--hour", 25), "25"),
        (("bag", "x", "--faults", "misfit.yaml"), "entry 1 (lidar_jitter): sensor is 'rgb'"),
        (("contact-sheet", "/dev/null/x.png"), "/dev/null"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    arguments: tuple[object, ...],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("misfit.yaml").write_text(MISFIT)
    monkeypatch.setattr(contact_sheet, "sized_sensors", lambda *_: sized_sensors(64, 48))
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert expected in result.output
    assert "Traceback" not in result.output


def test_rigbench_is_generated_and_checked_against_its_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition, out, manifest = (tmp_path / name for name in ("b.yaml", "bench", "m.sha256"))
    definition.write_text(TINY)
    monkeypatch.setattr(command_file, "rigbench", lambda: load_rigbench(definition))
    monkeypatch.setattr(command_file, "MANIFEST", manifest)
    made = run("rigbench", out, "--write-manifest", manifest, "--workers", 1)
    assert made.exit_code == 0, made.output
    assert "6 frames of 4 scenes" in made.output
    assert len(manifest.read_text().splitlines()) >= 6 + 4
    assert "# processor: " in manifest.read_text()

    checked = run("rigbench", "--check", out, "--workers", 1)
    assert checked.exit_code == 0, checked.output
    assert "6 of 6 frames equal the manifest" in checked.output

    (victim,) = out.glob("thermal/sun/val/*/*.png")
    pixels = cv2.imread(str(victim), cv2.IMREAD_UNCHANGED)
    pixels[0, 0] += 1
    cv2.imwrite(str(victim), pixels)
    spoilt = run("rigbench", "--check", out, "--workers", 1)
    assert spoilt.exit_code == 1
    assert "5 of 6 frames equal" in spoilt.output
    assert "1 differ: validation/urban_0000100_sun/000000" in spoilt.output.replace("\n", "")


def test_a_bag_is_written_and_told_of(tmp_path: Path) -> None:
    out = tmp_path / "drive"
    result = run("bag", out, "--seconds", 0.1, "--no-packets", "--no-labels", "--workers", 1)
    assert result.exit_code == 0, result.output
    with Bag(out) as bag:
        assert "/events/packets" not in bag.topics
        assert "/rgb/labels" not in bag.topics
        assert bag.count(["/rgb/image"]) == 3
        assert "/rgb/image: 3 messages" in result.output


@pytest.mark.slow
def test_the_contact_sheet_has_a_tile_for_every_sensor_and_condition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_sheet, "sized_sensors", lambda *_: sized_sensors(64, 48))
    out = tmp_path / "docs" / "sheet.png"
    result = run("contact-sheet", out, "--seed", 3, "--offroad-seed", 4)
    assert result.exit_code == 0, result.output
    assert out.stat().st_size < 1_500_000
    sheet = cv2.imread(str(out))
    assert sheet.shape[0] > 11 * 100
    assert sheet.shape[1] > 6 * 100
