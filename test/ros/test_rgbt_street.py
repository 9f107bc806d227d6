"""Real recordings through the whole of it: files, bag, DDS, node, masks; and again offline."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from diagnostic_msgs.msg import DiagnosticArray
from fixtures.ros_graph import TIMEOUT_S, Graph, RosProcess, StartNode, values, wait_until
from fixtures.starvation import Starvation
from sensor_msgs.msg import Image

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.inference.model import DEFAULT_MODEL
from anymodal_seg_ros.nodes.messages import to_ns
from anymodal_seg_ros.resources import models_dir

pytestmark = [pytest.mark.ros, pytest.mark.shared_data, pytest.mark.slow]

PAIRS, HZ = 258, 10
# Thermal comes 40 ms after RGB and 40 ms before the deadline, so that a busy machine, on which
# messages arrive some milliseconds late, still makes the frame sets of the bag.
LATENCY_MS, DEADLINE_S = 40, 0.08
SENSORS = ("rgb", "thermal")
THERMAL_DIES, THERMAL_RETURNS = 86, 172
PARAMETERS = f"""
/**:
  ros__parameters:
    rig:
      deadline_s: {DEADLINE_S}
      sensors:
        rgb: {{topic: rgb/image, modality: rgb, expected_hz: {HZ}.0}}
        thermal: {{topic: thermal/image, modality: thermal, expected_hz: {HZ}.0}}
"""


@pytest.fixture()
def model() -> Path:
    """The small one, which keeps up with the cameras on a busy core, too."""
    return models_dir() / DEFAULT_MODEL


@pytest.fixture()
def parameters(tmp_path: Path) -> Path:
    path = tmp_path / "parameters.yaml"
    path.write_text(PARAMETERS)
    return path


def command(*args: object) -> None:
    result = CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def assemble(bag: Path, recordings: Path, namespace: str) -> None:
    """Make the bag: thermal is off for the middle third."""
    command(
        *("assemble-bag", bag, "--pair", "--rate", HZ),
        *("--sensor", f"rgb={recordings / 'rgb'}", "--topic", f"rgb={namespace}/rgb/image"),
        *("--sensor", f"thermal={recordings / 'thermal'}"),
        *("--topic", f"thermal={namespace}/thermal/image"),
        *("--latency", f"thermal={LATENCY_MS}"),
        *("--gap", f"thermal={THERMAL_DIES / HZ - 0.05}:{THERMAL_RETURNS / HZ - 0.05}"),
    )


def told(diagnostics: DiagnosticArray, name: str) -> dict[str, str]:
    (status,) = [status for status in diagnostics.status if status.name.endswith(name)]
    return values(diagnostics, status.name)


def value_of(diagnostics: DiagnosticArray, name: str, key: str) -> str:
    return told(diagnostics, name)[key]


def tallied(diagnostics: DiagnosticArray, sensor: str) -> tuple[int, int]:
    """How many of a sensor's messages have arrived, and how many are known to be lost."""
    known = told(diagnostics, f"sensor {sensor}")
    return int(known["arrived"]), int(known.get("lost_on_the_way", 0))


def sensors_used(evidence: DiagnosticArray) -> list[str]:
    return value_of(evidence, "mask", "sensors").split(",")


def was_busy(evidence: DiagnosticArray) -> bool:
    """Whether the node says that thermal's image was not there in time, or no time for it.

    Images that come late also put off when thermal is first believed, and believed again.
    """
    if "thermal" in sensors_used(evidence):  # then the one before stands in for it
        return float(value_of(evidence, "thermal", "offset_ms")) != 0.0
    reason = value_of(evidence, "thermal", "reason")
    late = ("no sample", "nearest sample", "no time")
    return reason.startswith(late) or reason in ("WAITING", "LATE", "SLOW", "STALE", "FAILED")


def offline_predictions(folder: Path) -> dict[int, dict[str, Any]]:
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    return {line["stamp_ns"]: line for line in map(json.loads, lines)}


def ends_with(messages: list[Any], stamp: int) -> bool:
    return bool(messages) and to_ns(messages[-1].header.stamp) == stamp


def test_live_masks_are_the_offline_ones_while_thermal_dies_and_returns(
    graph: Graph,
    start_node: StartNode,
    namespace: str,
    shared_data: Path,
    model: Path,
    parameters: Path,
    tmp_path: Path,
) -> None:
    bag, out, node = tmp_path / "street", tmp_path / "out", f"{namespace}/segmentation_node"
    assemble(bag, shared_data / "rgbt_street", namespace)
    command(
        *("run", bag, "--params-file", parameters, "--model", model, "--out", out),
        *("--namespace", namespace, "--no-overlays"),
    )
    offline = offline_predictions(out)
    rgb_stamps = [min(offline) + i * 1_000_000_000 // HZ for i in range(PAIRS)]
    assert list(offline) == rgb_stamps, "one offline mask for every RGB frame"

    segmentation = start_node("--params-file", str(parameters), model=model)
    wait_until(lambda: graph.state(node) == "active", "the active node")
    with (
        graph.collect(Image, f"{node}/mask") as masks,
        graph.collect(DiagnosticArray, f"{node}/modality_status") as evidence,
        graph.collect(DiagnosticArray, "/diagnostics") as diagnostics,
    ):
        graph.wait_until_answered(node)  # it knows who listens: not even its first mask is missed
        player = RosProcess("anymodal_seg_ros.cli.main", ["play", str(bag)], tmp_path / "player")
        taking_part = [segmentation.process.pid, player.process.pid, os.getpid()]
        starvation = Starvation(lambda: taking_part)
        assert player.wait(PAIRS / HZ + TIMEOUT_S) == 0, player.stderr
        masks.wait(lambda all_: ends_with(all_, rgb_stamps[-1]), "the mask of the last frame")
        evidence.wait(lambda all_: ends_with(all_, rgb_stamps[-1]), "its evidence")
        sent = {"rgb": PAIRS, "thermal": PAIRS - (THERMAL_RETURNS - THERMAL_DIES)}
        # Where nobody takes them from the middleware in time, it drops messages without a word.
        health = diagnostics.next(
            lambda array: (
                starvation.count or all(sum(tallied(array, name)) == sent[name] for name in SENSORS)
            ),
            f"what became of {sent} messages",
        )
        starvation.close()

    idle = not starvation.count
    for name in SENSORS:
        assert sum(tallied(health, name)) <= sent[name], name
        assert value_of(health, f"sensor {name}", "rejected") == "0", name

    live = {to_ns(mask.header.stamp): mask for mask in masks.messages}
    used = {to_ns(array.header.stamp): sensors_used(array) for array in evidence.messages}
    # No RGB frame that arrived is without a mask, but those that the node tells of: a newer one had
    # come before there was a core for them.
    superseded = int(value_of(health, "pipeline", "superseded"))
    arrived, _ = tallied(health, "rgb")
    without = [index for index, stamp in enumerate(rgb_stamps) if stamp not in live]
    assert len(without) <= (0 if idle else superseded + PAIRS - arrived), (superseded, without)
    stamps = [stamp for stamp in rgb_stamps if stamp in live]
    assert [to_ns(mask.header.stamp) for mask in masks.messages] == stamps, "one mask for each"
    assert list(used) == stamps, "with its evidence"
    assert {mask.header.frame_id for mask in masks.messages} == {"rgb_optical_frame"}

    both = [stamp for stamp in stamps if used[stamp] == ["rgb", "thermal"]]
    alone = {stamp for stamp in stamps if used[stamp] == ["rgb"]}
    assert len(both) + len(alone) == len(stamps)
    dead = rgb_stamps[THERMAL_DIES + 1 : THERMAL_RETURNS]  # the last image may be used once more
    assert not set(dead) & set(both)
    if idle:
        assert len(both) > PAIRS // 4, "thermal is used while it lives"
        assert both[-1] >= rgb_stamps[THERMAL_RETURNS], "and when it lives again"

    # On a busy machine thermal may come after the deadline, or there is no time to encode it.
    # Nothing else may make a difference.
    late = {to_ns(array.header.stamp) for array in evidence.messages if was_busy(array)}
    expected = {stamp: line["sensors"] for stamp, line in offline.items()}
    assert {stamp for stamp in stamps if used[stamp] != expected[stamp]} <= late
    same = [s for s in stamps if used[s] == expected[s] and (s not in late or s in alone)]
    assert len(same) > (PAIRS // 2 if idle else 0)
    for stamp in same:
        mask, path = live[stamp], out / "masks" / f"{stamp:019d}.png"
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        pixels = np.frombuffer(mask.data, np.uint8).reshape(mask.height, mask.width)
        np.testing.assert_array_equal(pixels, picture, err_msg=f"the mask at {stamp} ns")
    assert segmentation.stderr == ""
