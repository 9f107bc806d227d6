"""The scheduler's rules one by one: nothing is computed, only asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from anymodal_seg_ros.config import RigConfig, default_sensors
from anymodal_seg_ros.frames import FrameSet, Image, Sample
from anymodal_seg_ros.pipeline import scheduler
from anymodal_seg_ros.pipeline.budget import Budget
from anymodal_seg_ros.pipeline.picture import Picture
from anymodal_seg_ros.pipeline.record import FusionRecord
from anymodal_seg_ros.pipeline.scheduler import MOST_PLACES, NO_TIME, OLDEST_NS, Scheduler
from anymodal_seg_ros.pipeline.tasks import Fuse, MaskTask, Order, Prepare
from anymodal_seg_ros.sensing.intake import VERDICT

MS = 1_000_000
RIG = RigConfig(default_sensors())
PICTURE = Picture("rgb", 4, 6, "rgb")
PIXELS = Image(np.zeros((4, 6, 3), np.uint8), "rgb8")


class Stages:
    """Which samples are prepared; depth is registered with the help of another sensor's sample."""

    def __init__(self) -> None:
        self.finished: set[object] = set()

    def key(self, sample: Sample, picture: str, companions: Mapping[str, Sample]) -> object:
        helper = companions.get("thermal") if sample.sensor == "depth" else None
        return sample.sensor, sample.time_ns, picture, helper and helper.time_ns

    def needs_companions(self, sensor: str, picture: str) -> bool:
        return False

    def made(self, sample: Sample, key: object) -> object:
        return True if key in self.finished else None


@dataclass
class Bench:
    """A scheduler whose work is done at once, and is written down."""

    threads: int = 2
    encode_ns: int = 10 * MS
    stages: Stages = field(default_factory=Stages)

    def __post_init__(self) -> None:
        self.budget = Budget(0, self.threads)
        self.budget.encode.observe(self.encode_ns)
        self.record = FusionRecord(RIG.sensors)
        stages: Any = self.stages
        self.scheduler = Scheduler(RIG, stages, self.record, self.budget)

    def __iter__(self) -> Iterator[Order]:
        """The frame sets that wait."""
        return iter(self.scheduler.waiting())

    def finish(self, task: MaskTask | None) -> None:
        assert isinstance(task, Prepare)
        key = self.stages.key(task.sample, task.picture, task.companions)
        self.stages.finished.add(key)
        self.scheduler.done(task)


def sample(sensor: str, at_ms: int = 0) -> Sample:
    time_ns = at_ms * MS
    return Sample(sensor, time_ns, time_ns, time_ns, sensor, PIXELS, made={VERDICT: ""})


def order(
    *samples: Sample, by_ms: int | None = None, hurries: bool = False, burst: int = 0
) -> Order:
    """Return a frame set that is due by itself, or with the others of its burst."""
    chosen = {each.sensor: each for each in samples}
    missing = {name: "not there" for name in RIG.sensors if name not in chosen}
    frame_set = FrameSet("rgb", chosen, missing, samples[0].time_ns)
    due_ns = None if by_ms is None else by_ms * MS
    return Order(frame_set, (), PICTURE, due_ns, hurries, burst or samples[0].time_ns)


def newest(*names: str) -> dict[str, Sample]:
    return {name: sample(name) for name in names}


def test_what_was_spent_is_gone_until_the_next_frame_brings_more() -> None:
    budget = Budget(0, threads=1)
    budget.encode.observe(10 * MS)
    budget.frame_came("rgb", 45 * MS, 4)  # of which the reference takes 10
    spent = 0
    while budget.affords("depth"):
        budget.spend("depth")
        spent += 1
        assert spent < 9
    assert spent == 3 and budget.credit_ns == 5 * MS


def test_another_sensor_needs_credit_and_a_thread_to_spare() -> None:
    for credit_ms, next_frame_ms, admitted in (
        (20, 100, True),  # the next frame of the reference comes later than this takes
        (0, 100, False),
        (20, 5, False),  # it comes meanwhile, and the other thread is taken
        (0, 5, False),
    ):
        bench = Bench()
        bench.budget.credit_ns = 20 * MS
        bench.budget.expect(5 * MS, 33 * MS)
        first = bench.scheduler.take_ahead(
            newest("rgb", "depth"), "rgb", 0, reference="rgb", in_time=False
        )
        bench.finish(first)
        under_way = bench.scheduler.take_ahead(
            newest("rgb", "depth"), "rgb", 0, reference="rgb", in_time=True
        )
        assert isinstance(under_way, Prepare) and under_way.sample.sensor == "depth"
        bench.budget.credit_ns = credit_ms * MS
        bench.budget.expect(next_frame_ms * MS, 33 * MS)
        found = bench.scheduler.take_ahead(
            newest("rgb", "thermal"), "rgb", 0, reference="rgb", in_time=True
        )
        assert (found is not None) == admitted, (credit_ms, next_frame_ms)


def test_a_thread_that_is_done_is_one_to_spare_again() -> None:
    bench = Bench()
    bench.budget.expect(5 * MS, 33 * MS)
    bench.finish(bench.scheduler.take_ahead(newest("rgb"), "rgb", 0, reference="rgb", in_time=True))
    for name in ("depth", "thermal", "events"):
        bench.budget.credit_ns = 20 * MS
        task = bench.scheduler.take_ahead(
            newest("rgb", name), "rgb", 0, reference="rgb", in_time=True
        )
        assert isinstance(task, Prepare) and task.sample.sensor == name
        bench.finish(task)


def test_who_is_behind_has_one_place_for_frame_sets_that_wait() -> None:
    for behind, waiting in ((False, 2), (True, 1)):
        bench = Bench()
        bench.scheduler.backlog.behind = behind
        for at_ms in (0, 33, 66):
            bench.scheduler.add(order(sample("rgb", at_ms)))
        kept = [each.frame_set.reference_sample.time_ns for each in bench.scheduler.waiting()]
        assert kept == [33 * MS, 66 * MS][-waiting:]
        assert bench.scheduler.superseded == 3 - waiting


def test_those_that_became_due_together_all_have_a_place() -> None:
    for burst, kept in ((7, [0, 33, 66]), (0, [33, 66])):
        bench = Bench()
        for at_ms in (0, 33, 66):
            bench.scheduler.add(order(sample("rgb", at_ms), burst=burst))
        waiting = bench.scheduler.waiting()
        assert [each.frame_set.reference_sample.time_ns // MS for each in waiting] == kept


def hurried(bench: Bench, times_ms: Iterable[int]) -> list[int]:
    """Let frame sets come for all of which there is time. Returns which wait."""
    for at_ms in times_ms:
        bench.scheduler.add(order(sample("rgb", at_ms), hurries=True))
    return [each.frame_set.reference_sample.time_ns // MS for each in bench]


def test_what_there_is_time_for_waits_until_it_is_too_old() -> None:
    longest_ms = (OLDEST_NS + RIG.longest_wait_ns) // MS
    bench = Bench()
    assert hurried(bench, range(0, longest_ms + 1, 10)) == [*range(0, longest_ms + 1, 10)]
    assert hurried(bench, [longest_ms + 10])[0] == 10
    assert bench.scheduler.superseded == 1


def test_a_queue_that_does_not_go_is_no_moments_affair() -> None:
    bench = Bench()
    for at_ms in range(0, 3000, 50):
        waiting = hurried(bench, [at_ms])
        assert len(waiting) == (min(at_ms // 50 + 1, 5) if at_ms <= 2000 else MOST_PLACES)
        if len(waiting) > MOST_PLACES:
            del bench.scheduler.waiting()[0]  # it had its mask
    bench.scheduler.drop_waiting()
    assert len(hurried(bench, range(3000, 3300, 50))) == 6, "this one is new"


def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_MOST_HELD_BYTES", 6 * PIXELS.nbytes)
    assert len(hurried(Bench(), range(0, 300, 30))) == 6
    monkeypatch.setattr(scheduler, "_MOST_HELD_BYTES", 0)
    assert len(hurried(Bench(), range(0, 300, 30))) == MOST_PLACES, "these always may"


def test_a_frame_set_that_is_worked_on_is_not_given_up_for_newer_ones() -> None:
    bench = Bench()
    bench.scheduler.add(order(sample("rgb", 0)))
    assert isinstance(bench.scheduler.take(0), Prepare)
    for at_ms in (33, 66, 99):
        bench.scheduler.add(order(sample("rgb", at_ms)))
    kept = [each.frame_set.reference_sample.time_ns for each in bench.scheduler.waiting()]
    assert kept == [0, 99 * MS]


def jumped(at_ms: int) -> Order:
    """Return a frame set with which header time begins anew."""
    made = order(sample("rgb", at_ms))
    made.frame_set = replace(made.frame_set, clock_jump=True)
    return made


def test_that_time_began_anew_is_said_by_the_next_frame_set_that_gets_a_mask() -> None:
    bench = Bench()
    bench.scheduler.add(order(sample("rgb", 1000)))
    assert isinstance(bench.scheduler.take(0), Prepare)
    for each in (jumped(0), order(sample("rgb", 33)), order(sample("rgb", 66))):
        bench.scheduler.add(each)
    said = [(o.frame_set.reference_sample.time_ns // MS, o.frame_set.clock_jump) for o in bench]
    assert said == [(1000, False), (66, True)], "the one with which time began has no place"


@pytest.mark.parametrize("by", [Scheduler.drop_waiting, Scheduler.begin_anew])
def test_so_it_is_where_all_that_waited_is_let_go(by: Callable[[Scheduler], None]) -> None:
    bench = Bench()
    bench.scheduler.add(jumped(0))
    by(bench.scheduler)
    for at_ms in (33, 66):
        bench.scheduler.add(order(sample("rgb", at_ms)))
    assert [o.frame_set.clock_jump for o in bench] == [True, False]


def test_it_wakes_when_a_frame_set_is_to_go_without_the_rest_and_not_again() -> None:
    bench = Bench()
    assert bench.scheduler.next_wakeup_ns() is None
    bench.scheduler.add(order(sample("rgb"), by_ms=40))
    assert bench.scheduler.next_wakeup_ns() == 40 * MS
    assert isinstance(bench.scheduler.take(20 * MS), Prepare)
    assert bench.scheduler.next_wakeup_ns() == 40 * MS
    bench.scheduler.take(40 * MS)
    assert bench.scheduler.next_wakeup_ns() is None, "only the end of work changes anything now"


def test_one_frame_set_is_fused_at_a_time() -> None:
    bench = Bench()
    for at_ms in (0, 33):
        rgb = {"rgb": sample("rgb", at_ms)}
        bench.finish(bench.scheduler.take_ahead(rgb, "rgb", 0, reference="rgb", in_time=False))
    for at_ms in (0, 33):
        bench.scheduler.add(order(sample("rgb", at_ms)))
    first = bench.scheduler.take(0)
    assert isinstance(first, Fuse) and bench.scheduler.take(0) is None
    bench.scheduler.done(first)
    second = bench.scheduler.take(0)
    assert isinstance(second, Fuse)
    assert second.order.frame_set.reference_sample.time_ns == 33 * MS


def test_what_does_not_fit_is_left_out_at_once_only_while_nobody_works_on_it() -> None:
    for at_work in (False, True):
        bench = Bench()
        both = order(sample("rgb"), sample("depth"), by_ms=40)
        bench.scheduler.add(both)
        bench.finish(bench.scheduler.take(0))
        if at_work:
            bench.budget.credit_ns = 20 * MS
            task = bench.scheduler.take(0)
            assert isinstance(task, Prepare) and task.sample.sensor == "depth"
        bench.budget.credit_ns = 0
        found = bench.scheduler.take(0)
        if at_work:
            assert found is None, "it is waited for until the time has come"
            continue
        assert isinstance(found, Fuse)
        reason = found.order.frame_set.missing["depth"]
        assert reason.startswith(f"{NO_TIME}: 10 ms of encoding did not fit")
        assert "rig.max_rate_hz" in reason, "and what helps"


def test_a_sample_is_prepared_with_the_help_of_the_set_it_is_in() -> None:
    """What was prepared with another helper, or with none, does not count."""
    bench = Bench()
    chosen = [sample("rgb"), sample("thermal"), sample("depth")]
    bench.stages.finished.add(bench.stages.key(chosen[2], "rgb", {}))
    bench.scheduler.add(order(*chosen))
    prepared = []
    while not isinstance(task := bench.scheduler.take(0), Fuse):
        assert isinstance(task, Prepare)
        prepared.append(task.sample.sensor)
        bench.finish(task)
    assert sorted(prepared) == ["depth", "rgb", "thermal"]
