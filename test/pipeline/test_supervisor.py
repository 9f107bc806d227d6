"""An engine that hangs, or does nothing but fail, is noticed; one that is slow for once is not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from fixtures.manifests import small_manifest
from fixtures.messages import image_message
from fixtures.scenes import scene

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import ModalityBatch, Segmentation
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline, activity, supervisor
from anymodal_seg_ros.pipeline.activity import Busy
from anymodal_seg_ros.pipeline.supervisor import Supervisor
from anymodal_seg_ros.pipeline.tasks import Fuse

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

    def watched_for(seconds: int) -> None:
        for _ in range(seconds):
            clock.now_s += 1.0
            watch.stalled()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert engine.entered.wait(60)
    watched_for(1)
    assert watch.stalled() == watch.hopeless() == "", "it may take that"
    watched_for(2)
    assert watch.stalled() == "fusing has taken 3.0 s so far" and watch.hopeless() == ""
    watched_for(7)
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


class Watched:
    """A supervisor whose clock and whose pipeline's work are told what they show."""

    def __init__(self, patch: pytest.MonkeyPatch, timeout_s: float = 10.0) -> None:
        self.now_s, self.busy = 100.0, Busy()
        patch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.watch = Supervisor(self, timeout_s)  # type: ignore[arg-type]

    def longest_work(self) -> Busy:
        return self.busy

    def until(self, found: Callable[[], str], step_s: float = 0.25, most_s: float = 60.0) -> float:
        """Look until something is found; return how long the work had taken then."""
        self.busy = self.busy._replace(what="fusing", since_s=self.now_s)
        while not found() and self.now_s - self.busy.since_s < most_s:
            self.now_s += step_s
        return self.now_s - self.busy.since_s


@pytest.mark.parametrize(
    ("usual_s", "told_s", "ends_s"),
    [
        (None, 2.0, 10.0),  # it may be compiling
        (0.02, 1.0, 3.0),
        (0.1, 1.0, 5.0),
        (0.4, 2.0, 10.0),  # never later than the parameter says
        (3.0, 15.0, 10.0),
    ],
)
def test_a_hang_is_known_by_how_long_such_work_takes_usually(
    usual_s: float | None, told_s: float, ends_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Watched(monkeypatch)
    seen.busy = Busy(usual_s=usual_s)
    assert seen.until(seen.watch.stalled) == pytest.approx(told_s)
    seen = Watched(monkeypatch)
    seen.busy = Busy(usual_s=usual_s)
    assert seen.until(seen.watch.hopeless) == pytest.approx(ends_s)
    assert seen.watch.hopeless().startswith("the engine hangs: fusing has taken ")
    seen.busy = Busy()
    assert seen.watch.hopeless() == seen.watch.stalled() == ""


def test_never_means_never_also_for_what_is_usually_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Watched(monkeypatch, timeout_s=0.0)
    seen.busy = Busy(usual_s=0.02)
    assert seen.until(seen.watch.hopeless) == pytest.approx(60.0)
    assert seen.watch.stalled(), "told all the same"


def test_a_process_that_was_stopped_for_a_while_has_no_engine_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Watched(monkeypatch)
    seen.busy = Busy("fusing", seen.now_s, 0.02)
    assert seen.watch.hopeless() == ""
    seen.now_s += 3600.0  # suspended in the middle of an inference
    assert seen.watch.hopeless() == ""
    seen.now_s += 0.02  # the inference comes back, the next one begins
    seen.busy = Busy("fusing", seen.now_s, 0.02)
    seen.now_s += 0.25
    assert seen.watch.hopeless() == seen.watch.stalled() == ""


def test_what_work_takes_is_learned_of_each_number_of_sensors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 0.0
    monkeypatch.setattr(activity, "time", SimpleNamespace(monotonic=lambda: now_s))
    engine = SimpleNamespace(serving="gpu", replacing=False)
    kept = activity.Activity(engine)  # type: ignore[arg-type]

    def fuse(sensors: int, took_s: float) -> float | None:
        nonlocal now_s
        fused = SimpleNamespace(fused=("a",) * sensors)
        with kept.timed(Fuse(SimpleNamespace(frame_set=fused))):  # type: ignore[arg-type]
            usual_s = kept.longest().usual_s
            now_s += took_s
        return usual_s

    assert fuse(2, 8.0) is None, "the first one compiles"
    for _ in range(500):
        fuse(2, 0.02)
    assert fuse(2, 0.02) == pytest.approx(0.08, abs=0.06), "which is forgotten in seconds"
    assert fuse(3, 8.0) is None, "and so does the first one of three"
    for _ in range(100):
        fuse(2, 0.2)
    assert fuse(2, 0.2) == pytest.approx(0.2), "a processor that has been slowed down"
    engine.replacing = True
    assert fuse(2, 8.0) is None, "this one's engine fails, and another one is loaded"
    engine.serving, engine.replacing = "cpu", False
    assert fuse(2, 8.0) is None, "of which nothing is known"
    assert kept.longest() == Busy()
