"""What one image costs in the callback: content checks alone, and the whole way to a frame set.

    python benchmarks/intake.py

640 x 480 images; processor time in microseconds. Of the checks the mean over some seconds, with
every kind of sensor at its rate in the demo, because the dearer ones are not made of every image;
of the intake the best of some repeats.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

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
CHECKED_S = 20
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


def check_us(images: list[Image], modality: str, period_ns: int) -> float:
    """Measure the content checks of one image, in the mean of all that come."""
    checker = ContentChecker(modality, ChecksConfig())
    messages = CHECKED_S * 1_000_000_000 // period_ns
    started = time.process_time()
    for k in range(messages):
        checker.inspect(images[k % len(images)], k * period_ns)
    return (time.process_time() - started) / messages * 1e6


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
    print(f"Python {platform.python_version()}, {platform.machine()}\n")
    print("| modality | checks | checks, repeated image | whole intake | without checks |")
    print("|---|---|---|---|---|")
    spent_us, sent = 0.0, 0.0
    for sensor in default_sensors().values():
        modality, period_ns = sensor.modality, sensor.period_ns
        images = pictures(modality)
        checks = check_us(images, modality, period_ns)
        spent_us, sent = spent_us + checks * sensor.expected_hz, sent + sensor.expected_hz
        figures = (
            checks,
            check_us(images[:1], modality, period_ns),
            intake_us(images, modality, content_checks=True),
            intake_us(images, modality, content_checks=False),
        )
        print(f"| {modality}, {sensor.expected_hz:g} Hz | ", end="")
        print(" | ".join(f"{us:.0f}" for us in figures) + " |")
    print(f"\nchecks of the demo's rig, in the mean of its {sent:g} images a second: ", end="")
    print(f"{spent_us / sent:.0f} us an image")


if __name__ == "__main__":
    main()
