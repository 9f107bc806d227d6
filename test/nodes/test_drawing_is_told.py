"""The simulated rig draws for a minute or more before its topics are there: it says so."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("trimesh", reason="the simulation is not installed: pip install '.[sim]'")

from anymodal_seg_ros.nodes.simulated import rig_node
from anymodal_seg_ros.simulation.workers import Progress


def test_how_far_the_pictures_are_is_told_in_quarters(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def drawn(config: object, cache: Path, progress: Progress) -> None:
        for done in range(0, 241, 12):
            progress(done, 240)

    monkeypatch.setattr(rig_node, "render_sequence", drawn)
    assert rig_node.main(["rig_node", "--render-only", "--cache", str(tmp_path)]) == 0
    said = "".join(capfd.readouterr())
    assert [f"{done} of 240" in said for done in (0, 60, 120, 180, 240)] == [True] * 5
    assert said.count("drawing the pictures") == 5
