"""An engine that hangs, or does nothing but fail, is noticed; one that is slow for once is not."""

from __future__ import annotations

import threading
import time
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


@pytest.fixture
def pipe() -> Pipeline:
    rig = RigConfig({"rgb": SensorConfig("a", "rgb")})
    made = Pipeline(rig, Model(Path("nowhere"), small_manifest()), Hanging())
    made.push_message("rgb", image_message(scene("rgb"), "rgb8", START), 0)
    return made


def test_a_call_that_does_not_come_back_is_told_and_ends_in_despair(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SLOW_S", 0.05)
    watch, engine = Supervisor(pipe, 0.2), pipe.engine
    assert isinstance(engine, Hanging)
    assert watch.stalled() == watch.hopeless() == ""

    def work() -> None:
        with pytest.raises(RuntimeError):
            while pipe.work(1).worked:
                pass

    thread = threading.Thread(target=work)
    thread.start()
    assert engine.entered.wait(10)
    until = time.monotonic() + 10
    while not watch.hopeless() and time.monotonic() < until:
        time.sleep(0.01)
    assert watch.stalled().startswith("fusing has taken ")
    assert watch.hopeless().startswith("the engine hangs: fusing has taken ")
    assert Supervisor(pipe, 0.0).hopeless() == "", "0 means for ever"
    engine.release.set()
    thread.join()
    assert watch.stalled() == watch.hopeless() == ""


def test_nothing_but_failures_for_too_long_and_one_mask_between(pipe: Pipeline) -> None:
    watch = Supervisor(pipe, 0.05)
    for _ in range(3):
        watch.failed()
    assert watch.hopeless() == ""
    time.sleep(0.1)
    assert watch.hopeless().startswith("inference has failed 3 times in 0.")
    watch.succeeded()
    assert watch.hopeless() == ""
    watch.failed()
    time.sleep(0.1)
    assert watch.hopeless() == "", "one failure is no despair"
