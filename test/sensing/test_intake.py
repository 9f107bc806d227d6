"""Stamps, images and silence, judged together on a simulated rig."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from fixtures.rig_stream import EPOCH, MS, RIG, S, Watched, healthy, healthy_rig, images
from fixtures.scenes import ENCODINGS, scene

from anymodal_seg_ros.config import ChecksConfig, RigConfig
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import DeferredImage, FrameSet, Image, Pixels, Sample, SensorState
from anymodal_seg_ros.sensing.health.sensor_health import Fault
from anymodal_seg_ros.sensing.intake import Intake


class LateImage(DeferredImage):
    """Keeps how often its pixels were made."""

    __slots__ = ("made",)
    made: list[int]

    def __init__(self, make: Callable[[], Pixels], encoding: str) -> None:
        def counted() -> Pixels:
            self.made.append(1)
            return make()

        object.__setattr__(self, "made", [])
        super().__init__(60, 80, encoding, counted)


def one_sensor(name: str = "rgb", **changes: object) -> RigConfig:
    return RigConfig({name: replace(RIG.sensors[name], **changes)})  # type: ignore[arg-type]


def feed_with(change: Callable[[Sample], Sample], sensor: str, seconds: float = 6.0) -> Watched:
    watched = Watched()
    watched.feed(
        change(s) if s.sensor == sensor else s
        for s in itertools.chain(*(healthy(n, seconds, 4) for n in RIG.sensors))
    )
    return watched


@pytest.mark.parametrize("ahead_s", [5, 3 * 3600])
def test_no_sensor_was_silent_in_a_time_that_a_simulated_clock_has_skipped(ahead_s: int) -> None:
    watched = Watched()
    watched.intake.simulated = True

    def skipped(s: Sample) -> Sample:
        ns = ahead_s * S if s.received_ns > 3 * S else 0
        times = {"stamp_ns": s.stamp_ns + ns, "time_ns": s.time_ns + ns}
        return replace(s, received_ns=s.received_ns + ns, **times)

    # Nobody can look at a clock at a time that it has left out.
    for sample in sorted(map(skipped, healthy_rig(6.0, 4)), key=lambda s: s.received_ns):
        watched.intake.push(sample)
        watched.poll(sample.received_ns)
    for name in RIG.sensors:
        assert watched.states(name, 1.0) == [SensorState.OK]
    for name in RIG.sensors:
        status = next(s for s in watched.intake.status((ahead_s + 9) * S) if s.sensor == name)
        assert status.state is not SensorState.FAILED, "skipped once more"
    now_ns = (ahead_s + 9) * S
    for step in range(30):
        watched.poll(now_ns + step * 100 * MS)
    assert all(watched.states(n, ahead_s + 11)[-1] is SensorState.FAILED for n in RIG.sensors)


def test_a_simulated_clock_whose_steps_are_long_hides_no_dead_sensor() -> None:
    watched = Watched(one_sensor())
    watched.intake.simulated = True
    for number in range(20):
        if number < 10:
            for sample in healthy("rgb", 2.0, number):
                stamp_ns = EPOCH + number * 2 * S
                fresh = replace(sample, stamp_ns=stamp_ns, time_ns=stamp_ns)
                watched.intake.push(replace(fresh, received_ns=(number + 1) * 2 * S))
                break
        watched.poll((number + 1) * 2 * S)
    assert watched.states("rgb", 39.0)[-1] is SensorState.FAILED


def test_a_thermal_camera_that_calibrates_stays_ok_and_its_old_picture_is_not_fused() -> None:
    frozen = images("thermal")[0]

    def calibrating(s: Sample) -> Sample:
        return replace(s, image=frozen) if 3 * S < s.time_ns - EPOCH < 4 * S else s

    watched = feed_with(calibrating, "thermal")
    assert watched.states("thermal", 1.0) == [SensorState.OK]
    status = watched.intake.status(6 * S)[3]
    assert status.dropped["frozen"] in (4, 5, 6)
    assert status.rejected == {}
    during = [s for s in watched.sets if 3.7 * S < s.reference_sample.time_ns - EPOCH < 3.9 * S]
    assert during
    for frame_set in during:
        assert "thermal" not in frame_set.samples
        assert frame_set.missing["thermal"].startswith("frozen: the payload has repeated for 0.")
    after = [s for s in watched.sets if 4.3 * S < s.reference_sample.time_ns - EPOCH < 5.5 * S]
    assert all("thermal" in s.samples for s in after)


@pytest.mark.parametrize("watched", [True, False])
def test_nobody_is_silent_while_the_process_stands_still(watched: bool) -> None:
    """Somebody looks whenever a state is due; if nobody has, nobody has listened either."""
    intake = Intake(RIG)
    intake.watched = watched
    for sample in sorted(
        itertools.chain(*(healthy(n, 1.0, 4) for n in RIG.sensors)), key=lambda s: s.received_ns
    ):
        intake.push(sample)
    end_ns = sample.received_ns
    intake.advance(end_ns + 3 * S)
    states = {s.state for s in intake.status(end_ns + 3 * S)}
    assert states == ({SensorState.OK} if watched else {SensorState.FAILED})
    while (due_ns := intake.next_wakeup_ns()) is not None:
        intake.advance(due_ns)
    assert {s.state for s in intake.status(end_ns + 6 * S)} == {SensorState.FAILED}


def test_a_camera_that_repeats_each_image_is_fused_at_every_frame() -> None:
    rig = one_sensor()
    watched = Watched(rig)
    pictures = images("rgb")
    watched.feed(
        replace(s, image=pictures[k // 3 % 16]) for k, s in enumerate(healthy("rgb", 4.0, 0))
    )
    assert watched.states("rgb", 0.5) == [SensorState.OK]
    assert len(watched.sets) == 120
    assert all(s.fused == ("rgb",) for s in watched.sets)
    (status,) = watched.intake.status(4 * S)
    assert status.fault == ""
    assert status.dropped == {}


def test_a_frozen_camera_does_not_recover_by_repeating_an_image() -> None:
    same, other = images("rgb")[:2]
    watched = Watched(one_sensor())
    watched.feed(
        replace(s, image=same if s.time_ns - EPOCH < 2 * S else other)
        for s in healthy("rgb", 2.4, 0)
    )
    assert watched.states("rgb", 1.0) == [SensorState.FROZEN]
    (status,) = watched.intake.status(round(2.4 * S))
    assert status.fault.startswith("recovering, 1 of 5 good; before: ")
    assert "frozen" in status.fault.lower(), status.fault


@pytest.mark.parametrize("name", ["rgb", "thermal"])
def test_a_camera_that_goes_on_with_another_size_is_taken_back(name: str) -> None:
    large = [Image(np.repeat(i.pixels, 2, axis=0), i.encoding) for i in images(name)]
    watched = Watched(one_sensor(name))
    watched.feed(
        replace(s, image=large[k % 16]) if s.time_ns - EPOCH > 2 * S else s
        for k, s in enumerate(healthy(name, 5.0, 0))
    )
    assert watched.states(name, 0.5) == [SensorState.OK, SensorState.INVALID, SensorState.OK]
    back = watched.reached(name, SensorState.OK, 2.5)
    assert back is not None and back < 3.2
    assert watched.sets[-1].samples[name].image.height == 120


def test_a_still_scene_leaves_the_event_camera_alone() -> None:
    silence = Image(0 * images("event")[0].pixels, "8UC3")
    watched = feed_with(lambda s: replace(s, image=silence), "events")
    assert watched.states("events", 1.0) == [SensorState.OK]
    assert all("events" in s.samples for s in watched.sets[20:-10])


def test_a_bad_image_is_not_fused_even_before_the_state_says_so() -> None:
    black = Image(0 * images("rgb")[0].pixels, "rgb8")
    rig = RigConfig({n: RIG.sensors[n] for n in ("events", "rgb")})
    watched = Watched(rig)
    bad_ns = EPOCH + 3 * S
    watched.feed(
        replace(s, image=black)
        if s.sensor == "rgb" and bad_ns < s.time_ns < bad_ns + 30 * MS
        else s
        for s in itertools.chain(*(healthy(n, 5.0, 4, rig=rig) for n in rig.sensors))
    )
    assert watched.states("rgb", 1.0) == [SensorState.OK], "one black frame is no failure"
    assert all(s.samples["rgb"].image is not black for s in watched.sets if "rgb" in s.samples)
    assert watched.intake.status(5 * S)[1].dropped["black"] == 1


def test_every_check_is_in_the_status_with_figure_and_threshold() -> None:
    watched = feed_with(lambda s: s, "rgb", 1.0)
    status = {s.sensor: s for s in watched.intake.status(S)}
    names = [c.name for c in status["rgb"].checks]
    assert names == [
        "format", "black", "saturated", "blocked", "stuck_rows", "noise", "speckle", "stripes",
        "torn", "torn", "blocky", "twice", "glare", "frozen", "soft", "covered", "lost",
        "stamp_offset", "stamps_back",
    ]  # fmt: skip
    assert [c.name for c in status["events"].checks][1:3] == ["saturated", "frozen"]
    assert all(check.passed for s in status.values() for check in s.checks)


def test_checks_can_be_switched_off_for_a_sensor_and_for_the_rig() -> None:
    same = images("rgb")[0]
    for rig in (
        one_sensor(checks=ChecksConfig(frozen=False)),
        replace(one_sensor(), content_checks=False),
    ):
        watched = Watched(rig)
        watched.feed(replace(s, image=same) for s in healthy("rgb", 3.0, 0, rig=rig))
        assert watched.states("rgb", 0.5) == [SensorState.OK]
        assert len(watched.sets) == 90


def test_unreadable_messages_are_counted_and_bring_the_sensor_down() -> None:
    intake = Intake(one_sensor())
    for k, sample in enumerate(healthy("rgb", 1.0, 0)):
        if k < 10:
            intake.push(sample)
        else:
            fault = Fault(SensorState.CLOCK, "stamp is 0 s 0 ns: expected a positive time")
            said = intake.reject("rgb", fault, sample.received_ns)
            assert said == "rgb: stamp is 0 s 0 ns: expected a positive time"
    (status,) = intake.status(S)
    assert status.state is SensorState.CLOCK
    assert status.rejected == {"stamp": 20}
    assert status.received == 10
    assert status.fault.startswith("stamp is 0 s")
    assert status.age_ns is not None
    assert status.age_ns < 100 * MS, "it gives signs of life"


def test_a_stopped_clock_is_noticed_and_its_stamp_emitted_once() -> None:
    def stopped(s: Sample) -> Sample:
        stamp = min(s.time_ns, EPOCH + 3 * S)
        return replace(s, stamp_ns=stamp, time_ns=stamp)

    watched = feed_with(stopped, "rgb")
    reached = watched.reached("rgb", SensorState.CLOCK, 3.0)
    assert reached is not None
    assert reached < 3.3
    emitted = [s.reference_sample.time_ns for s in watched.sets if s.reference == "rgb"]
    assert len(emitted) == len(set(emitted))
    assert watched.intake.status(6 * S)[0].dropped["duplicate stamp"] > 50


def decode_and_poll(intake: Intake, now_ns: int) -> list[FrameSet]:
    """Do what the pipeline does: decode what is wanted, judge it, and choose anew if need be."""

    def judge(sample: Sample) -> bool:
        try:
            _ = sample.image.pixels
        except DecodeError as error:
            return intake.judge_decoded(sample, error)
        return intake.judge_decoded(sample, None)

    for sample in intake.undecoded():
        judge(sample)
    sets = []
    for frame_set in intake.poll(now_ns):
        chosen = frame_set
        while unfit := [s for s in chosen.samples.values() if not judge(s)]:
            again = intake.reselect(chosen)
            if [again.samples.get(s.sensor) for s in unfit] == unfit:
                break
            chosen = again
        sets.append(chosen)
    return sets


def test_pixels_that_take_work_are_not_made_while_pushing() -> None:
    intake, pictures = Intake(one_sensor()), images("rgb")
    sets = []
    for k, sample in enumerate(healthy("rgb", 1.0, 0)):
        late = LateImage(lambda k=k: pictures[k % 16].pixels.copy(), "rgb8")  # type: ignore[misc]
        intake.push(replace(sample, image=late))
        assert not late.made
        sets += decode_and_poll(intake, sample.received_ns + 1)
        assert len(late.made) == 1
    assert len(sets) == 30
    (status,) = intake.status(S)
    assert (status.state, status.received) == (SensorState.OK, 30)


def test_a_damaged_image_is_found_when_its_pixels_are_made() -> None:
    def damaged() -> Pixels:
        raise DecodeError("data is no JPEG: send one", "data")

    intake = Intake(one_sensor())
    for sample in healthy("rgb", 1.0, 0):
        intake.push(replace(sample, image=LateImage(damaged, ENCODINGS["rgb"])))
        for frame_set in decode_and_poll(intake, sample.received_ns + 1):
            assert frame_set.reference_sample.stamp_ns == sample.stamp_ns
            assert frame_set.reference_sample.image.pixels.shape == (60, 80)
            assert frame_set.fused == ()
    (status,) = intake.status(S)
    assert status.state is SensorState.INVALID
    assert status.rejected == {"data": 30}
    assert status.last_error == "rgb: data is no JPEG: send one"


def test_a_picture_that_is_found_damaged_late_is_counted_once() -> None:
    """The network is busy: when it is decoded, its frame set has left and newer ones after it."""
    intake, waiting, damage = Intake(one_sensor()), [], DecodeError("data is no JPEG", "data")
    first, *others = healthy("rgb", 1.0, 0)
    intake.push(first)
    intake.poll(first.received_ns + 1)
    for sample in others:
        intake.push(replace(sample, image=LateImage(lambda: scene("rgb"), "rgb8")))
        waiting += [frames.reference_sample for frames in intake.poll(sample.received_ns + 1)]
    assert not any(intake.judge_decoded(sample, damage) for sample in waiting)
    (status,) = intake.status(S)
    assert (status.taken, status.dropped, status.rejected) == (1, {}, {"data": 29})


def test_before_a_sensor_has_proved_itself_only_its_newest_picture_is_decoded() -> None:
    intake = Intake(one_sensor())
    for sample in healthy("rgb", 1.0, 0):
        intake.push(replace(sample, image=LateImage(lambda: scene("rgb"), "rgb8")))
    (newest,) = intake.undecoded()
    assert newest.time_ns > EPOCH + 0.9 * S
    (status,) = intake.status(S)
    assert status.dropped == {"not decoded, a newer one came": 29}


def test_a_frame_that_was_overtaken_is_neither_decoded_nor_a_frame_set_without_its_picture() -> (
    None
):
    """A network that takes three periods: it gets every third picture, and no set without one."""
    intake, pictures = Intake(one_sensor()), images("rgb")
    made: list[LateImage] = []
    sets: list[FrameSet] = []
    for k, sample in enumerate(healthy("rgb", 3.0, 0)):
        made.append(LateImage(lambda k=k: pictures[k % 16].pixels.copy(), "rgb8"))  # type: ignore[misc]
        intake.push(replace(sample, image=made[-1]))
        if k % 3 == 0:
            newest = intake.poll(sample.received_ns + 1)[-1:]
            for waiting in intake.undecoded():
                _ = waiting.image.pixels
                intake.judge_decoded(waiting, None)
            for frame_set in newest:
                assert intake.judge_decoded(frame_set.reference_sample, None)
                _ = frame_set.reference_sample.image.pixels
                sets.append(frame_set)
    assert len(sets) >= 28
    assert all(s.fused == ("rgb",) for s in sets)
    assert sum(bool(image.made) for image in made) <= len(sets) + 2


@pytest.mark.parametrize("loops", [3])
def test_a_clock_that_goes_back_begins_anew(loops: int) -> None:
    watched = Watched(one_sensor())
    samples = list(healthy("rgb", 3.0, 0))
    for _ in range(loops):
        before = len(watched.sets)
        watched.feed(samples)
        assert len(watched.sets) - before >= 89
        watched.poll(4 * S)
    (status,) = watched.intake.status(4 * S)
    assert (status.arrived, status.received) == (90 * loops, 90 * loops), "its counts go on"
    assert 90 * loops - 3 <= status.taken + sum(status.dropped.values()) <= 90 * loops


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("held", [True, False])
def test_a_picture_that_is_decoded_while_the_clock_goes_back_stays_out_of_the_new_run(
    damaged: bool, held: bool
) -> None:
    intake = Intake(one_sensor())
    late = [
        replace(sample, image=LateImage(lambda: scene("rgb"), "rgb8"))
        for sample in healthy("rgb", 1.0, 0)
    ]
    intake.push(late[0])
    (waiting,) = intake.undecoded()
    if not held:  # but chosen for a frame set
        intake.judge_decoded(waiting, None)
        intake.push(late[1])
        waiting = intake.poll(late[1].received_ns)[-1].reference_sample
    intake.advance(waiting.received_ns - 60 * S)
    before = intake.status(waiting.received_ns - 60 * S)
    error = DecodeError("data is no JPEG", "data") if damaged else None
    assert not intake.judge_decoded(waiting, error)
    assert intake.status(waiting.received_ns - 60 * S) == before
    assert intake.poll(waiting.received_ns - 59 * S) == []


def test_a_clock_that_is_set_back_while_the_pictures_are_dark_is_noticed_all_the_same() -> None:
    """So does a driver that is started again: its clock is right then, its first pictures black."""
    dark = Image(np.zeros_like(images("depth")[0].pixels), "32FC1")

    def restarted(s: Sample) -> Sample:
        after = s.time_ns - EPOCH
        if 1 * S < after < 3 * S:
            return replace(s, stamp_ns=s.stamp_ns + 20 * S, time_ns=s.time_ns + 20 * S)
        return replace(s, image=dark) if 3 * S <= after < 3.4 * S else s

    watched = feed_with(restarted, "depth")
    late = [s for s in watched.sets if s.reference_sample.time_ns - EPOCH > 4.8 * S]
    assert len(late) > 30
    assert all("depth" in s.fused for s in late), "what came with stamps of the future is forgotten"


def test_frame_sets_that_nobody_fetched_stay_counted_when_the_clock_goes_back() -> None:
    intake = Intake(one_sensor())
    for sample in healthy("rgb", 20.0, 0):
        intake.push(sample)
    given_up = intake.overdue
    assert given_up > 0
    intake.advance(-60 * S)
    assert intake.overdue == given_up


def test_a_reference_with_a_bad_image_keeps_its_frames_until_the_next_takes_over() -> None:
    black = Image(0 * images("rgb")[0].pixels, "rgb8")
    bad_ns = EPOCH + 3 * S
    watched = feed_with(lambda s: replace(s, image=black) if s.time_ns > bad_ns else s, "rgb")
    after = [s for s in watched.sets if bad_ns < s.reference_sample.time_ns < bad_ns + S]
    assert len(after) >= 29, "one per frame of whoever is the reference"
    assert not any("rgb" in s.fused for s in after)
    references = [s.reference for s in after]
    assert references == ["rgb"] * 2 + ["events"] * (len(after) - 2)
    assert all("events" in s.fused for s in after)
