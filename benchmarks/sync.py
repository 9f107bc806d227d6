"""Cost and behaviour of the synchroniser beside message_filters' ApproximateTimeSynchronizer.

    python benchmarks/sync.py [--repeats 5] [--json FILE]

Both get the same messages in the same order, in one process and one run. ``message_filters`` is
part of a full ROS 2 install; where it cannot be imported only our own figures are given.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from anymodal_seg_ros.sensing.sync.message_filter import PartialTimeSynchronizer

try:
    from builtin_interfaces.msg import Time as Stamp
    from message_filters import ApproximateTimeSynchronizer, SimpleFilter
except ImportError as error:
    Stamp, ApproximateTimeSynchronizer, WHY_NOT = SimpleNamespace, None, str(error)

NS = 1_000_000_000
EPOCH_NS = 1_700_000_000 * NS
SLOP_S = 0.02


@dataclass(frozen=True)
class Arrival:
    """One message: when it comes, on which topic, with which stamp."""

    now_ns: int
    topic: int
    stamp_ns: int


@dataclass(frozen=True)
class Case:
    """What is played to both."""

    name: str
    arrivals: Sequence[Arrival]
    topics: int
    slop_s: float = SLOP_S


class Inputs:
    """Topics with the conventions of message_filters, cheaper than any real ones."""

    def __init__(self) -> None:
        self.callback: Callable[..., None] = print
        self.args: tuple[Any, ...] = ()

    def registerCallback(self, callback: Callable[..., None], *args: Any) -> None:
        """Keep the one callback."""
        self.callback, self.args = callback, args


def stream(
    topic: int, hz: float, seconds: float, jitter: float = 0.1, lost: float = 0.0
) -> list[Arrival]:
    """Return what one topic sends: jitter as a share of its period, 1 to 4 ms of latency."""
    dice = random.Random(f"{topic}{hz}")
    made = []
    for k in range(int(seconds * hz)):
        time_ns = round((k + 1 + dice.uniform(-jitter, jitter)) * NS / hz)
        arrival = Arrival(time_ns + round(dice.uniform(1e6, 4e6)), topic, EPOCH_NS + time_ns)
        if dice.random() >= lost:
            made.append(arrival)
    return made


def case(name: str, streams: Sequence[list[Arrival]], slop_s: float = SLOP_S) -> Case:
    """Mix some topics in order of arrival."""
    mixed = sorted((a for s in streams for a in s), key=lambda a: a.now_ns)
    return Case(name, mixed, len(streams), slop_s)


def cost_cases(seconds: float) -> list[Case]:
    """Return four topics in good and in bad times."""

    def four(**options: float) -> list[list[Arrival]]:
        return [stream(topic, 30.0, seconds, **options) for topic in range(4)]

    stopped = [*four()[:3], stream(3, 30.0, seconds / 10)]
    mixed = [stream(k, hz, seconds) for k, hz in enumerate((30.0, 30.0, 15.0, 10.0))]
    fast = [*(stream(k, 30.0, seconds) for k in range(3)), stream(3, 200.0, seconds)]
    return [
        case("4 x 30 Hz, 10 % jitter", four()),
        case("4 x 30 Hz, 20 % jitter", four(jitter=0.2)),
        case("4 x 30 Hz, 5 % lost", four(lost=0.05)),
        case("4 x 30 Hz, one stops", stopped),
        case("4 x 30 Hz, one stops, slop 0.1 s", stopped, slop_s=0.1),
        case("30, 30, 15, 10 Hz", mixed),
        case("3 x 30 Hz, 200 Hz", fast),
    ]


def messages(arrivals: Sequence[Arrival]) -> list[Any]:
    """Return a message for every arrival; that is not part of anybody's cost."""
    made = []
    for arrival in arrivals:
        sec, nanosec = divmod(arrival.stamp_ns, NS)
        stamp = Stamp(sec=sec, nanosec=nanosec)
        made.append(SimpleNamespace(header=SimpleNamespace(stamp=stamp)))
    return made


class Ours:
    """Our synchroniser on a fake clock."""

    def __init__(self, topics: int, queue: int, slop_s: float) -> None:
        self.now_ns = 0
        self.inputs = [Inputs() for _ in range(topics)]
        self.sets: list[tuple[Any, ...]] = []
        self.sync = PartialTimeSynchronizer(self.inputs, queue, slop_s, now_ns=lambda: self.now_ns)
        self.sync.registerCallback(lambda *found: self.sets.append(found))

    def play(self, arrivals: Sequence[Arrival], made: Sequence[Any], shift_ns: int = 0) -> float:
        """Play some messages; return the processor time it took in s."""
        inputs = self.inputs
        started = time.process_time()
        for arrival, message in zip(arrivals, made, strict=True):
            self.now_ns = arrival.now_ns + shift_ns
            entry = inputs[arrival.topic]
            entry.callback(message, *entry.args)
        took = time.process_time() - started
        self.now_ns += NS
        self.sync.poll()
        return took


class Theirs:
    """The original."""

    def __init__(self, topics: int, queue: int, slop_s: float) -> None:
        self.inputs = [SimpleFilter() for _ in range(topics)]
        self.sets: list[tuple[Any, ...]] = []
        self.sync = ApproximateTimeSynchronizer(self.inputs, queue, slop_s)
        self.sync.registerCallback(lambda *found: self.sets.append(found))

    def play(self, arrivals: Sequence[Arrival], made: Sequence[Any], shift_ns: int = 0) -> float:
        """As :meth:`Ours.play`; it has no clock."""
        inputs = self.inputs
        started = time.process_time()
        for arrival, message in zip(arrivals, made, strict=True):
            inputs[arrival.topic].signalMessage(message)
        return time.process_time() - started


PLAYERS: dict[str, type[Ours] | type[Theirs]] = {"ours": Ours}
if ApproximateTimeSynchronizer is not None:
    PLAYERS["theirs"] = Theirs


def costs(what: Case, queue: int, repeats: int) -> dict[str, dict[str, float]]:
    """Measure time per message (the best of some repeats) and the share of frames served.

    Both take turns, so that whatever else the machine does hits both.
    """
    made = messages(what.arrivals)
    reference = sum(a.topic == 0 for a in what.arrivals)
    found: dict[str, dict[str, float]] = {}
    for _ in range(repeats):
        for name, kind in PLAYERS.items():
            player = kind(what.topics, queue, what.slop_s)
            gc.collect()
            us = player.play(what.arrivals, made) / len(made) * 1e6
            served = {id(m[0]) for m in player.sets if m[0] is not None}
            best = min(us, found[name]["us_per_message"]) if name in found else us
            found[name] = {"us_per_message": best, "served": len(served) / reference}
    return found


def loops(kind: type[Ours] | type[Theirs], slower_hz: float, queue: int) -> list[int]:
    """Play a bag of 20 s three times; return the frames of the first topic served in each loop."""
    bag = case("", [stream(0, 30.0, 20.0), stream(1, slower_hz, 20.0)], slop_s=0.05)
    player, made, counts = kind(2, queue, bag.slop_s), messages(bag.arrivals), []
    for loop in range(3):
        before = len(player.sets)
        player.play(bag.arrivals, made, loop * (20 * NS + 40_000_000))
        counts.append(len({id(m[0]) for m in player.sets[before:] if m[0] is not None}))
    return counts


def measure_costs(seconds: float, repeats: int) -> list[dict[str, Any]]:
    """Measure all cases at queue sizes of 10, 30 and 100."""
    rows = []
    for what in cost_cases(seconds):
        for queue in (10, 30, 100):
            row: dict[str, Any] = {"case": what.name, "queue": queue}
            row |= costs(what, queue, repeats)
            if "theirs" in row:
                row["ratio"] = row["theirs"]["us_per_message"] / row["ours"]["us_per_message"]
            rows.append(row)
    return rows


def measure_loops() -> list[dict[str, Any]]:
    """Measure what is left of a bag that loops."""
    rows = []
    for slower_hz, queue in ((10.0, 10), (15.0, 5), (30.0, 10)):
        row: dict[str, Any] = {"rates": f"30 + {slower_hz:g} Hz", "queue": queue}
        row |= {name: loops(kind, slower_hz, queue) for name, kind in PLAYERS.items()}
        rows.append(row)
    return rows


def show(measured: list[dict[str, Any]], looped: list[dict[str, Any]]) -> None:
    """Print the figures as Markdown tables."""
    print("| messages | queue | ours µs | theirs µs | ratio | ours served | theirs served |")
    print("|---|---|---|---|---|---|---|")
    for row in measured:
        ours, theirs = row["ours"], row.get("theirs")
        their_cost = f"{theirs['us_per_message']:.1f}" if theirs else "-"
        their_share = f"{theirs['served']:.1%}" if theirs else "-"
        ratio = f"{row['ratio']:.1f}" if theirs else "-"
        print(
            f"| {row['case']} | {row['queue']} | {ours['us_per_message']:.1f} | {their_cost} "
            f"| {ratio} | {ours['served']:.1%} | {their_share} |"
        )
    print("\n| 20 s in three loops | queue | ours: sets of each loop | theirs |")
    print("|---|---|---|---|")
    for row in looped:
        print(f"| {row['rates']} | {row['queue']} | {row['ours']} | {row.get('theirs', '-')} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repeats", type=int, default=5, help="of each measurement; the best counts"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of messages per measurement")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}")
    if ApproximateTimeSynchronizer is None:
        print(f"message_filters cannot be imported ({WHY_NOT}): only our own figures\n")
    measured, looped = measure_costs(options.seconds, options.repeats), measure_loops()
    show(measured, looped)
    if options.json:
        options.json.write_text(json.dumps({"costs": measured, "loops": looped}, indent=2) + "\n")


if __name__ == "__main__":
    main()
