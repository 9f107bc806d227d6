"""A whole graph that hangs in one thread: the others go on, and what comes back late is no mask."""

from __future__ import annotations

import threading
from pathlib import Path

from fixtures.manifests import small_manifest
from fixtures.pipelines import MS, RIG, START, CountingEngine, S, message

from anymodal_seg_ros.frames import ModalityBatch, Prediction, Segmentation
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.pipeline.supervisor import Supervisor

LONG_S = 500.0


class HangsOnce(CountingEngine):
    """Works well, then does not come back from one call until it is let go."""

    def __init__(self) -> None:
        self.hang, self.hangs, self.let_go = False, threading.Event(), threading.Event()

    def run(self, batch: ModalityBatch) -> Segmentation:
        if self.hang:
            self.hang = False
            self.hangs.set()
            assert self.let_go.wait(LONG_S)
        return super().run(batch)


class Robot:
    """Two threads' worth of work on a pipeline, in a time that the test tells."""

    def __init__(self) -> None:
        self.engine = HangsOnce()
        model = Model(Path("nowhere"), small_manifest(classes=128))
        self.pipeline = Pipeline(RIG, model, self.engine, in_time=True)
        self.masks: list[Prediction] = []

    def send(self, now_ns: int) -> None:
        for sensor in RIG.sensors:
            error = self.pipeline.push_message(sensor, message(sensor, START + now_ns), now_ns)
            assert error is None

    def work(self, now_ns: int) -> None:
        while self.pipeline.work(now_ns, deliver=self.masks.append).worked:
            pass

    @property
    def stamps(self) -> list[int]:
        return [mask.frame_set.reference_sample.stamp_ns - START for mask in self.masks]


def test_the_other_threads_make_the_newer_masks_and_the_old_one_is_never_published() -> None:
    robot = Robot()
    period = 100 * MS
    for k in range(10):
        robot.send(k * period)
        robot.work(k * period)
    assert robot.stamps == [k * period for k in range(10)]
    robot.engine.hang = True
    robot.send(S)
    thread = threading.Thread(target=robot.work, args=(S,))
    thread.start()
    assert robot.engine.hangs.wait(LONG_S)
    robot.send(S + period)
    robot.work(S + period)
    assert robot.stamps[-1] == 9 * period, "a tenth of a second is no hanging"
    for k in range(11, 21):
        robot.send(k * period)
        robot.work(k * period)
    newer = robot.stamps[10:]
    assert newer and newer == sorted(newer) and newer[0] > S and newer[-1] == 20 * period
    busy = robot.pipeline.longest_work()
    assert busy.what == "fusing", "the supervisor still sees the one that hangs"
    assert Supervisor(robot.pipeline, 10.0).hopeless() == ""
    superseded = robot.pipeline.superseded
    assert superseded >= 1, "that its mask was lost is counted"
    robot.engine.let_go.set()
    thread.join(LONG_S)
    robot.send(21 * period)
    robot.work(21 * period)
    assert robot.stamps == sorted(robot.stamps) and S not in robot.stamps
    assert robot.stamps[-1] == 21 * period and robot.pipeline.longest_work().what == ""


def test_a_mask_that_is_being_published_is_not_taken_for_one_that_hangs() -> None:
    """However long who publishes takes, masks leave in order, and each of them leaves."""
    robot = Robot()
    robot.send(0)
    robot.work(0)
    publishes, let_go = threading.Event(), threading.Event()

    def slow(mask: Prediction) -> None:
        publishes.set()
        assert let_go.wait(LONG_S)
        robot.masks.append(mask)

    def work() -> None:
        while not publishes.is_set():
            robot.pipeline.work(100 * MS, deliver=slow)

    robot.send(100 * MS)
    thread = threading.Thread(target=work)
    thread.start()
    assert publishes.wait(LONG_S)
    for k in range(2, 13):
        robot.send(k * 100 * MS)
        robot.work(k * 100 * MS)
    assert robot.stamps == [0], "masks are made one after the other"
    let_go.set()
    thread.join(LONG_S)
    robot.work(1200 * MS)
    assert robot.stamps[:2] == [0, 100 * MS] and robot.stamps[-1] == 1200 * MS
    assert robot.stamps == sorted(robot.stamps)
