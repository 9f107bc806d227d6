"""Who tells of another world? How soon it is found, whether the right one is blamed, false alarms.

    PYTHONPATH=. python benchmarks/lying.py --write docs/reliability/lying.md

Drives that nothing was learned from are looked at as the node looks at its sensors, and after
six looks one sensor begins to lie. Then healthy sensors: the drives one after the other, in many
orders, as if the rig were put from place to place; rooms in which there is little to see; and
recordings of others, if there are any (``--data FOLDER``). Drives are drawn once and kept.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.faults.kinds import Moved, Turned
from anymodal_seg_ros.faults.other_views import other_view
from anymodal_seg_ros.faults.pictures import wrong_picture
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.agreement import load_agreement
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.pipeline.cross_check import structure_of
from anymodal_seg_ros.sensing.health.accord.comparison import SensorComparison
from anymodal_seg_ros.sensing.health.accord.contradiction import NormalAccord
from anymodal_seg_ros.sensing.health.accord.structure import CLEAR, Structure
from anymodal_seg_ros.simulation.drives import HZ, testing_drives
from anymodal_seg_ros.simulation.sequence import render_sequence

KINDS = {"rgb": "rgb", "thermal": "thermal", "depth": "depth", "events": "event"}
"""Modality of each sensor of the rig."""

HEALTHY = 6
"""Looks before the lie."""

WITHIN_S = 3.0
PAST = 8
"""Frames that pictures of the past are old."""

LIES = ("mirrored", "another camera", "moved by a third", "moved by a tenth", "past, driving")
TURNS = {"extrinsics wrong by 5° of yaw": "yaw", "extrinsics wrong by 5° of pitch": "pitch"}

Look = Mapping[str, Structure]
"""Of each sensor at one moment."""


@dataclass
class Tally:
    """How the lies of one kind by one sensor were found."""

    looks: list[int | None] = field(default_factory=list)
    right: int = 0
    wrong: int = 0
    unknown: int = 0


def main() -> None:
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="")
    parser.add_argument("--places", type=int, default=35)
    parser.add_argument("--orders", type=int, default=12)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "drives")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    normal = load_agreement(model)
    if normal is None:
        raise SystemExit(f"{model.folder} has no agreement file: make it with anymodal-train")
    text = report(model.manifest, normal, arguments)
    print(text)
    if arguments.write is not None:
        arguments.write.write_text(text)


def report(manifest: Manifest, normal: NormalAccord, arguments: argparse.Namespace) -> str:
    rig = RigConfig()
    within = round(WITHIN_S / rig.cross_check_s)
    kinds = [*LIES, *TURNS]
    found = {(lie, name): Tally() for lie in kinds for name in KINDS}
    drives: list[list[Look]] = []
    before: Mapping[str, Sequence[Structure]] | None = None
    for number, config in enumerate(testing_drives(arguments.places)):
        sequence = render_sequence(config, arguments.cache, workers=1)
        images = {n: [sequence.image(n, k) for k in range(len(sequence))] for n in KINDS}
        seen = {n: [structure(manifest, n, i) for i in images[n]] for n in KINDS}
        drives.append(looks(seen))
        for name in KINDS:
            for lie, told in lies(manifest, name, images[name], seen[name], before):
                if config.scene.ego == "standing" and (lie == "past, driving" or name == "events"):
                    continue  # nothing can tell before something moves
                spoiled = {**seen, name: [*seen[name][:HEALTHY], *told]}
                judge(looks(spoiled), name, normal, rig, within, found[lie, name])
        before = seen
        print(f"{number + 1} of {arguments.places} drives", flush=True)
    lines = [*HEAD.format(places=arguments.places, every=rig.cross_check_s, hz=HZ).split("\n"), ""]
    lines += ["| lie | " + " | ".join(KINDS) + " |", "|---|" + "---|" * len(KINDS)]
    lines += [
        f"| {lie} | " + " | ".join(cell(found[lie, name], within) for name in KINDS) + " |"
        for lie in kinds
    ]
    tallies = list(found.values())
    right, wrong = sum(t.right for t in tallies), sum(t.wrong for t in tallies)
    unknown = sum(t.unknown for t in tallies)
    lines += [
        "",
        f"Of {right + wrong + unknown} lies that were found, the right sensor was blamed in "
        f"**{right / max(right + wrong + unknown, 1):.1%}**, a wrong one in {wrong}, and in "
        f"{unknown} it was told that somebody lies, but not who.",
        "",
        *healthy(manifest, normal, rig, drives, arguments),
    ]
    return "\n".join(lines) + "\n"


HEAD = """# What the cross-check finds

Written by `benchmarks/lying.py`; do not edit. Sensors that lie among four, on {places} simulated
drives that nothing was learned from: share found within 3 s, and of those found, the share in
which the right sensor was blamed. A look is taken every {every:g} s, as by default; the drives are
drawn at {hz:g} Hz, so that from look to look more changes than on a robot. Event cameras are
judged while the robot drives, and the past is another picture only then: those cells are of drives.
[How it works](../explanation/lying-sensors.md)."""


def structure(manifest: Manifest, sensor: str, image: Image) -> Structure:
    return structure_of(image, manifest.modalities[KINDS[sensor]])


def looks(seen: Mapping[str, Sequence[Structure]]) -> list[Look]:
    return [dict(zip(seen, row, strict=True)) for row in zip(*seen.values(), strict=True)]


def lies(
    manifest: Manifest,
    name: str,
    images: Sequence[Image],
    seen: Sequence[Structure],
    before: Mapping[str, Sequence[Structure]] | None,
) -> Iterator[tuple[str, Sequence[Structure]]]:
    """Yield what a sensor shows from the moment on at which it begins to lie."""
    dice, late = np.random.default_rng(0), images[HEALTHY:]
    changed = {
        "mirrored": [wrong_picture(i, "mirrored", dice) for i in late],
        "moved by a third": [other_view(Moved(share=1 / 3), i) for i in late],
        "moved by a tenth": [other_view(Moved(share=0.1), i) for i in late],
        **{lie: [other_view(Turned(axis=axis), i) for i in late] for lie, axis in TURNS.items()},
    }
    for lie, pictures in changed.items():
        yield lie, [structure(manifest, name, picture) for picture in pictures]
    count = len(images)
    yield "past, driving", [seen[(k - PAST) % count] for k in range(HEALTHY, count)]
    if before is not None:
        yield "another camera", before[name][HEALTHY:]


def judge(
    frames: Iterable[Look],
    liar: str,
    normal: NormalAccord,
    rig: RigConfig,
    within: int,
    tally: Tally,
) -> None:
    """Look at one drive with a liar, and note what comes of it."""
    watch = Watch(normal, rig)
    for number, frame in enumerate(frames):
        watch.look(frame)
        if number >= HEALTHY + within:
            break
        if watch.comparison.doubted:
            blamed = watch.comparison.blamed
            tally.looks.append(number - HEALTHY + 1)
            tally.right += blamed == {liar}
            tally.wrong += bool(blamed - {liar})
            tally.unknown += not blamed
            return
    tally.looks.append(None)


class Watch:
    """Looks at the sensors as the pipeline does."""

    def __init__(self, normal: NormalAccord, rig: RigConfig, kinds: Mapping[str, str] = KINDS):
        self.comparison = SensorComparison(
            normal, kinds, rig.cross_check_evidence, rig.misaligned_above
        )
        self._every_ns, self._now_ns = round(rig.cross_check_s * 1e9), 0

    def look(self, frame: Look) -> None:
        """Take one look."""
        self._now_ns += self._every_ns
        clear = {name: s for name, s in frame.items() if s.clarity >= CLEAR}
        accords = self.comparison.compare(self._now_ns, clear)
        self.comparison.judge(self._now_ns, frame, accords)


def cell(tally: Tally, within: int) -> str:
    if not tally.looks:
        return "–"
    in_time = [looks for looks in tally.looks if looks is not None and looks <= within]
    told = tally.right + tally.wrong + tally.unknown
    share = len(in_time) / len(tally.looks)
    return f"{share:.0%} · {tally.right / told:.0%}" if told else f"{share:.0%}"


def healthy(
    manifest: Manifest,
    normal: NormalAccord,
    rig: RigConfig,
    drives: Sequence[Sequence[Look]],
    arguments: argparse.Namespace,
) -> list[str]:
    """Return the lines about false alarms."""
    dice = np.random.default_rng(0)
    alarms: Counter[str] = Counter()
    count = 0
    for _ in range(arguments.orders):
        order = dice.permutation(len(drives))
        frames = [frame for index in order for frame in drives[index]]
        alarms["from place to place"] += play(frames, normal, rig, KINDS)
        count += len(frames)
    lines = [
        "## False alarms",
        "",
        "| healthy sensors | looks | hours at this rate | alarms |",
        "|---|---:|---:|---:|",
        line("four sensors, put from place to place", count, rig, alarms["from place to place"]),
    ]
    for name in KINDS:
        three = {n: kind for n, kind in KINDS.items() if n != name}
        rest = [
            [{n: s for n, s in frame.items() if n != name} for frame in drive] for drive in drives
        ]
        frames = [f for _ in range(4) for i in dice.permutation(len(rest)) for f in rest[i]]
        found = play(frames, normal, rig, three)
        lines.append(line(f"the same without {name}", len(frames), rig, found))
    for title, frames in rooms(manifest, drives).items():
        lines.append(line(title, len(frames), rig, play(frames, normal, rig, KINDS)))
    if arguments.data is not None:
        for title, frames in recorded(manifest, arguments.data).items():
            two = {"rgb": "rgb", "thermal": "thermal"}
            lines.append(line(title, len(frames), rig, play(frames, normal, rig, two)))
    return lines


def line(title: str, count: int, rig: RigConfig, alarms: int) -> str:
    return f"| {title} | {count} | {count * rig.cross_check_s / 3600:.2f} | {alarms} |"


def play(
    frames: Iterable[Look], normal: NormalAccord, rig: RigConfig, kinds: Mapping[str, str]
) -> int:
    """Return how often somebody is doubted although all are well."""
    watch, alarms, before = Watch(normal, rig, kinds), 0, frozenset[str]()
    for frame in frames:
        watch.look(frame)
        alarms += len(watch.comparison.doubted - before)
        before = watch.comparison.doubted
    return alarms


def rooms(manifest: Manifest, drives: Sequence[Sequence[Look]]) -> dict[str, list[Look]]:
    """Return places where a sensor has little to see, each after a drive."""
    dice = np.random.default_rng(7)

    def noisy(level: float, sigma: float, slope: float = 0.0) -> Image:
        ramp = np.linspace(-slope, slope, 320)[None, :, None]
        light = level + ramp + dice.normal(0, sigma, (240, 320, 3))
        return Image(np.clip(light, 0, 255).astype(np.uint8), "rgb8")

    def heat(kelvin: float, spread: float = 0.0) -> Image:
        ramp = np.linspace(-spread, spread, 240)[:, None]
        counts = (kelvin + ramp + dice.normal(0, 0.05, (240, 320))) * 100
        return Image(counts.astype(np.uint16), "mono16")

    def wall(metres: float) -> Image:
        tilt = metres * (1 + np.linspace(-0.2, 0.2, 320)[None])
        distance = tilt + dice.normal(0, 0.01, (240, 320))
        return Image(distance.astype(np.float32), "32FC1")

    def quiet(share: float) -> Image:
        lone = dice.random((240, 320, 1)) < share
        return Image((lone * np.array([255, 0, 128])).astype(np.uint8), "8UC3")

    def nothing() -> Image:
        return Image(np.full((240, 320), np.nan, np.float32), "32FC1")

    made = {
        "a white wall": lambda: (noisy(225, 2, 15), heat(293), wall(1.5), quiet(0.002)),
        "the sky": lambda: (noisy(190, 2, 10), heat(255, 2), nothing(), quiet(0.001)),
    }
    found = {}
    for title, make in made.items():
        shown = []
        for _ in range(200):
            pictures = dict(zip(KINDS, make(), strict=True))
            shown.append({n: structure(manifest, n, i) for n, i in pictures.items()})
        found[title] = [frame for drive in drives[:6] for frame in (*drive, *shown)]
    dark = []
    for drive in drives:
        for frame in drive:
            black = structure(manifest, "rgb", noisy(6, 2.5))
            dark.append(
                {**frame, "rgb": black, "events": structure(manifest, "events", quiet(0.01))}
            )
    found["a dark garage: rgb and events see noise, the others their drive"] = dark
    turns = zip(drives, reversed(drives), strict=True)
    found["in and out of it"] = [
        frame for there, here in turns for frame in (*there, *dark[: len(here)])
    ]
    return found


def recorded(manifest: Manifest, folder: Path) -> dict[str, list[Look]]:
    """Return pairs of colour and thermal images that others have taken, in order."""
    found: dict[str, list[Look]] = {}
    for title, pattern in (("streets by day", "*D.jpg"), ("streets by night", "*N.jpg")):
        for path in sorted((folder / "rgbt_street" / "rgb").glob(pattern)):
            colour = cv2.imread(str(path), cv2.IMREAD_COLOR)
            warm = cv2.imread(str(folder / "rgbt_street" / "thermal" / path.name), 0)
            if colour is not None and warm is not None:
                images = {"rgb": Image(colour, "bgr8"), "thermal": Image(warm, "mono8")}
                frame = {n: structure(manifest, n, image) for n, image in images.items()}
                found.setdefault(f"recorded {title}, rgb and thermal", []).append(frame)
    return found


if __name__ == "__main__":
    main()
