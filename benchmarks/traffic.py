"""What benchmarks feed a pipeline with: healthy pictures as messages, when they are due."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from anymodal_seg_ros.config import RigConfig

HEIGHT, WIDTH = 480, 640
ENCODINGS = {"rgb": "rgb8", "thermal": "16UC1", "depth": "32FC1", "event": "8UC3"}
"""By modality."""

_VALUES = {
    "rgb": (30, 220, 3, np.uint8),
    "thermal": (28_000, 30_500, 1, np.uint16),
    "depth": (2, 50, 1, np.float32),
    "event": (0, 255, 3, np.uint8),
}


def pictures(modality: str, count: int = 20, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """Return some images of a kind of sensor that no content check takes for a fault.

    All kinds show one world, so that no sensor contradicts the others; ``seed`` is of the noise.
    """
    shake = np.random.default_rng((seed, len(modality)))
    low, high, channels, kind = _VALUES[modality]
    world = np.random.default_rng(0).random((12, 16, 3))[..., :channels]
    blocks = (low + (high - low) * world).astype(np.float32)
    smooth = cv2.resize(blocks, (WIDTH, HEIGHT)).reshape(HEIGHT, WIDTH, channels)
    made = []
    for _ in range(count):
        grain = shake.normal(0.0, (high - low) / 100, smooth.shape).astype(np.float32)
        image = np.clip(smooth + grain, low, high)
        if modality == "event":
            image = image * (shake.random((HEIGHT, WIDTH, 1)) < 0.1)
        made.append(np.squeeze(image).astype(kind))
    return made


def message(pixels: np.ndarray[Any, Any], encoding: str, stamp_ns: int) -> Any:
    """Return an image message as rclpy hands it over; copying pixels would not be ours to do."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    stamp = SimpleNamespace(sec=seconds, nanosec=nanoseconds)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp, frame_id="camera"),
        height=HEIGHT,
        width=WIDTH,
        encoding=encoding,
        is_bigendian=0,
        step=pixels.nbytes // HEIGHT,
        data=memoryview(pixels).cast("B"),
    )


def due(rig: RigConfig) -> Iterator[tuple[float, str, int]]:
    """Yield in which second which sensor sends its how manieth message, in order, for ever."""
    sent = dict.fromkeys(rig.sensors, 0)
    phases = {name: 0.1 * place for place, name in enumerate(rig.sensors)}

    def when(name: str) -> float:
        return (sent[name] + phases[name] % 1.0) / rig.sensors[name].expected_hz

    while True:
        name = min(sent, key=when)
        yield when(name), name, sent[name]
        sent[name] += 1


def sleep_until(at: float) -> None:
    """Sleep until a time of ``time.monotonic``."""
    if (wait := at - time.monotonic()) > 0:
        time.sleep(wait)


def rss_mb() -> float:
    """Return the memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def descriptors() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


class Burning:
    """Burn some cores while the body runs."""

    def __init__(self, cores: int) -> None:
        self._stop = multiprocessing.Event()
        self._processes = [
            multiprocessing.Process(target=_burn, args=(self._stop,), daemon=True)
            for _ in range(cores)
        ]

    def __enter__(self) -> None:
        for process in self._processes:
            process.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for process in self._processes:
            process.join()


def _burn(stop: Any) -> None:
    while not stop.is_set():
        sum(range(10_000))
