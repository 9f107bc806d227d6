"""Which damage the content checks find, by fault and sensor, and how often they cry wolf.

    PYTHONPATH=. python benchmarks/detection.py --write docs/reliability/detection.md

Each recording is played at 10 Hz to the checks of one sensor: whole, and with a fault of
``anymodal-seg faults`` from its middle on. A fault counts as found when the sensor is DEGRADED or
down within a second. The drives are simulated, and cached after the first run. There may be
recordings of others: ``--data FOLDER`` plays those too, as far as its folders are there.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from anymodal_seg_ros.config import ChecksConfig, SensorConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.kinds import (
    BrokenScan,
    Covered,
    Defocus,
    Drift,
    Fog,
    Garbage,
    Garbled,
    Glare,
    Grain,
    Hanging,
    Holes,
    InjectedFault,
    Mixed,
    MotionBlur,
    Negative,
    OverExposure,
    Stripes,
    Stuck,
    StuckBit,
    StuckLines,
    SwappedBytes,
    Torn,
    Turned,
    UnderExposure,
    Wrong,
    WrongColours,
    WrongGamma,
    WrongUnits,
)
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import CheckResult, Image, SensorState
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.watchdog import Watchdog
from anymodal_seg_ros.simulation.sequence import SequenceConfig, render_sequence
from anymodal_seg_ros.simulation.world.scene import SceneConfig

HZ = 10
S = 1_000_000_000
WITHIN = {"thermal": 2 * HZ}
"""Frames within which a fault must be found; a second where the kind of sensor is not named."""
HEALTHY = 18
"""Frames before the fault."""

FAULTS: dict[str, InjectedFault] = {
    "stuck": Stuck(),
    "two buffers in turn": Hanging(how="two_buffers"),
    "four buffers in turn": Hanging(how="four_buffers"),
    "frozen but for a clock": Hanging(how="clock"),
    "frozen but for one count": Hanging(how="noise"),
    "frozen, compressed anew": Hanging(how="recompressed"),
    "upper half frozen": Hanging(how="half"),
    "a quarter of the blocks frozen": Hanging(how="blocks"),
    "random bytes": Garbage(how="noise"),
    "lower half black": Covered(how="black", severity=0.5),
    "lower half grey": Covered(how="grey", severity=0.5),
    "mud on half": Covered(how="mud", severity=0.5),
    "mud on 85 %": Covered(how="mud", severity=0.85),
    "hand before half": Covered(how="hand", severity=0.5),
    "hand before all": Covered(how="hand", severity=1.0),
    "stuck rows 25 %": StuckLines(how="rows", severity=0.25),
    "stuck columns 25 %": StuckLines(how="columns", severity=0.25),
    "torn rows": Torn(severity=0.5),
    "column stripes": Stripes(how="columns", severity=0.5),
    "row stripes": Stripes(how="rows", severity=0.5),
    "defocus, a little": Defocus(severity=0.25),
    "defocus": Defocus(severity=1.0),
    "fog 90 %": Fog(severity=0.9),
    "glare 30 %": Glare(severity=0.3),
    "glare 85 %": Glare(severity=0.85),
    "salt 5 %": Grain(how="salt", severity=0.1),
    "salt 20 %": Grain(how="salt", severity=0.4),
    "noise, a third of the span": Grain(how="gauss", severity=1.0),
    "motion blur": MotionBlur(severity=0.5),
    "over-exposure": OverExposure(severity=1.0),
    "under-exposure": UnderExposure(severity=1.0),
    "bytes swapped": SwappedBytes(severity=1.0),
    "bit 7 stuck": StuckBit(severity=1.0),
    "negative": Negative(severity=1.0),
    "mirrored": Wrong(how="mirrored"),
    "upside down": Wrong(how="upside_down"),
    "rolled by a third": Garbled(how="rolled", severity=2 / 3),
    "rows a pixel further each": Garbled(how="sheared", severity=1.0),
    "left half twice": Garbled(how="doubled", severity=1.0),
    "blocks elsewhere, 30 %": Garbled(how="blocks", severity=0.3),
    "blocks of one count": Garbled(how="coarse", severity=0.5),
    "bright columns, 12 %": Garbled(how="lines", severity=0.12),
    "rolling picture": Drift(what="roll", per_s=1.0),
    "two fields of different instants": Mixed(how="fields"),
    "lower half of the picture before": Mixed(how="lower_half"),
    "bands of the picture before": Mixed(how="bands"),
    "every second picture an older one": Mixed(how="order"),
    "turned by 15° about its axis": Turned(axis="roll", angle_deg=15.0, edge="mirrored"),
    "turned by 15° to the right": Turned(axis="yaw", angle_deg=15.0, edge="mirrored"),
    "condensation in 0.5 s": Drift(what="condensation", per_s=2.0),
    "condensation in 2 s": Drift(what="condensation", per_s=0.5),
    "herringbone, 15 % of the span": Stripes(how="herringbone", severity=0.3),
    "over-exposure by 3 stops": OverExposure(severity=0.75),
    "counts to the power of 3": WrongGamma(how="dark", severity=1.0),
    "counts to the power of 1/3": WrongGamma(how="bright", severity=1.0),
    "red and blue exchanged": WrongColours(how="exchanged", severity=1.0),
    "no colours left": WrongColours(how="grey", severity=1.0),
    "green all over": WrongColours(how="green", severity=1.0),
    "magenta all over": WrongColours(how="magenta", severity=1.0),
    "colours displaced by a third": WrongColours(how="displaced", severity=1.0),
    "metres as millimetres": WrongUnits(severity=1.0),
    "half of the depth lost": Holes(how="scattered", severity=0.5),
    "98 % of the depth lost": Holes(how="scattered", severity=0.98),
    "no depth on one side": Holes(how="side", severity=0.4),
    "random points": BrokenScan(how="random_points", severity=1.0),
    "random coordinates": BrokenScan(how="random_bytes", severity=1.0),
    "one side without points": BrokenScan(how="missing", severity=0.5),
    "blocked at 0.4 m": BrokenScan(how="blocked", severity=0.9),
}
"""What is tried, by what the table calls it."""

Margins = dict[str, tuple[float, float]]
"""By check: the figure of sound pictures that came nearest to its threshold, and that."""
BELOW = {"black", "blocked", "no_depth", "soft"}
"""Checks that fail below their threshold; ``units`` fails on both sides."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Images of one healthy sensor, in order."""

    name: str
    column: str
    modality: str
    images: Sequence[Image]


def main() -> None:
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "detection")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    recordings = list(simulated(arguments.cache, arguments.seconds))
    if arguments.data is not None:
        recordings += recorded(arguments.data)
    text = report(recordings)
    print(text)
    if arguments.write is not None:
        arguments.write.parent.mkdir(parents=True, exist_ok=True)
        arguments.write.write_text(text)


def simulated(cache: Path, seconds: float) -> Iterator[Recording]:
    """Yield drives of the rig, standing and driving, by day and night and in bad weather."""
    weathers = ("sun", "night", "rain", "fog")
    for seed, (weather, ego) in enumerate(itertools.product(weathers, ("driving", "standing"))):
        config = SequenceConfig(SceneConfig(seed, weather, ego=ego), seconds, HZ)
        sequence = render_sequence(config, cache, workers=1)
        for sensor, column in (("rgb", "rgb"), ("thermal", "thermal 16"), ("depth", "depth")):
            images = [sequence.image(sensor, k) for k in range(len(sequence))]
            yield Recording(f"{weather}, {ego}", column, sensor, images)
            if sensor == "thermal":
                yield Recording(f"{weather}, {ego}", "thermal 8", sensor, eight_bits(images))
    for seed in range(2):
        yield Recording(f"street {seed}", "lidar", "lidar", scans(seed, round(seconds * HZ)))


def recorded(folder: Path) -> list[Recording]:
    """Open recordings of others; folders that are not there are left out."""
    places = {
        "streets, day": ("rgb", "rgb", "rgbt_street/rgb/*D.jpg", "bgr8"),
        "streets, night": ("rgb", "rgb", "rgbt_street/rgb/*N.jpg", "bgr8"),
        "thermal streets, day": ("thermal 8", "thermal", "rgbt_street/thermal/*D.jpg", "mono8"),
        "thermal streets, night": ("thermal 8", "thermal", "rgbt_street/thermal/*N.jpg", "mono8"),
        "labelled streets": ("rgb", "rgb", "rgb_street_labelled/rgb/*", "bgr8"),
        "potholes": ("rgb", "rgb", "pothole_rgbd/dataset2/rgb/*", "bgr8"),
        "disparity of potholes": ("depth", "depth", "pothole_rgbd/dataset2/disparity/*", "16UC1"),
        "hand-held": ("rgb", "rgb", "rgbd_stream/*.color.jpg", "bgr8"),
        "hand-held depth": ("depth", "depth", "rgbd_stream/*.depth.png", "16UC1"),
    }
    found = []
    for name, (column, modality, pattern, encoding) in places.items():
        flag = {"bgr8": cv2.IMREAD_COLOR, "mono8": cv2.IMREAD_GRAYSCALE}.get(encoding, -1)
        pictures = [cv2.imread(str(path), flag) for path in sorted(folder.glob(pattern))]
        images = [Image(picture, encoding) for picture in pictures if picture is not None]
        if len(images) > HEALTHY:
            found.append(Recording(name, column, modality, images))
    return found


def eight_bits(images: Sequence[Image]) -> list[Image]:
    """Return thermal images as cameras with 8 bits show them: two percentiles as 0 and 255."""
    shown = []
    for image in images:
        low, high = np.percentile(image.pixels, (1, 99))
        scaled = (image.pixels.astype(np.float32) - low) * (255.0 / max(float(high - low), 1.0))
        shown.append(Image(np.clip(scaled, 0, 255).astype(np.uint8), "mono8"))
    return shown


def scans(seed: int, count: int) -> list[Image]:
    """Return scans of a simple LiDAR with 16 rings in a street between two walls."""
    made = []
    for number in range(count):
        dice = np.random.default_rng((seed, number))
        azimuth = np.repeat(np.linspace(-np.pi, np.pi, 900, endpoint=False), 16)
        elevation = np.tile(np.deg2rad(np.linspace(-15, 15, 16)), 900)
        wall = 6.0 + seed + np.sin(azimuth * 5 + number / 10)
        ground = np.where(elevation < 0, 1.8 / np.maximum(-np.sin(elevation), 1e-3), np.inf)
        ranges = np.minimum(wall / np.maximum(np.abs(np.sin(azimuth)), 0.05), ground)
        ranges = ranges + dice.normal(0, 0.02, ranges.shape)
        points = np.zeros(ranges.size, [(axis, np.float32) for axis in ("x", "y", "z")])
        # Firing by firing, as one ring after the other.
        order = np.arange(ranges.size).reshape(900, 16).T.reshape(-1)
        ranges, azimuth, elevation = ranges[order], azimuth[order], elevation[order]
        points["x"] = ranges * np.cos(elevation) * np.cos(azimuth)
        points["y"] = ranges * np.cos(elevation) * np.sin(azimuth)
        points["z"] = ranges * np.sin(elevation)
        made.append(Image(points[None], POINT_CLOUD))
    return made


def play(
    recording: Recording, fault: InjectedFault | None, first: int, margins: Margins | None = None
) -> tuple[int | None, str]:
    """Play a recording from ``first`` on.

    Args:
        recording: what is played.
        fault: from its middle on; None: none.
        first: image to begin with.
        margins: taken note of, if given.

    Returns:
        The frame after the beginning of the fault at which the sensor was DEGRADED or down, and
        what was told. Without a fault, any frame.
    """
    checker = ContentChecker(recording.modality, ChecksConfig())
    watchdog = Watchdog({"one": SensorConfig("one", recording.modality, expected_hz=HZ)}, S)
    begin = first + HEALTHY
    faults = () if fault is None else (type(fault)("one", HEALTHY / HZ, **options(fault)),)
    injector = Injector[Image](FaultTimeline(1, faults), {"one": recording.modality})
    within = WITHIN.get(recording.modality, HZ)
    last = len(recording.images) if fault is None else begin + within + 1
    for number, image in enumerate(recording.images[first:last]):
        now_ns = number * S // HZ
        delivery = injector.push("one", now_ns, image)
        assert delivery is not None
        found = checker.inspect(delivery.payload, now_ns)
        watchdog.observe("one", now_ns, found)
        if margins is not None:
            note(margins, checker.results)
        state = watchdog.states()["one"]
        if state is not SensorState.OK:
            told = watchdog.status("one", now_ns).fault
            return number - HEALTHY, f"{state.value}: {told}"
    return None, ""


def note(margins: Margins, results: Sequence[CheckResult]) -> None:
    """Keep the figures that are nearest to where their checks fail."""
    for result in results:
        if result.name == "units" or not result.threshold or not np.isfinite(result.figure):
            continue
        new = result.figure, result.threshold
        old = margins.setdefault(result.name, new)
        margins[result.name] = max(old, new, key=lambda pair: nearness(result.name, *pair))


def nearness(check: str, figure: float, threshold: float) -> float:
    """Return 0 of a figure that is far from failing, and 1 of one at the threshold."""
    one, other = (threshold, figure) if check in BELOW else (figure, threshold)
    return one / max(other, 1e-9)


def options(fault: InjectedFault) -> dict[str, object]:
    """Return the options of a fault but sensor and times."""
    names = [n for cls in type(fault).__mro__ for n in getattr(cls, "__slots__", ())]
    return {n: getattr(fault, n) for n in names if n not in ("sensor", "start_s", "end_s")}


def report(recordings: Sequence[Recording]) -> str:
    columns = list(dict.fromkeys(recording.column for recording in recordings))
    alarms, images = [], 0
    nearest: dict[str, Margins] = {column: {} for column in columns}
    for recording in recordings:
        frame, told = play(recording, None, 0, nearest[recording.column])
        images += len(recording.images)
        if frame is not None:
            alarms.append(f"* {recording.name} ({recording.column}), frame {frame}: {told}")
    rows = []
    for name, fault in FAULTS.items():
        cells = [cell([r for r in recordings if r.column == column], fault) for column in columns]
        if any(cells):
            rows.append(f"| {name} | {' | '.join(c or '–' for c in cells)} |")
    lines = [
        "# What the content checks find",
        "",
        "Written as a whole by `python benchmarks/detection.py --data FOLDER --write` and this",
        "page's path; do not edit. Share of the trials in which the sensor was DEGRADED or down",
        "within a second (a thermal camera, that may close its shutter: two) of the fault's",
        "beginning, at 10 Hz, and the check that told it most often. A dash: the fault cannot",
        "happen to such a sensor.",
        "",
        f"| fault | {' | '.join(columns)} |",
        "|---|" + "---|" * len(columns),
        *rows,
        "",
        f"**False alarms: {len(alarms)}** in {len(recordings)} healthy recordings, "
        f"{images} images:",
        "; ".join(sorted({recording.name for recording in recordings})) + ".",
        *alarms,
        "",
        "## How near sound pictures come to failing",
        "",
        "The figure that came nearest to its threshold in those recordings, as a share of it: 1 is",
        "where a check fails. `soft` has a threshold of each sensor's own and must go on for a",
        "while; `speckle` and `holes` ask for a sensor that was not like that before.",
        "",
        f"| check | {' | '.join(columns)} |",
        "|---|" + "---|" * len(columns),
        *margin_rows([nearest[column] for column in columns]),
        "",
    ]
    return "\n".join(lines)


def margin_rows(columns: Sequence[Margins]) -> list[str]:
    """Return a row of the table for each check that any of the sensors has."""
    rows = []
    for check in dict.fromkeys(name for column in columns for name in column):
        shown = []
        for column in columns:
            figure, threshold = column.get(check, (float("nan"), 0.0))
            near = nearness(check, figure, threshold)
            shown.append(f"{near:.2f} ({figure:.3g} of {threshold:.3g})" if threshold else "–")
        rows.append(f"| `{check}` | {' | '.join(shown)} |")
    return rows


def cell(recordings: Sequence[Recording], fault: InjectedFault) -> str:
    """Say how often a fault was found; empty if it cannot happen to the sensor."""
    found, trials, reasons = 0, 0, dict[str, int]()
    for recording in recordings:
        within = WITHIN.get(recording.modality, HZ)
        longest = len(recording.images) - HEALTHY - within - 1
        for first in range(0, max(1, min(longest, 30)), 15):
            try:
                frame, told = play(recording, fault, first)
            except ConfigError:  # it does not fit such a sensor
                return ""
            trials += 1
            if frame is not None and frame >= 0:
                found += 1
                reason = told.split(": ")[1] if ": " in told else told
                reasons[reason] = reasons.get(reason, 0) + 1
    if not trials:
        return ""
    usual = max(reasons, key=lambda reason: reasons[reason], default="")
    return f"{found / trials:.0%}" + (f" {usual}" if usual else "")


if __name__ == "__main__":
    main()
