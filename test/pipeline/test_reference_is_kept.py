"""When may a frame of the reference go without a mask? Moments in which something stands still.

While the reference lives, and its own work and the fusion fit into its period, one is lost only if
its mask would come half a second after it could. So whatever stands still for less costs none: the
thread that hands messages over, one that works, or the whole process. But for one: a process that
stands still for less than a tenth of a second, in which nothing was due, cannot know of it; and if
the messages of the others are handed over first then, one of them stands in for one frame.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pytest
from fixtures.manifests import small_manifest
from fixtures.messages import compressed_message, image_message
from fixtures.pictures import png
from fixtures.pipelines import CountingEngine
from fixtures.scenes import ENCODINGS, scene
from fixtures.unchecked import UNCHECKED
from fixtures.virtual_machine import Arriving, Machine, split_pipeline
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline

MS = 1_000_000
S = 1_000_000_000
START = 1_700_000_000 * S
HZ = 30.0
PERIOD_MS = 1000 / HZ
SECONDS = 2.6
AT_MS = 800.0

Stall = Literal["hand-over", "hand-over, received in time", "work", "process"]
"""What stands still. The middleware may have received meanwhile what is handed over later."""

_picture = lru_cache(maxsize=1000)(scene)


@lru_cache(maxsize=1000)
def _packed(modality: str, seed: int) -> bytes:
    return png(_picture(modality, seed, 24, 32))


def rig_of(others: int, hz: float = HZ) -> RigConfig:
    kinds = ["rgb", *(("event", "depth", "thermal") * 3)[:others]]
    return RigConfig(
        {
            f"{kind}{n}": SensorConfig(f"{kind}{n}", kind, expected_hz=hz, checks=UNCHECKED)
            for n, kind in enumerate(kinds)
        }
    )


def messages(rig: RigConfig, seconds: float, packed: bool) -> list[Arriving]:
    """What the cameras of a rig send, each in its phase; ``packed``: as compressed images."""
    coming: list[Arriving] = []
    for place, (name, sensor) in enumerate(rig.sensors.items()):
        for k in range(int(seconds * sensor.expected_hz)):
            taken = round((k + 0.1 * place) * sensor.period_ns)
            seed, stamp = 1000 * place + k, START + taken
            if packed and sensor.modality in ("rgb", "thermal"):
                made = compressed_message(_packed(sensor.modality, seed), "png", stamp)
            else:
                pixels = _picture(sensor.modality, seed, 24, 32)
                made = image_message(pixels, ENCODINGS[sensor.modality], stamp)
            coming.append((taken + 4 * MS, name, made))
    return sorted(coming, key=lambda a: a[0])


def held_back(
    coming: list[Arriving], begins_ns: int, ends_ns: int, *, known: bool, last: str
) -> list[Arriving]:
    """Hand over at the end of a time what arrives in it, half a millisecond for each message.

    Args:
        coming: all that arrives, in order.
        begins_ns: from when on.
        ends_ns: until when.
        known: whether it is told when it arrived.
        last: whose topic comes last in each round over all topics, as executors go over them; empty
            if all come in the order of their arrival.
    """
    rounds, places = Counter[str](), []
    for place, (at_ns, sensor, *_) in enumerate(coming):
        held = begins_ns <= at_ns < ends_ns
        round_ = rounds[sensor] if held and last else 0
        places.append((max(0, at_ns - ends_ns), round_, held and sensor == last, place))
        rounds[sensor] += held
    made: list[Arriving] = [(at_ns, *what) for at_ns, *what in coming if at_ns < begins_ns]
    free_ns = ends_ns
    for *_, place in sorted(places)[len(made) :]:
        at_ns, sensor, message, *_ = coming[place]
        handed_ns = max(at_ns, free_ns)
        free_ns = handed_ns + MS // 2
        made.append((handed_ns, sensor, message, at_ns if known else handed_ns))
    return made


def run(
    rig: RigConfig,
    stall: Stall,
    stall_ms: float,
    *,
    at_ms: float = AT_MS,
    seconds: float = SECONDS,
    packed: bool = False,
    by_topic: bool = False,
    pipeline: Pipeline | None = None,
    **machine: Any,
) -> tuple[list[tuple[int, Prediction]], set[int]]:
    """Return the masks, and the stamps of the reference's frames that are in none."""
    pipeline = pipeline or split_pipeline(rig)[0]
    time_ns = round(at_ms * MS), round((at_ms + stall_ms) * MS)
    coming = messages(rig, seconds, packed)
    if stall != "work":
        known = stall == "hand-over, received in time"
        last = next(iter(rig.sensors)) if by_topic else ""
        coming = held_back(coming, *time_ns, known=known, last=last)
    if stall in ("work", "process"):
        machine["stands_still"] = time_ns
    masks = Machine(pipeline, **machine).run(coming)
    first = next(iter(rig.sensors))
    stamps = [m.frame_set.reference_sample.stamp_ns for _, m in masks]
    assert stamps == sorted(set(stamps))
    served = {m.frame_set.reference_sample.stamp_ns for _, m in masks if first in m.sensors}
    period_ns = rig.sensors[first].period_ns
    sent = {START + k * period_ns for k in range(int(seconds * rig.sensors[first].expected_hz))}
    return masks, sent - served


def latest_ms(masks: list[tuple[int, Prediction]]) -> float:
    return max(at - m.frame_set.reference_sample.received_ns for at, m in masks) / MS


STALLS: tuple[Stall, ...] = ("hand-over", "hand-over, received in time", "work", "process")


@settings(max_examples=20, deadline=None)
@example("process", 144, 0, 0.5, 0.5, 8, 1.0, 1, False, False)  # nine cameras on one thread
@example("hand-over", 144, 0, 0.5, 0.5, 8, 1.0, 1, False, False)
@example("hand-over, received in time", 144, 0, 0.6, 0.5, 3, 1.0, 1, True, True)
@example("work", 400, 20, 0.75, 0.2, 3, 2.0, 1, True, False)
@example("process", 350, 10, 0.7, 0.8, 3, 2.0, 2, True, True)
@example("process", 84, 12, 0.5, 0.5, 2, 1.0, 1, False, True)
@example("process", 27, 3, 0.5, 0.5, 2, 1.0, 1, False, True)
@given(
    stall=st.sampled_from(STALLS),
    stall_ms=st.integers(10, 400),
    after_ms=st.integers(0, 33),
    reference_share=st.floats(0.02, 0.75),
    fusion_share=st.floats(0.2, 0.8),
    others=st.integers(0, 8),
    dearer=st.floats(0.2, 3.0),
    threads=st.sampled_from([1, 2]),
    packed=st.booleans(),
    by_topic=st.booleans(),
)
def test_whatever_stands_still_for_less_than_half_a_second_costs_the_reference_no_frame(
    stall: Stall,
    stall_ms: int,
    after_ms: int,
    reference_share: float,
    fusion_share: float,
    others: int,
    dearer: float,
    threads: int,
    packed: bool,
    by_topic: bool,
) -> None:
    """The load is from 2 % to more than 500 % of the threads; what is left out are the others."""
    if stall == "hand-over":
        # As far as anybody knows it is silent then: STALE, and LATE while others stand in for it.
        stall_ms, by_topic = min(stall_ms, 150), False
    reference_ms = reference_share * PERIOD_MS
    fuse_ms = fusion_share * reference_ms
    encode_ms = reference_ms - fuse_ms
    rig = rig_of(others)
    _, *rest = rig.sensors
    masks, lost = run(
        rig,
        stall,
        stall_ms,
        at_ms=AT_MS + after_ms,
        packed=packed,
        by_topic=by_topic,
        threads=threads,
        fuse_ms=fuse_ms,
        decode_ms=encode_ms / 3 if packed else 0.0,
        encode_ms=encode_ms * (2 / 3 if packed else 1.0),
        encode_ms_of=dict.fromkeys(rest, dearer * encode_ms),
    )
    unknown = stall == "process" and by_topic and stall_ms < 100
    assert len(lost) <= unknown
    assert latest_ms(masks) < 650


@pytest.mark.parametrize("stall", ["work", "process"])
@pytest.mark.parametrize("fuse_ms", [10, 20, 26])
def test_so_it_is_with_a_network_that_runs_whole(stall: Stall, fuse_ms: int) -> None:
    """It leaves nobody out: all that it has takes less than the period."""
    rig = rig_of(3)
    model = Model(Path("nowhere"), small_manifest(classes=128))
    pipeline = Pipeline(rig, model, CountingEngine(), in_time=True)
    masks, lost = run(rig, stall, 140, pipeline=pipeline, encode_ms=0.2, fuse_ms=fuse_ms)
    assert lost == set()
    assert latest_ms(masks) < 200


def test_what_is_silent_for_longer_than_it_may_be_is_down_and_a_frame_of_it_may_be_lost() -> None:
    """If the middleware does not say when it came, nothing tells late hand-over from silence."""
    masks, lost = run(rig_of(3), "hand-over", 300, encode_ms=4, fuse_ms=4)
    assert 1 <= len(lost) <= 8
    assert latest_ms(masks) < 120


@pytest.mark.parametrize("behind_ms", [70, 280])
def test_an_executor_that_is_always_behind_makes_no_sensor_silent(behind_ms: int) -> None:
    """Each message was received in time and is handed over later; so is the next one."""
    rig = rig_of(3)
    coming = messages(rig, SECONDS, packed=False)
    behind = [(at_ns + behind_ms * MS, name, message, at_ns) for at_ns, name, message, *_ in coming]
    machine = Machine(split_pipeline(rig)[0], encode_ms=3, fuse_ms=3)
    masks = machine.run(behind)
    assert len(masks) >= len(behind) // 4
    assert all(len(mask.sensors) == 4 for _, mask in masks[5:-4])
    for status in machine.pipeline.status(behind[-1][0] + S):
        assert status.entered in ({"OK": 1, "LATE": 1}, {"OK": 1, "LATE": 1, "STALE": 1}), "the end"


@pytest.mark.parametrize("slower", [2.0, 2.7])
def test_costs_that_jump_cost_no_frame_while_the_reference_still_fits(slower: float) -> None:
    for others in (0, 3, 8):
        _, lost = run(rig_of(others), "work", 0, encode_ms=6, fuse_ms=6, slower_then=slower)
        assert lost == set()


def test_costs_that_jump_beyond_the_period_make_no_queue_that_stays() -> None:
    """It is believed to be a moment's affair for two seconds, and not for ever."""
    rig = rig_of(3)
    masks, _ = run(rig, "work", 0, seconds=7.0, encode_ms=6, fuse_ms=6, slower_then=3.2)
    latest = [(at - m.frame_set.reference_sample.received_ns) / MS for at, m in masks]
    assert max(latest) < 500
    assert max(latest[-50:]) < 130, "the newest first"


@pytest.mark.parametrize("cameras", [2, 4, 6])
def test_decoding_the_others_is_as_optional_as_encoding_them(cameras: int) -> None:
    """Each camera's compressed images take 10 ms; all that the reference needs is 22 of 33 ms."""
    sensors = {
        f"rgb{n}": SensorConfig(f"rgb{n}", "rgb", expected_hz=HZ, checks=UNCHECKED)
        for n in range(cameras)
    }
    rig = RigConfig(sensors)
    masks, lost = run(rig, "work", 0, packed=True, decode_ms=10, encode_ms=6, fuse_ms=6)
    assert lost == set()
    assert latest_ms(masks) < 120
    used = Counter(name for _, mask in masks[10:] for name in mask.sensors)
    assert all(used[name] > 5 for name in sensors), "in the time that is left each has its turn"
