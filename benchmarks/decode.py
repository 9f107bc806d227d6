"""What decoding costs per message, for every encoding, at 1280 x 720 on one core.

    PYTHONPATH=.:test python benchmarks/decode.py [--repeat 20]

`callback` is what the subscription's callback does: everything is checked, nothing is unpacked.
`worker` is what the first use of the pixels does: RGB of a colour image, metres of a depth image, a
contiguous array in native byte order of anything else. `ratio` is the worker's time over that of
`np.frombuffer(data, np.uint8).copy()` of the raw message with the same pixels. Medians of CPU time.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from fixtures.messages import compressed_message, image_message, raw_message
from fixtures.pictures import rvl

from anymodal_seg_ros.frames import Image, Pixels
from anymodal_seg_ros.sensing.decoding.camera_formats import CAMERA_FORMATS
from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.encodings import COLORS, LAYOUTS, METRES, to_metres, to_rgb

HEIGHT, WIDTH = 720, 1280


def scene() -> Pixels:
    """Return RGB with the smooth areas, edges and noise that compression meets on a street."""
    random = np.random.default_rng(0)
    picture = cv2.resize(random.integers(0, 256, (12, 20, 3), np.uint8), (WIDTH, HEIGHT))
    for _ in range(200):
        x, y = int(random.integers(WIDTH)), int(random.integers(HEIGHT))
        color = random.integers(0, 256, 3).tolist()
        cv2.rectangle(picture, (x, y), (x + 60, y + 40), color, -1)
    noise = random.normal(0, 3, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def depth_of(rgb: Pixels) -> Pixels:
    """Return millimetres with holes."""
    depth = rgb[..., 0].astype(np.uint16) * 40 + 500
    depth[cv2.dilate((rgb[..., 1] > 250).astype(np.uint8), np.ones((5, 5))) > 0] = 0
    return depth


def raw_messages(rgb: Pixels) -> Iterator[tuple[str, SimpleNamespace]]:
    """Yield a message of every raw encoding."""
    for name, layout in LAYOUTS.items():
        grey = rgb[..., 0].astype(layout.dtype)
        pixels = grey if layout.channels == 1 else np.stack([grey] * layout.channels, axis=-1)
        yield name, image_message(pixels, name)
    yield "mono16, big-endian", image_message(depth_of(rgb), "mono16", big_endian=True)
    yield "rgb8, padded step", image_message(rgb, "rgb8", padding=64)
    for name, camera_format in CAMERA_FORMATS.items():
        size = camera_format.layout.dtype.itemsize * camera_format.layout.channels
        rows = np.resize(rgb[..., 0], (int(HEIGHT * camera_format.rows), WIDTH * size))
        yield name, raw_message(rows, HEIGHT, WIDTH, name)


def compressed_messages(rgb: Pixels) -> Iterator[tuple[str, SimpleNamespace]]:
    """Yield a message of every compressed kind."""
    depth, bgr = depth_of(rgb), rgb[..., ::-1]
    inverse = np.where(depth > 0, 1.01e7 / np.maximum(depth, 1) - 1000, 0).astype(np.uint16)
    parameters = struct.pack("<iff", 0, 10100.0, -1000.0)
    size = struct.pack("<II", WIDTH, HEIGHT)

    def png(pixels: Pixels) -> bytes:
        return cv2.imencode(".png", pixels)[1].tobytes()

    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    for form, data in (
        ("rgb8; jpeg compressed bgr8", jpeg),
        ("rgb8; png compressed bgr8", png(bgr)),
        ("mono8; jpeg compressed mono8", cv2.imencode(".jpg", rgb[..., 0])[1].tobytes()),
        ("16UC1; png compressed", png(depth)),
        ("16UC1; compressedDepth png", bytes(12) + png(depth)),
        ("16UC1; compressedDepth rvl", bytes(12) + size + rvl(depth)),
        ("32FC1; compressedDepth png", parameters + png(inverse)),
    ):
        yield form, compressed_message(data, form)


def use(image: Image) -> Pixels:
    """Do with the pixels what comes before any arithmetic on them."""
    if image.encoding in COLORS:
        return to_rgb(image)
    if image.encoding in (*METRES, "16UC1"):
        return to_metres(image)
    return np.require(image.pixels, image.pixels.dtype.newbyteorder("="), "C")


def milliseconds(action: Callable[[], Any], repeat: int) -> float:
    """Return the median CPU time of an action."""
    times = []
    for _ in range(repeat + 1):  # the first warms up
        started = time.thread_time()
        action()
        times.append(time.thread_time() - started)
    return 1e3 * statistics.median(times[1:])


def worker_milliseconds(message: Any, repeat: int) -> float:
    """Return the median CPU time of the first use; every message is decoded anew."""
    images = iter([decode_image(message) for _ in range(repeat + 1)])
    return milliseconds(lambda: use(next(images)), repeat)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=20, help="measurements per figure")
    repeat = parser.parse_args().repeat
    cv2.setNumThreads(1)
    rgb = scene()
    print(f"OpenCV {cv2.__version__}, NumPy {np.__version__}, {WIDTH} x {HEIGHT}\n")
    print("| message | MB | callback, us | worker, ms | copy, ms | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, message in (*raw_messages(rgb), *compressed_messages(rgb)):
        image = decode_image(message)
        raw = message.data if hasattr(message, "step") else image.pixels.tobytes()
        copy = milliseconds(lambda raw=raw: np.frombuffer(raw, np.uint8).copy(), repeat)
        callback = milliseconds(lambda message=message: decode_image(message), 10 * repeat)
        worker = worker_milliseconds(message, repeat)
        print(
            f"| `{name}` | {len(message.data) / 1e6:.2f} | {1e3 * callback:.0f} | {worker:.2f} "
            f"| {copy:.2f} | {worker / copy:.1f} |"
        )


if __name__ == "__main__":
    main()
