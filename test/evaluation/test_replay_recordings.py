"""Real recordings through the whole pipeline, as ``anymodal-seg run`` reads them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from anymodal_seg_ros.config import RigConfig, SegConfig, SensorConfig
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.replay import arrivals, check_topics, replay, sensors_by_topic
from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.pipeline import Pipeline

pytestmark = pytest.mark.shared_data

ROOT = Path(os.environ.get("ANYMODAL_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.mark.parametrize("name", ["evt3_walk_db3", "evt3_walk_ros1.bag"])
def test_packets_of_a_real_event_camera_become_masks(name: str, tiny_model: Path) -> None:
    path = ROOT / "events" / name
    if not path.exists():
        pytest.skip(f"{path} is absent: set ANYMODAL_TEST_DATA to the folder with the recordings")
    camera = SensorConfig("/event_camera/events", "event", expected_hz=30.0, type="event_packet")
    rig = RigConfig({"events": camera})
    pipeline = Pipeline.from_config(SegConfig(model=str(tiny_model), rig=rig))
    with Bag(path) as bag:
        sensors = sensors_by_topic(rig)
        check_topics(bag, sensors)
        predictions = list(replay(pipeline, arrivals(bag, sensors)))
    assert 50 <= len(predictions) <= 62, "2.08 s at 30 Hz, but for the beginning"
    stamps = [p.frame_set.reference_sample.stamp_ns for p in predictions]
    assert all(30_000_000 < gap < 37_000_000 for gap in np.diff(stamps))
    for prediction in predictions:
        assert prediction.sensors == ("events",)
        assert prediction.mask.shape == (480, 640)
        assert prediction.frame_set.reference_sample.image.pixels.any()
    (status,) = predictions[-1].status
    assert status.state is SensorState.OK
    assert status.transitions == 1, "never anything else once it was seen"
    assert status.rejected == {}
