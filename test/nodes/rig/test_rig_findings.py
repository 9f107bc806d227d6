"""What `anymodal-seg check` finds wrong with a sensor's topic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anymodal_seg_ros.config import RegistrationConfig, SensorConfig
from anymodal_seg_ros.nodes.rig.rig_findings import Look, findings
from anymodal_seg_ros.nodes.topics.topic_facts import Offer, TopicFacts

IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
DRIVER = Offer("/camera", IMAGE, reliable=True, latched=False)
SENSOR = SensorConfig(
    "front", "rgb", expected_hz=15.0, registration=RegistrationConfig(camera_info="front/info")
)
GOOD = Look(
    "front",
    TopicFacts("/front", IMAGE, (DRIVER,), received=60),
    seconds=4.0,
    messages=60,
    form="640x480 rgb8",
    stamp_age_s=0.03,
    calibration="640x480",
    frame="front_optical",
)


def test_a_healthy_sensor_has_no_findings() -> None:
    assert findings(GOOD, SENSOR) == []


def test_packets_of_events_may_come_as_often_as_they_like() -> None:
    """The rate that is promised for an event camera is that of its windows."""
    events = SensorConfig("front", "event", type="event_packet", expected_hz=15.0)
    often = replace(GOOD, messages=4000)
    assert findings(often, events) == []
    assert "set expected_hz" in findings(often, replace(events, type="image"))[0]


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (replace(GOOD, facts=TopicFacts("/front", IMAGE)), "nobody publishes /front"),
        (replace(GOOD, messages=0), "nothing came on /front"),
        (
            replace(GOOD, messages=0, facts=replace(GOOD.facts, received=0)),
            "publishes /front, but nothing of it has come",
        ),
        (replace(GOOD, unreadable="step is 3"), "cannot be used: step is 3"),
        (replace(GOOD, content="black: it is 3"), "would not be used, black: it is 3"),
        (replace(GOOD, content="units: it is 900"), "units: it is 900: set counts.per_count"),
        (replace(GOOD, messages=20), "set expected_hz to 5.0"),
        (replace(GOOD, messages=120), "30.0 Hz come, 15 are promised"),
        (
            replace(
                GOOD, messages=20, facts=TopicFacts("/front", IMAGE, (DRIVER,), lost_share=0.6)
            ),
            "60% of the messages",
        ),
        (
            replace(GOOD, messages=120, facts=replace(GOOD.facts, offers=(DRIVER, DRIVER))),
            "2 publishers",
        ),
        (replace(GOOD, unstamped=60), "let the driver stamp"),
        (replace(GOOD, stamp_age_s=-0.3), "300 ms in the future"),
        (replace(GOOD, stamp_age_s=3.0), "3.00 s old"),
        (replace(GOOD, frame=""), "name no frame: set the driver's frame_id"),
        (replace(GOOD, frame="/front"), "its frame_id is /front, which tf2 refuses: leave the sl"),
        (replace(GOOD, calibration=""), "no CameraInfo came on front/info"),
        (replace(GOOD, calibration_error="all zeros"), "all zeros"),
        (
            replace(GOOD, seen=80, damaged=40, damage="data has 100 bytes", messages=40),
            "40 of 80 messages cannot be used: data has 100 bytes",
        ),
        (
            replace(GOOD, seen=80, forms=("640x480 rgb8", "320x240 rgb8")),
            "change under way: 640x480 rgb8, 320x240 rgb8",
        ),
        (
            replace(GOOD, seen=80, repeated=79, stamp_age_s=9e7),
            "79 of 80 messages had the stamp of one before: let the driver",
        ),
        (
            replace(
                GOOD,
                calibration="",
                calibration_facts=TopicFacts("/front/info", INFO, alike=("/front/camera_info",)),
            ),
            "nobody publishes /front/info: start the driver, or mend the name; published are /fr",
        ),
        (
            replace(
                GOOD, calibration="", calibration_facts=TopicFacts("/front/info", INFO, (DRIVER,))
            ),
            "/front/info is published as sensor_msgs/msg/Image: sensor_msgs/msg/CameraInfo is exp",
        ),
        (replace(GOOD, place_error="/tf_static does not name x"), "/tf_static does not name x"),
        (replace(GOOD, calibration="1280x720"), "images are 640x480"),
    ],
)
def test_one_fault_is_one_finding_with_its_mend(look: Look, words: str) -> None:
    (found,) = findings(look, SENSOR)
    assert words in found
