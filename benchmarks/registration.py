"""What registration costs: warping, depth reprojection, LiDAR projection and HHA, beside a resize.

    python benchmarks/registration.py [--repeat 50]

Everything runs on one thread, on made-up data of the usual sizes. Figures are the least processor
time of many calls, in milliseconds, so that a busy machine matters little. The column "plain
resize" is what ``registration.method: resize``, the default, costs anyway.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import cv2
import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from anymodal_seg_ros.config import RegistrationConfig, SensorConfig
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.point_clouds import decode_cloud
from anymodal_seg_ros.sensing.geometry.alignment import edge_field, measure_shift
from anymodal_seg_ros.sensing.geometry.cameras import Camera
from anymodal_seg_ros.sensing.geometry.extrinsics import Transform
from anymodal_seg_ros.sensing.geometry.hha import PictureRays, hha_image
from anymodal_seg_ros.sensing.geometry.lidar import lidar_image
from anymodal_seg_ros.sensing.geometry.registration import Registrar

POINTS = 131_072
SIZES = {"the reference's 480x640": (480, 640), "a network's 192x256": (192, 256)}
OTHER = (512, 640)
"""Rows and columns of the sensor that is registered."""

MATRIX = [560.0, 0.0, 320.0, 0.0, 560.0, 240.0, 0.0, 0.0, 1.0]
RADTAN = [-0.3, 0.1, 0.001, -0.002, 0.0]
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.integers(1000, 60_000, OTHER)
IMAGES = {
    "rgb8": Image((NOISE[..., np.newaxis] % (251, 241, 239)).astype(np.uint8), "rgb8"),
    "mono8": Image((NOISE % 251).astype(np.uint8), "mono8"),
    "mono16": Image(NOISE.astype(np.uint16), "mono16"),
    "32FC1": Image((NOISE / 1000).astype(np.float32), "32FC1"),
}
FROM = "from {}x{}, depth from 480x640".format(*OTHER)
REFERENCE = Image(np.zeros((480, 640, 3), np.uint8), "rgb8")
DEPTH = Image(np.full((480, 640), 8000, np.uint16), "16UC1")


def least_ms(act: Callable[[], object], repeat: int) -> float:
    """Return the least time of a call after two to warm up: what the work itself takes."""
    times = []
    for turn in range(repeat + 2):
        started = time.thread_time()
        act()
        if turn >= 2:
            times.append(time.thread_time() - started)
    return min(times) * 1e3


def registrar(
    folder: Path, method: str, size: tuple[int, int], depth_method: str = ""
) -> Registrar:
    """Return one for three cameras with distorted lenses, one beside the other."""
    methods = {"first": "resize", "other": method, "depth": depth_method or method}
    configs = {}
    for name, height in (("first", 480), ("other", OTHER[0]), ("depth", 480)):
        content = {
            "image_width": 640,
            "image_height": height,
            "camera_matrix": {"data": MATRIX},
            "distortion_model": "plumb_bob",
            "distortion_coefficients": {"data": RADTAN},
        }
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        configs[name] = RegistrationConfig(
            methods[name],
            calibration=str(path),
            extrinsics="" if methods[name] == "resize" else "0.1 0 0.02 0.01 0 0 0.99995",
            distance_m=20.0,
        )
    sensors = {name: SensorConfig(name, name, registration=c) for name, c in configs.items()}
    return Registrar(sensors, *size, depths=("depth",))


def cloud() -> Any:
    """Return a PointCloud2 of 128 rings of 1024 points all around, as an Ouster sends it."""
    turn, rise = np.meshgrid(np.linspace(-np.pi, np.pi, 1024), np.linspace(-0.39, 0.39, 128))
    reach = RANDOM.uniform(2, 80, turn.shape)
    names = ("x", "y", "z", "intensity")
    points = np.zeros(turn.shape, [(name, np.float32) for name in names])
    points["x"] = reach * np.cos(rise) * np.cos(turn)
    points["y"] = reach * np.cos(rise) * np.sin(turn)
    points["z"] = reach * np.sin(rise)
    fields = [
        SimpleNamespace(name=name, offset=4 * place, datatype=7, count=1)
        for place, name in enumerate(names)
    ]
    return SimpleNamespace(
        height=128,
        width=1024,
        fields=fields,
        is_bigendian=False,
        point_step=16,
        row_step=16 * 1024,
        data=points.tobytes(),
    )


def warps(table: Table, folder: Path, label: str, size: tuple[int, int], repeat: int) -> None:
    """Measure images of every kind."""
    for kind, image in IMAGES.items():
        how = cv2.INTER_AREA if size[0] * 2 <= image.height else cv2.INTER_LINEAR
        static = registrar(folder, "cameras", size)
        images = {"first": REFERENCE, "other": image}
        resize = least_ms(
            lambda i=image, h=how: cv2.resize(i.pixels, size[::-1], interpolation=h), repeat
        )
        warp = least_ms(lambda s=static, i=images: s.register("first", i), repeat)
        table.add_row(f"{kind} to {label}", *_figures(resize, warp))
    carrying = registrar(folder, "depth", size)
    nearest = least_ms(lambda: cv2.resize(DEPTH.pixels, size[::-1], interpolation=0), repeat)
    alone = {"first": REFERENCE, "depth": DEPTH}
    carry = least_ms(lambda: carrying.register("first", alone), repeat)
    table.add_row(f"depth carried to {label}", *_figures(nearest, carry))
    measured = registrar(folder, "depth", size, depth_method="resize")
    for kind in ("rgb8", "mono16"):
        images = {"first": REFERENCE, "other": IMAGES[kind], "depth": DEPTH}
        took = least_ms(lambda i=images: measured.register("first", i), repeat)
        table.add_row(f"{kind} by measured depth to {label}", "", f"{took:.2f}", "")


def _figures(resize: float, registered: float) -> tuple[str, str, str]:
    return f"{resize:.2f}", f"{registered:.2f}", f"{registered / resize:.1f}"


def clouds(table: Table, repeat: int) -> None:
    """Measure a cloud all around the LiDAR, and one of which every point is in the picture."""
    camera = Camera(640, 480, np.reshape(MATRIX, (3, 3)), "plumb_bob", np.array(RADTAN))
    ahead: Transform = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    message = cloud()
    decode = least_ms(lambda: decode_cloud(message), repeat)
    table.add_row(f"view {POINTS:,} points", "", f"{decode:.3f}", "")
    view = decode_cloud(message)
    for label, size in SIZES.items():
        took = least_ms(lambda s=size: lidar_image(view, camera, ahead, *s), repeat)
        table.add_row(f"paint {POINTS:,} points into {label}", "", f"{took:.2f}", "")
    points = np.stack([view[name].ravel() for name in "xyz"], axis=1) @ ahead[:3, :3].T
    seen = np.ascontiguousarray(points[points[:, 2] > 0.5])
    ours = least_ms(lambda: camera.project(seen.astype(np.float32)), repeat)
    still = np.zeros(3)
    theirs = least_ms(
        lambda: cv2.projectPoints(
            seen[:, np.newaxis].astype(np.float64), still, still, camera.matrix, camera.distortion
        ),
        repeat,
    )
    table.add_row(
        f"project {len(seen):,} points (first column: cv2.projectPoints)", *_figures(theirs, ours)
    )


def encodings(table: Table, repeat: int) -> None:
    """Measure HHA of a floor and a wall, as a simulator sees them and with holes."""
    camera = Camera(640, 480, np.reshape(MATRIX, (3, 3)))
    for height, width in SIZES.values():
        rays = PictureRays.of(camera, height, width)
        whole = np.minimum(1.5 / np.maximum(rays.y, 1e-3), 8.0)
        holed = np.where(RANDOM.random(whole.shape) < 0.1, np.float32(np.nan), whole)
        for what, metres in (("whole", whole), ("with holes", holed)):
            took = least_ms(lambda m=metres, r=rays: hha_image(m, r), repeat)
            table.add_row(f"HHA of {height}x{width}, {what}", "", f"{took:.1f}", "")


def once(table: Table, folder: Path) -> None:
    """Measure what is done once for each pair of sensors, and what is done at a desk."""
    for label, size in SIZES.items():
        images = {"first": REFERENCE, "other": IMAGES["mono8"]}
        times = []
        for _ in range(5):
            fresh = registrar(folder, "cameras", size)
            started = time.thread_time()
            fresh.register("first", images)
            times.append((time.thread_time() - started) * 1e3)
        table.add_row(f"make the maps, once, for {label}", "", f"{min(times):.0f}", "")
    fields = [edge_field(IMAGES[kind], 480, 640) for kind in ("mono8", "rgb8")]
    edges = least_ms(lambda: edge_field(IMAGES["mono8"], 480, 640), 5)
    shift = least_ms(lambda: measure_shift(*fields, 64), 5)
    table.add_row("check-alignment: one pair of pictures", "", f"{2 * edges + shift:.0f}", "")


@click.command()
@click.option("--repeat", default=50, show_default=True, help="Calls per figure.")
def main(repeat: int) -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    table = Table(title="one thread, milliseconds of processor time")
    for title in (FROM, "plain resize", "registered", "ratio"):
        table.add_column(title, justify="left" if title == FROM else "right")
    with tempfile.TemporaryDirectory() as name:
        for label, size in SIZES.items():
            warps(table, Path(name), label, size, repeat)
        clouds(table, repeat)
        encodings(table, repeat)
        once(table, Path(name))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
