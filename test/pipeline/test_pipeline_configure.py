"""Other parameters while masks are made: what changes, what is kept, and what a refusal leaves."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixtures.event_messages import event_packet, evt3_words
from fixtures.pipelines import MS, RIG, START, message, pipeline

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import SensorState, SensorStatus
from anymodal_seg_ros.pipeline import assembly


def test_what_depends_on_the_rig_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, made = pipeline(), []
    registrar_for = assembly.registrar_for

    def counting(*arguments: Any) -> Any:
        made.append(arguments)
        return registrar_for(*arguments)

    monkeypatch.setattr(assembly, "registrar_for", counting)
    pipe.configure(replace(RIG, deadline_s=0.01))
    assert len(made) == 1
    assert pipe.rig.deadline_s == 0.01


def test_a_configuration_that_cannot_be_run_changes_nothing() -> None:
    pipe = pipeline()
    pipe.push_message("rgb", message("rgb", START), 1 * MS)
    sensors = {**RIG.sensors, "radar": SensorConfig("radar", "radar")}
    with pytest.raises(ConfigError, match="radar"):
        pipe.configure(replace(RIG, sensors=sensors))
    assert pipe.rig is RIG
    assert pipe.poll(50 * MS) is not None, "what had come is still there"


def test_what_was_superseded_stays_counted() -> None:
    pipe = pipeline()
    for k in range(10):
        pipe.push_message("rgb", message("rgb", START + 100 * k * MS), 100 * k * MS)
    while pipe.poll(1_500 * MS) is not None:
        pass
    before = pipe.superseded
    assert before > 0
    pipe.configure(replace(RIG, deadline_s=0.01))
    assert pipe.superseded == before


def test_what_is_known_of_the_sensors_outlives_a_change() -> None:
    """A threshold that is tuned brings no dead sensor back, and lets no wrong picture through."""
    silent, frozen = (SensorConfig(f"{n}/image", n, expected_hz=10.0) for n in ("thermal", "event"))
    sensors = {**RIG.sensors, "thermal": silent, "event": frozen}
    rig = replace(RIG, sensors=sensors, startup_grace_s=2.0)
    pipe, still = pipeline(rig), message("event", START).data

    def drive(begin: int, frames: int) -> list[tuple[str, ...]]:
        seen = []
        for k in range(begin, begin + frames):
            now = k * 100 * MS
            for name in ("depth", "event", "rgb"):
                changes = {"data": still} if name == "event" else {}
                pipe.push_message(name, message(name, START + now, **changes), now)
            while (prediction := pipe.poll(now)) is not None:
                seen.append(prediction.sensors)
        return seen

    drive(0, 40)

    def known() -> list[SensorStatus]:  # but for their figures: a limit among them is the deadline
        return [replace(status, checks=()) for status in pipe.status(3_900 * MS)]

    before = known()
    states = {status.sensor: status.state.value for status in before}
    assert states == {"rgb": "OK", "depth": "OK", "thermal": "FAILED", "event": "FROZEN"}
    pipe.configure(replace(rig, deadline_s=0.03))
    assert known() == before, "neither states nor counts begin anew"
    assert drive(40, 10) == [("rgb", "depth")] * 10, "no mask shows less or more than before"
    tuned = replace(frozen, checks=replace(frozen.checks, frozen=False))
    pipe.configure(replace(rig, sensors={**rig.sensors, "event": tuned}))
    assert drive(50, 10)[-1] == ("rgb", "depth", "event"), "what has been allowed is seen again"


def test_a_sensor_that_is_taken_out_and_in_is_met_as_a_new_one_and_its_counts_go_on() -> None:
    pipe = pipeline()
    pipe.push_message("rgb", message("rgb", START), 1 * MS)
    pipe.push_message("depth", message("depth", START), 1 * MS)
    off = replace(RIG, sensors={**RIG.sensors, "rgb": replace(RIG.sensors["rgb"], enabled=False)})
    pipe.configure(off)
    (first,) = pipe.status(2 * MS)[:1]
    assert (first.state, first.arrived) == (SensorState.DISABLED, 1)
    assert pipe.poll(50 * MS) is None, "its frame had not left"
    pipe.push_message("depth", message("depth", START + 100 * MS), 100 * MS)
    prediction = pipe.poll(150 * MS)
    assert prediction is not None
    assert (prediction.sensors, prediction.frame_set.missing["rgb"]) == (("depth",), "DISABLED")
    pipe.configure(RIG)
    (again,) = pipe.status(160 * MS)[:1]
    assert (again.state, again.arrived) == (SensorState.WAITING, 1)
    pipe.push_message("rgb", message("rgb", START + 200 * MS), 200 * MS)
    prediction = pipe.poll(250 * MS)
    assert prediction is not None
    assert "rgb" in prediction.sensors


def test_an_event_camera_that_is_enabled_while_running_wakes_the_workers() -> None:
    off = SensorConfig("events/packets", "event", type="event_packet", enabled=False)
    rig = RigConfig({"rgb": RIG.sensors["rgb"], "events": off})
    pipe, news, dice = pipeline(rig), threading.Event(), np.random.default_rng(0)
    pipe.attach(2, news.set)
    try:
        on = replace(off, enabled=True)
        pipe.configure(replace(rig, sensors={**rig.sensors, "events": on}))
        for number in range(60):  # packets of 4 ms, and a frame each 100 ms that comes 10 ms late
            times = 1_000_000 + number * 4000 + np.sort(dice.integers(0, 4000, 300))
            x, y, polarity = (dice.integers(0, high, 300) for high in (640, 480, 2))
            words = evt3_words(times, x, y, polarity)
            stamp, now = START + number * 4 * MS, number * 4 * MS
            pipe.push_message("events", event_packet(words, seq=number, stamp_ns=stamp), now)
            if number % 25 == 5:
                frame = message("rgb", stamp - 10 * MS)
                pipe.push_message("rgb", frame, now + MS)
        assert news.wait(60.0), "events have become a picture and nobody was told"
    finally:
        assert pipe.detach()
