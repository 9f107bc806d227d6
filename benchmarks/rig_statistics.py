"""How the simulated rig compares with real recordings: events, warm people, holes in depth.

    python benchmarks/rig_statistics.py [--scenes 12]

The recordings are those that the tests use, in the folder named by ANYMODAL_TEST_DATA. The rig is
drawn at 320x240, half of its scenes by day and half by night.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from rosbags.highlevel import AnyReader

from anymodal_seg_ros.config import EventConfig
from anymodal_seg_ros.sensing.events.evt import Evt2Decoder
from anymodal_seg_ros.sensing.events.values import Packet
from anymodal_seg_ros.sensing.events.windows import EventStream
from anymodal_seg_ros.simulation.cameras.events import EventCamera
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.rig import Rig
from anymodal_seg_ros.simulation.world.classes import PERSON, SKY
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig

Rows = list[tuple[str, str, str]]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; the last two are not in it."""

DATA = Path(os.environ.get("ANYMODAL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
_SMALLEST_PX = 12
"""Height of the smallest person that is measured, in rows of 240."""


def warmth(thermal: npt.NDArray[np.generic], boxes: list[Box]) -> Iterator[float]:
    """For each box, the probability that a pixel in it is warmer than one around it.

    By rank, so that an enhanced picture gives the same as a radiometric one. Around it means within
    half the box's size, and in no other box.
    """
    occupied = np.zeros(thermal.shape, bool)
    for left, top, right, bottom in boxes:
        occupied[top:bottom, left:right] = True
    for left, top, right, bottom in boxes:
        inside = thermal[top:bottom, left:right].ravel()
        wide, high = (right - left) // 2 + 1, (bottom - top) // 4 + 1
        rows = slice(max(top - high, 0), bottom + high)
        columns = slice(max(left - wide, 0), right + wide)
        around = np.sort(thermal[rows, columns][~occupied[rows, columns]])
        if inside.size and around.size:
            below = np.searchsorted(around, inside, "left")
            equal = np.searchsorted(around, inside, "right") - below
            yield float(((below + 0.5 * equal) / around.size).mean())


def real_people(light: str) -> list[float]:
    """Warmth of the people in the recorded street pairs; ``light`` is D or N."""
    found: list[float] = []
    for path in sorted((DATA / "rgbt_street" / "boxes").glob(f"*{light}.infrared.txt")):
        name = path.name.removesuffix(".infrared.txt")
        thermal = cv2.imread(str(DATA / "rgbt_street" / "thermal" / f"{name}.jpg"), 0)
        if thermal is None:
            continue
        height, width = thermal.shape
        boxes: list[Box] = []
        for line in path.read_text().splitlines():
            kind, *numbers = line.split()
            cx, cy, w, h = (float(n) for n in numbers[:4])
            if kind == "0" and h * 240 >= _SMALLEST_PX:
                edges = ((cx - w / 2) * width, (cy - h / 2) * height)
                far = ((cx + w / 2) * width, (cy + h / 2) * height)
                boxes.append((*(max(0, round(e)) for e in edges), *(round(f) for f in far)))
        found += warmth(thermal, boxes)
    return found


def rig_people(rig: Rig, scene: Scene) -> list[float]:
    """Warmth of the people in a few frames of a scene, by boxes around their labels."""
    found: list[float] = []
    for time_ns in range(500_000_000, 8_000_000_000, 1_500_000_000):
        frame = rig.capture(scene, time_ns, ["thermal"])
        mask = (frame.labels["thermal"] == PERSON).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        boxes: list[Box] = []
        for left, top, wide, high, _ in stats[1:count]:
            if high >= _SMALLEST_PX and high > wide:
                boxes.append((int(left), int(top), int(left + wide), int(top + high)))
        found += warmth(frame.images["thermal"].pixels, boxes)
    return found


def rig_events(scene: Scene) -> tuple[float, float]:
    """Events of each pixel per second, and the share of positive ones, in a few windows."""
    camera, observer = EventCamera(), Observer(scene)
    size = camera.camera.intrinsics.width * camera.camera.intrinsics.height
    count = positive = 0
    starts = range(300_000_000, 8_000_000_000, 1_900_000_000)
    for start_ns in starts:
        events = camera.packets(observer, start_ns, start_ns + camera.window_ns)
        count += len(events)
        positive += int(np.count_nonzero(events.on))
    seconds = len(starts) * camera.window_ns * 1e-9
    return count / size / seconds, positive / max(count, 1)


def real_events() -> Rows:
    """The two recordings of event cameras."""
    stream = EventStream(EventConfig(), 1_000_000_000)
    with AnyReader([DATA / "events" / "evt3_walk_db3"]) as reader:
        for connection, _, raw in reader.messages():
            stream.push(reader.deserialize(raw, connection.msgtype))
    stream.flush()
    walk = stream.store.cut(0, 1 << 62)
    rows = [_events_row("real: a person walks past", walk.time_ns, walk.cells & 1)]
    data = (DATA / "events" / "evt2_sparklers.raw").read_bytes()
    while data.startswith(b"%"):
        data = data.partition(b"\n")[2]
    packet = Packet(np.frombuffer(data, np.uint8), 0, 0)
    parts = [decoded.events for decoded in Evt2Decoder().decode([packet])]
    times = np.concatenate([np.asarray(part.time_ns) for part in parts])
    on = np.concatenate([np.asarray(part.on) for part in parts])
    return [*rows, _events_row("real: sparklers", times, on)]


def _events_row(
    title: str, times: npt.NDArray[np.int64], on: npt.NDArray[np.generic]
) -> tuple[str, str, str]:
    seconds = (int(times.max()) - int(times.min())) * 1e-9
    rate = times.size / (640 * 480) / seconds
    return title, f"{rate:.2f} /px/s", f"{np.count_nonzero(on) / times.size:.0%} ON"


def real_holes() -> Rows:
    """Share of pixels without a depth in the recordings."""
    rows: Rows = []
    for title, folder, pattern in (
        ("real: hand-held Kinect, indoors", "rgbd_stream", "*.depth.png"),
        ("real: RealSense D415, in and out of doors", "rgbd_indoor_outdoor", "*_depth_u16.png"),
        ("real: stereo of a road, near", "pothole_rgbd", "**/disp*/*.png"),
    ):
        shares = []
        for path in sorted((DATA / folder).glob(pattern)):
            counts = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if counts is not None and counts.dtype == np.uint16:
                shares.append(float(((counts == 0) | (counts == 65535)).mean()))
        if shares:
            rows.append((title, f"{np.mean(shares):.1%}", f"{len(shares)} frames"))
    return rows


def rig_holes(rig: Rig, scene: Scene) -> tuple[float, float]:
    """Share of pixels without a depth: of all, and of those within the range of the sensor."""
    frame = rig.capture(scene, 1_000_000_000, ["depth"])
    lost = np.isnan(frame.images["depth"].pixels)
    reachable = (frame.labels["depth"] != SKY) & (frame.depths["depth"] < 60.0)
    return float(lost.mean()), float(lost[reachable].mean())


def scenes(count: int, **given: str) -> Iterator[Scene]:
    for seed in range(3_000_000, 3_000_000 + count):
        yield Scene(SceneConfig(seed, kind=("urban", "suburban")[seed % 2], **given))


def people_rows(rig: Rig, count: int) -> Rows:
    rows: Rows = []
    for title, light, weather in (("day", "D", "sun"), ("night", "N", "night")):
        found = {
            f"real: street, {title}": real_people(light),
            f"rig: {title}": [
                w for s in scenes(count, weather=weather) for w in rig_people(rig, s)
            ],
        }
        for name, values in found.items():
            colder = np.mean(np.array(values) < 0.5)
            rows.append((name, f"{np.median(values):.2f}", f"{len(values)}, {colder:.0%} colder"))
    return rows


def event_rows(count: int) -> Rows:
    rows: Rows = []
    for weather in ("sun", "night"):
        for ego in ("standing", "driving"):
            figures = [rig_events(s) for s in scenes(count, weather=weather, ego=ego)]
            rate, on = np.median(np.array(figures), axis=0)
            rows.append((f"rig: {ego}, {weather}", f"{rate:.2f} /px/s", f"{on:.0%} ON"))
    return rows


def hole_rows(rig: Rig, count: int) -> Rows:
    figures = np.array([rig_holes(rig, s) for s in scenes(count, weather="sun")]).mean(0)
    return [
        ("rig: all pixels", f"{figures[0]:.1%}", "with the sky"),
        ("rig: within 60 m", f"{figures[1]:.1%}", ""),
    ]


@click.command()
@click.option("--scenes", "count", default=12, show_default=True, help="Scenes of each kind.")
def main(count: int) -> None:
    """Print the tables."""
    if not DATA.is_dir():
        raise click.ClickException(f"no recordings at {DATA}: set ANYMODAL_TEST_DATA")
    cv2.setNumThreads(1)
    rig, console = Rig(), Console()
    half = max(count // 2, 1)
    parts: tuple[tuple[str, Callable[[], Rows]], ...] = (
        ("events", lambda: real_events() + event_rows(max(half // 2, 1))),
        ("people: warmer than their surroundings (0.5: alike)", lambda: people_rows(rig, half)),
        ("depth: pixels without a value", lambda: real_holes() + hole_rows(rig, half)),
    )
    for title, rows in parts:
        table = Table(title=title, show_header=False)
        for row in rows():
            table.add_row(*row)
        console.print(table)


if __name__ == "__main__":
    main()
