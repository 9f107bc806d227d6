"""Real recordings: no event lost, none invented, whatever way they are read."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.event_messages import joined, packet, rows
from fixtures.event_reference import Evt3Reference, decode_evt2
from rosbags.highlevel import AnyReader

from anymodal_seg_ros.config import EventConfig
from anymodal_seg_ros.sensing.events.evt import Evt2Decoder, Evt3Decoder
from anymodal_seg_ros.sensing.events.render import render_image
from anymodal_seg_ros.sensing.events.windows import EventAccumulator, EventStream

pytestmark = pytest.mark.shared_data

ROOT = Path(os.environ.get("ANYMODAL_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
EVENTS, ON_EVENTS, SUM_US = 343_474, 125_183, 2_851_601_611_994
"""Of the evt3 recording, by its authors' own decoder; the sum without that of external triggers."""
PERIOD_NS = 33_333_333


def recording(name: str) -> Path:
    path = ROOT / "events" / name
    if not path.exists():
        pytest.skip(f"{path} is absent: set ANYMODAL_TEST_DATA to the folder with the recordings")
    return path


def messages(name: str) -> list[Any]:
    with AnyReader([recording(name)]) as reader:
        return [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages()]


@pytest.fixture(scope="module")
def walk() -> list[Any]:
    return messages("evt3_walk_db3")


def stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


@pytest.mark.parametrize("name", ["evt3_walk_db3", "evt3_walk_ros1.bag"])
def test_every_event_of_the_recording_is_decoded_in_order(name: str) -> None:
    source = EventStream(EventConfig(), 1_000_000_000)
    for message in messages(name):
        source.push(message)
    source.flush()
    cut = source.store.cut(0, 1 << 62)
    assert cut.time_ns.size == source.counts.events == EVENTS
    assert int((cut.cells & 1).sum()) == ON_EVENTS
    assert (int(cut.time_ns[0]), int(cut.time_ns[-1])) == (7_139_845_000, 9_218_023_000)
    assert (np.diff(cut.time_ns) >= 0).all()
    assert int((cut.time_ns // 1000).sum()) == SUM_US
    assert (source.counts.lost_packets, source.store.outside) == (0, 0)
    assert source.grid is not None and (source.grid.height, source.grid.width) == (480, 640)


def test_the_recording_is_what_the_loop_says_packet_by_packet(walk: list[Any]) -> None:
    decoder, reference = Evt3Decoder(), Evt3Reference()
    for message in walk[:60]:
        words = np.asarray(message.events).view("<u2")
        parts = list(decoder.decode([packet(words)]))
        assert rows(joined(parts)) == reference.decode(words)


@pytest.mark.parametrize("size", [2, 998, 4097, 65_536])
def test_the_recording_may_be_cut_anywhere(walk: list[Any], size: int) -> None:
    data = b"".join(bytes(message.events) for message in walk[: 5 if size == 2 else None])
    whole = joined(list(Evt3Decoder().decode([packet(data)])))
    decoder = Evt3Decoder()
    pieces = [packet(data[at : at + size]) for at in range(0, len(data), size)]
    cut = joined([part for piece in pieces for part in decoder.decode([piece])])
    for name in ("time_ns", "x", "y", "on"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))


def test_every_event_of_the_evt2_file_is_decoded() -> None:
    data = recording("evt2_sparklers.raw").read_bytes()
    at = 0
    while data[at : at + 1] == b"%":
        at = data.index(b"\n", at) + 1
    events = joined(list(Evt2Decoder().decode([packet(data[at:])])))
    assert len(events) == 521_252
    assert (np.diff(events.time_ns) >= 0).all()
    assert (events.time_ns[-1] - events.time_ns[0]) / 1e6 == pytest.approx(96, abs=0.5)
    assert events.x.max() < 640 and events.y.max() < 480
    words = np.frombuffer(data[at : at + 80_000], "<u4")
    assert rows(events)[:19_000] == decode_evt2(words)[:19_000]


def test_windows_share_the_events_of_the_walk_without_overlap_or_loss(walk: list[Any]) -> None:
    config = EventConfig(window_s=PERIOD_NS / 1e9)
    camera = EventAccumulator(config, PERIOD_NS, 1_000_000_000)
    windows = []
    for message in walk:
        camera.push(message)
        windows += camera.take()
    assert len(windows) >= 60
    assert all(window.complete for window in windows)
    for before, after in pairwise(windows):
        assert before.end_ns == after.start_ns
    total = sum(window.time_ns.size for window in windows)
    # The rest lies in the first period and behind the last window; where the estimate of the
    # clock's offset falls, a few events belong to two windows.
    assert EVENTS - 30_000 < total < EVENTS
    # A packet is stamped when the host has it, so a window may end a few ms before its packets.
    assert 0 <= windows[0].end_ns - stamp_ns(walk[0]) - 2 * PERIOD_NS < PERIOD_NS


def test_the_walking_person_is_seen(walk: list[Any]) -> None:
    camera = EventAccumulator(EventConfig(binning=2), PERIOD_NS, 1_000_000_000)
    images = []
    for message in walk:
        camera.push(message)
        images += [render_image(window) for window in camera.take()]
    pixels = images[len(images) // 2].pixels
    assert pixels.shape == (240, 320, 3)
    active = pixels[..., 2] > 0
    assert 0.01 < active.mean() < 0.5
    assert ((pixels[..., 0] > 0) | (pixels[..., 1] > 0)).tolist() == active.tolist()
