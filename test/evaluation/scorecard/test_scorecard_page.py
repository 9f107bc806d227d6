"""The page that benchmarks/scorecard.py writes: both pipelines, and what is not met."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from fixtures.scored_bags import made_run, mask_record

from anymodal_seg_ros.evaluation.scorecard.cases import FaultWindow
from anymodal_seg_ros.evaluation.scorecard.runs.records import Transition
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run

OFF = FaultWindow("thermal", "off", 2.0, 4.0)
MIRRORED = FaultWindow("rgb", "wrong-mirrored", 2.0, 4.0)


@pytest.fixture(scope="module")
def page(project_root: Path) -> ModuleType:
    path = project_root / "benchmarks" / "scorecard_page.py"
    spec = importlib.util.spec_from_file_location("scorecard_page", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scorecard_page"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run(case: str, window: FaultWindow | None = None, hits: int = 10, *, condition: str) -> Run:
    """A run whose masks have less IoU while there is a fault; without thermal if it is off."""
    masks = []
    for number in range(100):
        ill = window is not None and window.start_s <= number / 10 < window.end_s
        found = np.array([[hits if ill else 10, 10], [10, 10], [10, 10]], np.int64)
        sensors = ("rgb",) if ill and window is OFF else ("rgb", "thermal")
        masks.append(mask_record(number / 10, sensors, overlap=found))
    windows = [] if window is None else [window]
    states = [Transition("thermal", "STALE", 2.1)] if window is OFF else []
    made = made_run(masks, windows, states, case=case, condition=condition)
    complete = dataclasses.replace(made, settings={"engine": "onnxruntime cpu"}, masks=100)
    complete.__dict__["records"] = made.records
    return complete


def test_the_page_says_what_is_met_and_what_is_not(page: ModuleType) -> None:
    healthy = run("healthy", condition="sun")
    real = dataclasses.replace(run("healthy", condition="real"), bag="recording-street")
    real.__dict__["records"] = run("healthy", condition="real").records
    off = run("fault-off-thermal-0", OFF, 9, condition="sun")
    mirrored = run("fault-wrong-mirrored-rgb-0", MIRRORED, 5, condition="sun")
    ours = page.Card("rig-nano", "anymodal", (healthy, off, mirrored, real), ("cloud: no lidar",))
    naive = page.Card("rig-nano", "naive", (healthy,))
    cards = {("rig-nano", "anymodal"): ours, ("rig-nano", "naive"): naive}
    text = page.page(cards, "sun", 10.0, 2.0)
    assert "## rig-nano, onnxruntime cpu" in text
    assert "withheld in 1 of 2 faults, in time in 1; of the rest 1 cost 2 points" in text
    assert "| `off` | 0.00 s | STALE | −9.1 | 20 | – | – |" in text
    assert "| `wrong-mirrored` | – | – | −33.3 | 20 | – | – |" in text
    assert (
        "Fused all the same, at a cost: `wrong-mirrored` on rgb (−33.3). Masks lost: none." in text
    )
    assert "| sun | 100.0 | 100 | 0 | 0 | 100.0 | 100 |" in text
    assert "| street | 10.0 | 100 | 0 | 0 | rgb 100 %, thermal 100 % | – |" in text
    assert "not measured" in text, "the naive pipeline has no faults here"
    assert "* Could not be evaluated: cloud: no lidar" in text
    assert max(len(line.split("|")) for line in text.splitlines()) == 9
