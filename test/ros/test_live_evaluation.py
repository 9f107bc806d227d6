"""A bag played to a node on real DDS gives the scorecard that it gives offline."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from fixtures.ros_graph import Graph, RosProcess, StartNode
from fixtures.scored_bags import write_scored_bag

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run
from anymodal_seg_ros.evaluation.scorecard.scorecard import load_scorecard
from anymodal_seg_ros.nodes.replay import evaluator
from anymodal_seg_ros.nodes.replay.evaluator import (
    LiveError,
    LiveOptions,
    ask_for_life,
    player_command,
)

pytestmark = pytest.mark.ros

FRAMES, RATE = 20, 0.2
GATE = """
version: 1
checks:
  - {figure: masks_lost, max: 0}
  - {figure: miou, min: 0.99}
"""
RIG = """
/**:
  ros__parameters:
    model: {model}
    use_sim_time: true
    rig:
      deadline_s: 0.09
      sensors:
        rgb: {{topic: /rgb/image, modality: rgb, expected_hz: 10.0}}
        thermal: {{topic: /thermal/image, modality: thermal, expected_hz: 10.0}}
        depth: {{topic: /depth/image, modality: depth, enabled: false}}
"""


def only_run(folder: Path) -> Run:
    (run,) = load_scorecard(folder).runs
    return run


@pytest.mark.timeout(240)
def test_live_and_offline_agree(
    graph: Graph, start_node: StartNode, namespace: str, tiny_model: Path, tmp_path: Path
) -> None:
    bag = write_scored_bag(tmp_path, tiny_model, FRAMES)
    rig, gate = bag / "rig.yaml", tmp_path / "gate.yaml"
    rig.write_text(RIG.format(model=tiny_model))
    gate.write_text(GATE)
    asked = ["evaluate", str(bag), "--params", str(rig), "--namespace", namespace]
    asked += ["--require", str(gate)]
    offline = CliRunner().invoke(main, [*asked, "--out", str(tmp_path / "offline")])
    assert offline.exit_code == 1, offline.output

    # Slowly, so that on a busy machine a message is not late by the clock of the bag.
    node = start_node("--params-file", str(rig), demo=False)
    live = RosProcess(
        "anymodal_seg_ros.cli.main",
        [*asked, "--live", "--rate", str(RATE), "--player", "own", "--out", str(tmp_path / "live")],
        tmp_path / "evaluator",
    )
    assert live.wait(200) == offline.exit_code, live.stdout + live.stderr
    assert live.stderr == ""

    one, other = only_run(tmp_path / "live"), only_run(tmp_path / "offline")
    assert one.case == other.case
    assert one.ground_truth == other.ground_truth
    assert "/depth/image" not in "".join(one.notes), "a sensor that is disabled is missed by nobody"
    theirs = {record.stamp_ns: record for record in other.records}
    assert [record.stamp_ns for record in one.records] == list(theirs), "no mask is lost"
    # Whether the first mask waits for the other camera is a race: nobody has seen that one yet.
    for record in one.records[1:]:
        beside = theirs[record.stamp_ns]
        assert record.sensors == beside.sensors
        assert record.reference == beside.reference
        assert record.overlap is not None and beside.overlap is not None
        assert record.overlap.tolist() == beside.overlap.tolist(), "the same pixels"
        assert record.boundary is not None and beside.boundary is not None
        assert record.boundary.tolist() == beside.boundary.tolist()
        assert abs(record.time_s - beside.time_s) < 2.0, "on the clock of the bag"
    assert [record.kept for record in one.records[2:]] == [r.kept for r in other.records[2:]]
    for figure in ("masks", "masks_lost", "unlabeled_masks"):
        cards = [load_scorecard(tmp_path / name) for name in ("live", "offline")]
        assert cards[0].value(figure) == cards[1].value(figure), figure
    assert "miou" in live.stdout
    assert node.stderr == ""


def test_without_a_node_it_cannot_judge(ros_domain: int, tiny_model: Path, tmp_path: Path) -> None:
    """Nor is it told to listen to a sensor that is disabled, as no node does."""
    bag = write_scored_bag(tmp_path, tiny_model, 3)
    rig = bag / "rig.yaml"
    off = "modality: thermal, enabled: false"
    rig.write_text(RIG.format(model=tiny_model).replace("modality: thermal", off))
    command = ["evaluate", str(bag), "--params", str(rig), "--live", "--wait", "1"]
    command += ["--out", str(tmp_path / "out")]
    process = RosProcess("anymodal_seg_ros.cli.main", command, tmp_path / "evaluator")
    assert process.wait() == 2
    assert "does not listen to /rgb/image after 1 s" in process.stderr
    assert not (tmp_path / "out" / "runs" / "drive" / "healthy").exists()


def test_of_a_node_that_died_on_the_way_nobody_can_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "_SIGN_OF_LIFE_S", 0.2)
    node, stop = SimpleNamespace(words=7), threading.Event()
    with pytest.raises(LiveError, match=r"/node said nothing on /diagnostics .*: it died"):
        ask_for_life(node, "/node", stop)  # type: ignore[arg-type]
    speaks = threading.Timer(0.1, setattr, (node, "words", 8))
    speaks.start()
    ask_for_life(node, "/node", stop)  # type: ignore[arg-type]
    speaks.join()


def test_players(monkeypatch: pytest.MonkeyPatch) -> None:
    own = player_command(Path("b"), ["/a", "/c"], LiveOptions(rate=0.5, player="own"))
    assert own[1:] == [
        *("-m", "anymodal_seg_ros.cli.main", "play", "b", "--clock"),
        *("--rate", "0.5", "--topics", "/a,/c"),
    ]
    monkeypatch.setattr("anymodal_seg_ros.nodes.replay.evaluator._has_ros2_bag", lambda: True)
    theirs = player_command(Path("b"), ["/a", "/c"], LiveOptions())
    assert theirs[:4] == ["ros2", "bag", "play", "b"]
    assert theirs[-3:] == ["--topics", "/a", "/c"]
    monkeypatch.setattr("anymodal_seg_ros.nodes.replay.evaluator._has_ros2_bag", lambda: False)
    with pytest.raises(LiveError, match="no 'ros2 bag'"):
        player_command(Path("b"), ["/a"], LiveOptions(player="ros2"))
