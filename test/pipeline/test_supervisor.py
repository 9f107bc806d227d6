"""An engine that hangs, or does nothing but fail, is noticed; one that is slow for once is not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from fixtures.manifests import small_manifest
from fixtures.messages import image_message
from fixtures.scenes import scene

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import ModalityBatch, Segmentation
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline, supervisor
from anymodal_seg_ros.pipeline.supervisor import Supervisor

START = 1_700_000_000_000_000_000


class Hanging:
    """Answers when it is released."""

    name = "hanging"

    def __init__(self) -> None:
        self.entered, self.release = threading.Event(), threading.Event()

    def run(self, batch: ModalityBatch) -> Segmentation:
        self.entered.set()
        self.release.wait()
        raise RuntimeError("late")


class Clock:
    """Stands still until it is moved."""

    now_s = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: made.now_s)
    return made


@pytest.fixture
def pipe(clock: Clock) -> Pipeline:
    rig = RigConfig({"rgb": SensorConfig("a", "rgb")})
    made = Pipeline(rig, Model(Path("nowhere"), small_manifest()), Hanging())
    made.push_message("rgb", image_message(scene("rgb"), "rgb8", START), 0)
    return made


def test_a_call_that_does_not_come_back_is_told_and_ends_in_despair(
    pipe: Pipeline, clock: Clock
) -> None:
    watch, engine = Supervisor(pipe, 10.0), pipe.engine
    assert isinstance(engine, Hanging)
    assert watch.stalled() == watch.hopeless() == ""

    def work() -> None:
        with pytest.raises(RuntimeError):
            while pipe.work(1).worked:
                pass

    thread = threading.Thread(target=work)
    thread.start()
    assert engine.entered.wait(60)
    clock.now_s += 1.0
    assert watch.stalled() == watch.hopeless() == "", "it may take that"
    clock.now_s += 2.0
    assert watch.stalled() == "fusing has taken 3.0 s so far" and watch.hopeless() == ""
    clock.now_s += 7.0
    assert watch.stalled() == "fusing has taken 10.0 s so far"
    assert watch.hopeless().startswith("the engine hangs: fusing has taken 10.0 s; ")
    assert Supervisor(pipe, 0.0).hopeless() == "", "0 means for ever"
    engine.release.set()
    thread.join()
    assert watch.stalled() == watch.hopeless() == ""


def test_nothing_but_failures_for_too_long_and_one_mask_between(
    pipe: Pipeline, clock: Clock
) -> None:
    watch = Supervisor(pipe, 10.0)
    for _ in range(3):
        watch.failed()
    assert watch.hopeless() == ""
    clock.now_s += 10.5
    assert watch.hopeless().startswith("inference has failed 3 times in 10.5 s ")
    watch.succeeded()
    assert watch.hopeless() == ""
    watch.failed()
    clock.now_s += 10.5
    assert watch.hopeless() == "", "one failure is no despair"
