"""An engine is replaced while it serves: no frame is lost, none mixes features of two engines."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.frames import Features, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.engine_protocol import can_split
from anymodal_seg_ros.inference.serving import HANDOVER_S, MOST_FAILURES, ServingEngine


class Marked:
    """Encodes to its own mark, and refuses the marks of others."""

    def __init__(self, name: str, splits: bool = True) -> None:
        self.name, self.splits = name, splits
        self.fault: Exception | None = None
        self.value = 1.0
        self.fused: list[int] = []

    def run(self, batch: ModalityBatch) -> Segmentation:
        if self.fault is not None:
            raise self.fault
        return Segmentation(logits=np.full((2, 1, 1), self.value, np.float32))

    def encode(self, batch: ModalityBatch) -> tuple[Features, ...]:
        if self.fault is not None:
            raise self.fault
        return tuple(Features(int(kind), (self.name,), 10) for kind in batch.modality_ids)

    def fuse(self, features: Sequence[Features]) -> Segmentation:
        assert {row.pyramid for row in features} == {(self.name,)}, "features of another engine"
        self.fused.append(len(features))
        return self.run(batch(0))


def batch(*kinds: int) -> ModalityBatch:
    return ModalityBatch(np.zeros((len(kinds), 3, 1, 1), np.float32), np.array(kinds, np.int64))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture()
def clock() -> Clock:
    return Clock()


def test_it_is_the_engine_that_serves() -> None:
    engine = ServingEngine(Marked("cpu"))
    assert can_split(engine) and engine.name == "cpu"
    (features,) = engine.encode(batch(2))
    assert (features.modality_id, features.nbytes) == (2, 10)
    assert engine.fuse([features]).logits is not None
    assert not can_split(ServingEngine(Marked("whole", splits=False)))


def test_no_frame_is_lost_when_another_one_takes_over(clock: Clock) -> None:
    old, new, lines = Marked("old"), Marked("new"), list[str]()
    engine = ServingEngine(old, tell=lines.append, clock=clock)
    slow, quick = engine.encode(batch(0, 1))
    engine.replace(new)
    assert engine.name == "new" and lines == ["new takes over from old"]
    (quick,) = engine.encode(batch(1))
    assert quick.nbytes == 20, "both encode for a while"
    engine.fuse([slow, quick])
    assert (old.fused, new.fused) == ([2], []), "the slow sensor has features of the old one only"
    (slow,) = engine.encode(batch(0))
    engine.fuse([slow, quick])
    assert new.fused == [2]
    clock.now = HANDOVER_S
    (late,) = engine.encode(batch(1))
    assert late.nbytes == 20, "until a frame has shown that all comes from the new one"
    engine.fuse([slow, late])
    (after,) = engine.encode(batch(1))
    assert after.nbytes == 10 and old.fused == [2]


def test_the_old_one_is_let_go_if_it_fails_while_it_leaves(clock: Clock) -> None:
    old, new = Marked("old"), Marked("new")
    engine = ServingEngine(old, clock=clock)
    engine.replace(new)
    old.fault = RuntimeError("gone")
    (features,) = engine.encode(batch(0))
    assert features.nbytes == 10
    engine.fuse([features])


def test_features_of_an_engine_that_is_gone_cost_one_frame(clock: Clock) -> None:
    engine = ServingEngine(Marked("old"), clock=clock)
    before = engine.encode(batch(0))
    engine.replace(Marked("new"))
    now = engine.encode(batch(1))
    clock.now = HANDOVER_S
    engine.fuse(now)
    with pytest.raises(EngineError, match="encoded by an engine that new has replaced since"):
        engine.fuse([*before, *now])


@pytest.mark.parametrize("splits", [True, False])
def test_one_that_does_nothing_but_fail_is_replaced_by_the_next(splits: bool) -> None:
    gpu, cpu, lines = Marked("gpu", splits), Marked("cpu", splits), list[str]()

    def spare() -> Marked:
        assert engine.replacing, "which may take longer than a frame"
        return cpu

    engine = ServingEngine(gpu, spare, lines.append)
    run = (lambda: engine.fuse(engine.encode(batch(0)))) if splits else lambda: engine.run(batch(0))
    gpu.fault = RuntimeError("illegal memory access")
    for _ in range(MOST_FAILURES - 1):
        with pytest.raises(RuntimeError):
            run()
    gpu.fault = None
    run()  # one success between them
    gpu.fault = RuntimeError("illegal memory access")
    for _ in range(MOST_FAILURES):
        assert engine.name == "gpu"
        with pytest.raises(RuntimeError):
            run()
    assert engine.name == "cpu" and not engine.replacing
    run()
    assert engine.replaced == "gpu failed 3 times in a row: illegal memory access"
    assert lines == [f"{engine.replaced}; cpu takes over"]
    cpu.fault = RuntimeError("also")
    for _ in range(2 * MOST_FAILURES):
        with pytest.raises(RuntimeError, match="also"):
            run()
    assert engine.name == "cpu", "then it is for whoever watches to end the process"


def test_numbers_that_are_none_are_a_failure() -> None:
    gpu = Marked("gpu")
    engine = ServingEngine(gpu, lambda: Marked("cpu"))
    gpu.value = np.nan
    for _ in range(MOST_FAILURES):
        with pytest.raises(EngineError, match="not finite"):
            engine.fuse(engine.encode(batch(0)))
    assert engine.name == "cpu"


def test_where_no_other_can_be_made_it_is_told_and_goes_on_failing() -> None:
    def none() -> Marked:
        raise RuntimeError("nothing is installed")

    gpu, lines = Marked("gpu"), list[str]()
    engine = ServingEngine(gpu, none, lines.append)
    gpu.fault = RuntimeError("dead")
    for _ in range(2 * MOST_FAILURES):
        with pytest.raises(RuntimeError, match="dead"):
            engine.encode(batch(0))
    assert lines == ["gpu fails (dead), and no other engine can be made: nothing is installed"]


def test_engines_that_are_split_otherwise_do_not_mix() -> None:
    with pytest.raises(EngineError, match="cannot take over"):
        ServingEngine(Marked("halves")).replace(Marked("whole", splits=False))


def test_it_is_replaced_under_threads_that_go_on_working() -> None:
    engine, stop, errors = ServingEngine(Marked("0")), threading.Event(), list[Exception]()

    def work() -> None:
        while not stop.is_set():
            try:
                engine.fuse(engine.encode(batch(0, 1, 2)))
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 30):
        engine.replace(Marked(str(number)))
    stop.set()
    for thread in threads:
        thread.join()
    # An engine that is replaced twice while one frame is made costs that frame and no other.
    assert all(isinstance(error, EngineError) for error in errors)
    assert engine.name == "29"
