"""What does an engine on a GPU spare a processor by 8-bit pictures instead of planes, and by masks?

    python benchmarks/planes.py

Of each kind of picture that is a line of an 8-bit value: making float32 planes of it and putting
them where a GPU fetches them, beside putting the picture itself there; for a network that takes
pictures of the camera's size and for the bundled ones. Then the exact argmax at the camera's size,
of the logits of a model's self-test, as it is made on the processor. Processor time of one thread,
the best of some rounds; resizing and colour orders, which both ways need, are left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
from traffic import pictures

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.model import DEFAULT_MODEL, Model, load_model
from anymodal_seg_ros.inference.preprocess import planes
from anymodal_seg_ros.inference.verification.self_test import frame_of_all

ROUNDS, TIMES = 7, 20
SIZES = ((480, 640), (192, 256))
TARGETS = ((480, 640), (720, 1280), (1080, 1920))


def best_ms(work: Callable[[], object]) -> float:
    """Return the shortest processor time of a call, in ms, over some rounds of calls."""
    found = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(TIMES):
            work()
        found.append(time.process_time() - started)
    return min(found) / TIMES * 1e3


def costs(image: Image, spec: ModalitySpec) -> tuple[float, ...]:
    """Return ms of planes, of which putting them there, of the picture; MB of both."""
    height, width = image.pixels.shape[:2]
    made, picture = planes(image, spec, height, width), np.zeros_like(image.pixels)
    there = np.zeros_like(made)
    copied = best_ms(lambda: np.copyto(there, made))
    both = best_ms(lambda: np.copyto(there, planes(image, spec, height, width)))
    handed = best_ms(lambda: np.copyto(picture, image.pixels))
    return both, copied, handed, made.nbytes / 1e6, picture.nbytes / 1e6


def of_planes(model: Model) -> None:
    """Compare planes with pictures."""
    rgb, event = (pictures(kind, 1)[0] for kind in ("rgb", "event"))
    kinds = {"rgb": (rgb, "rgb8"), "event": (event, "8UC3"), "thermal": (rgb[..., 0], "mono8")}
    print("| a sensor | planes, ms | putting them there | a picture | planes, MB | a picture |")
    print("|---|---:|---:|---:|---:|---:|")
    for height, width in SIZES:
        for kind, (pixels, encoding) in kinds.items():
            small = cv2.resize(np.ascontiguousarray(pixels), (width, height))
            found = costs(Image(np.asarray(small), encoding), model.manifest.modalities[kind])
            cells = " | ".join(f"{value:.2f}" for value in found)
            print(f"| {kind} {encoding}, {height}×{width} | {cells} |", flush=True)


def of_argmax(model: Model) -> None:
    """Time the argmax at sizes of cameras, of logits of the bundled models and of larger ones."""
    logits = create_engine("onnxruntime", model, 1).run(frame_of_all(model)).logits
    assert logits is not None
    larger = np.stack([cv2.resize(plane, (160, 120)) for plane in logits])
    print("\n| ms a mask, logits | " + " | ".join(f"{h}×{w}" for h, w in TARGETS) + " |")
    print("|---|" + "---:|" * len(TARGETS))
    for found in (logits, larger):
        cells = [f"{best_ms(lambda f=found, s=size: lazy_argmax(f, *s)):.1f}" for size in TARGETS]
        print(f"| {'×'.join(map(str, found.shape))} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    model = load_model(options.model)
    of_planes(model)
    of_argmax(model)


if __name__ == "__main__":
    main()
