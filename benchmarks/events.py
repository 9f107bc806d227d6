"""Event cameras: events per second decoded and accumulated on one core.

    OMP_NUM_THREADS=1 python benchmarks/events.py

Everything runs in one thread and is timed in processor time, best of several runs, so that other
work on the machine disturbs little. The plain loops over words that the tests hold the decoders to
are timed in the same run; they are the "1" of the last column. Recordings are read from the folder
$ANYMODAL_TEST_DATA (default ../shared/data), see docs/how-to/event-cameras.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

from fixtures.event_messages import SECOND_NS, event_packet, joined, mono_words  # noqa: E402
from fixtures.event_reference import Event, Evt3Reference, decode_evt2  # noqa: E402

from anymodal_seg_ros.config import EventConfig  # noqa: E402
from anymodal_seg_ros.sensing.events.messages import (  # noqa: E402
    create_decoder,
    packet_format,
    read_packet,
)
from anymodal_seg_ros.sensing.events.render import render_image  # noqa: E402
from anymodal_seg_ros.sensing.events.windows import EventAccumulator  # noqa: E402

DATA = Path(os.environ.get("ANYMODAL_TEST_DATA", ROOT.parent / "shared" / "data")) / "events"
PERIOD_NS = SECOND_NS // 30
BUSY_RATE = 20_000_000
"""Events per second of the stream that is made from the recording."""
RUNS = 7


def recording() -> list[Any]:
    """Read the packets of the evt3 recording."""
    with AnyReader([DATA / "evt3_walk_db3"]) as reader:
        return [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages()]


def stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * SECOND_NS + int(message.header.stamp.nanosec)


def busy_words(messages: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Encode the recorded events anew as if all had happened faster, at ``BUSY_RATE``.

    Returns:
        The words, only those that say something new, as a sensor sends them; and in which
        microsecond each was sent.
    """
    decoder = create_decoder(packet_format(messages[0]))
    events = joined(list(decoder.decode([read_packet(message) for message in messages])))
    loops = 20
    time_us = np.arange(loops * len(events)) * 1_000_000 // BUSY_RATE
    x, y, on = (np.tile(column, loops) for column in (events.x, events.y, events.on))
    words = np.stack(
        [0x8000 | time_us >> 12 & 0xFFF, 0x6000 | time_us & 0xFFF, y, 0x2000 | on << 11 | x], axis=1
    ).astype(np.uint16)
    is_new = np.ones(words.shape, np.bool_)
    is_new[1:, :3] = words[1:, :3] != words[:-1, :3]
    return words[is_new], np.repeat(time_us, is_new.sum(axis=1))


def busy_packets(words: np.ndarray, sent_us: np.ndarray, length_us: int) -> list[Any]:
    """Pack a stream as a driver does, a message per ``length_us``."""
    cuts = np.flatnonzero(np.diff(sent_us // length_us)) + 1
    return [
        event_packet(part, seq=seq, stamp_ns=SECOND_NS + 1000 * length_us * (seq + 1))
        for seq, part in enumerate(np.split(words, cuts))
    ]


def evt2_packets() -> list[Any]:
    """Cut the evt2 file into messages of about a millisecond."""
    data = (DATA / "evt2_sparklers.raw").read_bytes()
    at = 0
    while data[at : at + 1] == b"%":
        at = data.index(b"\n", at) + 1
    size = (len(data) - at) // 96 // 4 * 4
    return [
        event_packet(data[begin : begin + size], encoding="evt2", seq=seq, stamp_ns=stamp)
        for seq, begin in enumerate(range(at, len(data), size))
        for stamp in [SECOND_NS + 1_000_000 * seq]
    ]


def mono_packets() -> list[Any]:
    random = np.random.default_rng(0)
    count = 100_000
    packets = []
    for seq in range(20):
        dt_ns = np.sort(random.integers(0, 5_000_000, count))
        words = mono_words(
            dt_ns, random.integers(0, 640, count), random.integers(0, 480, count), dt_ns & 1
        )
        base = 5_000_000 * seq
        stamp = SECOND_NS + base
        packets.append(
            event_packet(words, encoding="mono", seq=seq, time_base=base, stamp_ns=stamp)
        )
    return packets


def decode(messages: list[Any], together: int) -> int:
    """Decode ``together`` packets at a time; return the number of events."""
    decoder = create_decoder(packet_format(messages[0]))
    packets = [read_packet(message) for message in messages]
    return sum(
        len(part.events)
        for at in range(0, len(packets), together)
        for part in decoder.decode(packets[at : at + together])
    )


def accumulate(messages: list[Any]) -> int:
    """Do all that the node does: decode, cut windows at 30 Hz, render them. Return the events."""
    camera = EventAccumulator(EventConfig(window_s=PERIOD_NS / 1e9), PERIOD_NS, SECOND_NS)
    end_ns = stamp_ns(messages[0]) + PERIOD_NS
    for message in messages:
        camera.push(message)
        if stamp_ns(message) >= end_ns:
            camera.request(end_ns)
            end_ns += PERIOD_NS
        for window in camera.take():
            render_image(window)
    camera.stream.flush()
    return int(camera.stream.counts.events)


def loop(events: Iterable[Event]) -> int:
    """Accumulate events one by one: counts of both polarities and the last time of each pixel."""
    counts = [0] * (480 * 640 * 2)
    last = [0] * (480 * 640)
    number = 0
    for time_us, x, y, on in events:
        pixel = 640 * y + x
        counts[2 * pixel + on] += 1
        last[pixel] = time_us
        number += 1
    return number


def rate(work: Callable[[], int], runs: int = RUNS) -> float:
    """Return millions of events per second of processor time, best of some runs."""
    best = 0.0
    for _ in range(runs):
        begin = time.process_time()
        number = work()
        best = max(best, number / (time.process_time() - begin) / 1e6)
    return best


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    walk, sparklers, mono = recording(), evt2_packets(), mono_packets()
    words, sent_us = busy_words(walk)
    busy_4, busy_1 = (busy_packets(words, sent_us, length_us) for length_us in (4000, 1000))
    some = np.concatenate([np.asarray(message.events).view("<u2") for message in walk[:100]])
    some_2 = np.frombuffer(b"".join(message.events for message in sparklers[:20]), "<u4")
    loop_3 = rate(lambda: loop(Evt3Reference().decode(some)), runs=3)
    loop_2 = rate(lambda: loop(decode_evt2(some_2)), runs=3)
    rows = [
        ("evt3 recording: plain loop", loop_3, loop_3),
        ("  decoded packet by packet (664 events each)", rate(lambda: decode(walk, 1)), loop_3),
        ("  decoded 8 packets at a time", rate(lambda: decode(walk, 8)), loop_3),
        ("  decoded and accumulated, 165 k events/s", rate(lambda: accumulate(walk)), loop_3),
        (
            "evt3 at 20 M events/s, packets of 4 ms: decoded",
            rate(lambda: decode(busy_4, 1)),
            loop_3,
        ),
        ("  decoded and accumulated", rate(lambda: accumulate(busy_4)), loop_3),
        ("  packets of 1 ms: decoded and accumulated", rate(lambda: accumulate(busy_1)), loop_3),
        ("evt2 file, 5.4 M events/s: plain loop", loop_2, loop_2),
        ("  decoded", rate(lambda: decode(sparklers, 8)), loop_2),
        ("  decoded and accumulated", rate(lambda: accumulate(sparklers)), loop_2),
        ("mono at 20 M events/s: decoded", rate(lambda: decode(mono, 1)), loop_2),
        ("  decoded and accumulated", rate(lambda: accumulate(mono)), loop_2),
    ]
    per_event = words.size / BUSY_RATE / (sent_us[-1] / 1e6)
    print(f"NumPy {np.__version__}; {per_event:.2f} words per event in the stream of 20 M events/s")
    print(f"{'':52}{'M events/s':>10}{'ratio':>8}")
    for name, value, base in rows:
        print(f"{name:52}{value:10.2f}{value / base:8.0f}")


if __name__ == "__main__":
    main()
