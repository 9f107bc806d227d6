"""What one image costs in the callback: content checks alone, and the whole way to a frame set.

    python benchmarks/intake.py

640 x 480 images; processor time in microseconds. Of the checks the mean over some seconds of a
picture that runs sideways and has noise, with every kind of sensor at its rate in the demo, because
the dearer ones are not made of every image, nor of one that is shown again; of the intake the best
of some repeats.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test")]

from fixtures.scenes import ENCODINGS, scene  # noqa: E402

from anymodal_seg_ros.config import (  # noqa: E402
    ChecksConfig,
    RigConfig,
    SensorConfig,
    default_sensors,
)
from anymodal_seg_ros.frames import Image, Sample  # noqa: E402
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker  # noqa: E402
from anymodal_seg_ros.sensing.intake import Intake  # noqa: E402

FRAME_NS = 33_333_333
PICTURES = 4
CHECKED_S, PIXELS_A_FRAME = 20, 2
REPEATS, MESSAGES = 20, 30


def best_us(step: Callable[[int], object]) -> float:
    """Return the processor time of one step, the best of some repeats."""
    took, done = [], 0
    for _ in range(REPEATS):
        started = time.process_time()
        for _ in range(MESSAGES):
            step(done)
            done += 1
        took.append((time.process_time() - started) / MESSAGES)
    return min(took) * 1e6


def pictures(modality: str) -> list[Image]:
    encoding = ENCODINGS[modality]
    return [Image(scene(modality, seed, 480, 640), encoding) for seed in range(PICTURES)]


def drive(modality: str, frames: int) -> Iterator[Image]:
    """Yield what a camera sees that turns: no picture is shown twice."""
    dice, height, width = np.random.default_rng(0), 480, 640
    wide = scene(modality, 0, height, width + PIXELS_A_FRAME * frames)
    for k in range(frames):
        seen = wide[:, k * PIXELS_A_FRAME : k * PIXELS_A_FRAME + width]
        noise = dice.integers(-2, 3, seen.shape, dtype=np.int8)
        if seen.dtype.kind == "f":
            pixels = seen * (1.0 + 0.002 * noise).astype(seen.dtype)
        else:
            top = np.iinfo(seen.dtype).max
            pixels = np.clip(seen.astype(np.int32) + noise, 0, top).astype(seen.dtype)
        yield Image(np.ascontiguousarray(pixels), ENCODINGS[modality])


def check_us(images: Iterable[Image], modality: str, period_ns: int) -> float:
    """Measure the content checks of one image, in the mean of all that come."""
    checker, took, messages = ContentChecker(modality, ChecksConfig()), 0.0, 0
    for image in images:
        started = time.process_time()
        checker.inspect(image, messages * period_ns)
        took += time.process_time() - started
        messages += 1
    return took / messages * 1e6


def intake_us(images: list[Image], modality: str, *, content_checks: bool) -> float:
    """Measure one sample's way from its arrival to a frame set."""
    rig = RigConfig({"one": SensorConfig("one", modality)}, content_checks=content_checks)
    intake = Intake(rig)

    def step(k: int) -> None:
        now_ns = k * FRAME_NS
        intake.push(Sample("one", now_ns + 1, now_ns + 1, now_ns, "", images[k % len(images)]))
        intake.poll(now_ns)

    return best_us(step)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}\n")
    print("| modality | checks | checks, repeated image | whole intake | without checks |")
    print("|---|---|---|---|---|")
    spent_us, sent = 0.0, 0.0
    for sensor in default_sensors().values():
        modality, period_ns = sensor.modality, sensor.period_ns
        images, messages = pictures(modality), CHECKED_S * 1_000_000_000 // period_ns
        checks = check_us(drive(modality, messages), modality, period_ns)
        spent_us, sent = spent_us + checks * sensor.expected_hz, sent + sensor.expected_hz
        figures = (
            checks,
            check_us(itertools.repeat(images[0], messages), modality, period_ns),
            intake_us(images, modality, content_checks=True),
            intake_us(images, modality, content_checks=False),
        )
        print(f"| {modality}, {sensor.expected_hz:g} Hz | ", end="")
        print(" | ".join(f"{us:.0f}" for us in figures) + " |")
    print(f"\nchecks of the demo's rig, in the mean of its {sent:g} images a second: ", end="")
    print(f"{spent_us / sent:.0f} us an image")


if __name__ == "__main__":
    main()
