"""``anymodal-seg doctor``: is this machine fit to make masks?"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from anymodal_seg_ros.cli.console.plain_console import PlainConsole
from anymodal_seg_ros.config import ENGINES
from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.foreign_text import one_line, quote
from anymodal_seg_ros.inference.engine_protocol import NOT_VERIFIED
from anymodal_seg_ros.inference.hardware.gpu import find_gpu
from anymodal_seg_ros.inference.hardware.machine import LIBRARIES, machine
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.inference.tensorrt.libraries import lack
from anymodal_seg_ros.resources import models_dir

_LIBRARIES = ("numpy", *LIBRARIES[1:], "rosbags")
_OF_ONE_MODULE = {
    "OpenCV": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "ONNX Runtime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
}
"""Distributions that write the same files: one that is installed over another breaks both."""
_OF_ROS = "rclpy.node, sensor_msgs.msg"
_IMPORT_LIMIT_S = 120.0
_PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line of the report.

    Attributes:
        subject: what was looked at.
        words: what was found, with the mend where something is wrong.
        fine: whether nothing needs to be mended.
    """

    subject: str
    words: str
    fine: bool = True


@click.command("doctor")
@click.option("--no-images", is_flag=True, help="Do not send images between two processes.")
@click.option(
    "--size",
    default="640x480",
    show_default=True,
    metavar="WIDTHxHEIGHT",
    help="Of the images that are sent: that of your largest camera.",
)
@click.pass_context
def command(context: click.Context, no_images: bool, size: str) -> None:
    """Look at this machine: ROS, middleware, libraries, engines, models, images between processes.

    The exit code is 0 if everything is fine, 1 if something needs to be mended.
    """
    console, fine = PlainConsole(), True
    pixels = None if no_images else _pixels(size)
    for finding in _everything(pixels):
        mark = "ok  " if finding.fine else "MEND"
        style = None if finding.fine else "red"
        words = f"{mark} {finding.subject}: {finding.words}"
        console.print(words, style=style, soft_wrap=True)
        fine = fine and finding.fine
    if not fine:
        context.exit(1)


def _pixels(size: str) -> tuple[int, int]:
    """Return width and height of ``640x480``."""
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", size)
    if found is None:
        raise click.BadParameter(
            f"{quote(size)}: expected width and height, as in 1280x720", param_hint="--size"
        )
    return int(found[1]), int(found[2])


def _everything(size: tuple[int, int] | None) -> Iterator[Diagnosis]:
    yield Diagnosis("machine", _machine(machine()))
    yield from libraries()
    yield from engines()
    yield from models()
    if importlib.util.find_spec("rclpy") is None:
        yield Diagnosis(
            "ROS 2",
            "rclpy cannot be imported: source an installation, or pip install "
            "'anymodal_seg_ros[ros]'; bags can be segmented without it",
            fine=False,
        )
        return
    if problem := _import_problem(_OF_ROS):
        yield Diagnosis(
            "ROS 2",
            f"rclpy cannot be loaded, {problem}: source an installation that is whole, made for "
            f"Python {platform.python_version()}, and has its RMW_IMPLEMENTATION; bags can be "
            "segmented without it",
            fine=False,
        )
        return
    yield from middleware()
    if size is not None:
        yield images(*size)


def _machine(about: Mapping[str, Any]) -> str:
    """Say what the machine is, a Jetson with its board, release and power mode."""
    words = [f"{about['system']}, Python {about['python']}"]
    words += [f"{name} {about[name]}" for name in ("board", "l4t", "power_mode") if name in about]
    return ", ".join(words)


def libraries() -> Iterator[Diagnosis]:
    """Look at the libraries that are installed, and at those that get into each other's way."""
    found = {name: version for name in _LIBRARIES if (version := _version(name))}
    yield Diagnosis("libraries", ", ".join(f"{name} {version}" for name, version in found.items()))
    for what, names in _OF_ONE_MODULE.items():
        several = [f"{name} {version}" for name in names if (version := _version(name))]
        if len(several) > 1:
            words = f"{' and '.join(several)} overwrite each other: keep one"
            yield Diagnosis(what, words, fine=False)
    if importlib.util.find_spec("cv_bridge") and (problem := _import_problem("cv_bridge")):
        yield Diagnosis(
            "cv_bridge",
            f"it cannot be loaded, {problem}, and breaks nodes that import it (not this one); "
            "where it was built for another NumPy: python -m pip install 'numpy<2'",
            fine=False,
        )


def engines() -> Iterator[Diagnosis]:
    """See which libraries that execute networks are there, and whether Python can load them."""
    # TensorRT is not loaded where it would end its process: only with a GPU, see below.
    there = [name for name in ENGINES if name != "auto" and importlib.util.find_spec(name)]
    broken = {
        name: problem for name in there if name != "tensorrt" and (problem := _import_problem(name))
    }
    sound = ", ".join(name for name in there if name not in broken)
    none = "none can be loaded" if broken else "none: python -m pip install onnxruntime"
    yield Diagnosis("engines", sound or none, fine=bool(sound))
    for name, problem in broken.items():
        mend = f"python -m pip install --force-reinstall {name}"
        yield Diagnosis(name, f"it cannot be loaded, {problem}: {mend}", fine=False)
    try:
        gpu = find_gpu()
    except ConfigError as error:
        yield Diagnosis("GPU", f"none, engines run on the processor ({error})")
        return
    yield Diagnosis(
        "GPU",
        f"{gpu.name}, compute capability {gpu.capability}, driver {gpu.driver}, {gpu.memory_mb} MB;"
        f" what runs on it is {NOT_VERIFIED}",
    )
    if "tensorrt" in there and (problem := lack()):
        yield Diagnosis("TensorRT", problem, fine=False)


def models() -> Iterator[Diagnosis]:
    """Check the hashes of the bundled models."""
    for folder in sorted(path for path in models_dir().iterdir() if path.is_dir()):
        try:
            manifest = load_model(str(folder)).manifest
            yield Diagnosis(f"model {manifest.name}", f"{manifest.version}, whole")
        except AnymodalError as error:
            yield Diagnosis(f"model {folder.name}", str(error), fine=False)


def middleware() -> Iterator[Diagnosis]:
    """Look at the distribution, the middleware and its settings."""
    from anymodal_seg_ros.nodes.topics.image_probe import middleware_name

    name = middleware_name()
    distribution = os.environ.get("ROS_DISTRO") or f"rclpy {_version('rclpy') or 'unknown'}"
    yield Diagnosis("ROS 2", f"{distribution}, {name}, domain {os.environ.get('ROS_DOMAIN_ID', 0)}")
    profile = next((os.environ[v] for v in _PROFILES if os.environ.get(v)), "")
    if "fastrtps" not in name:
        return
    if profile and not os.path.isfile(profile):
        words = f"{quote(profile)} is no file, and Fast DDS goes on without: correct the variable"
        yield Diagnosis("Fast DDS profile", words, fine=False)
        return
    yield Diagnosis(
        "Fast DDS profile",
        profile
        or "none of your own: this package's is used for its own processes; give "
        "it to the drivers too (docs/explanation/dds.md)",
    )


def images(width: int, height: int) -> Diagnosis:
    """See whether images of a size arrive between two processes."""
    from anymodal_seg_ros.nodes.topics.image_probe import HZ, probe

    try:
        sent, received = probe(width, height)
    except AnymodalError as error:
        return Diagnosis("images between processes", str(error), fine=False)
    words = f"{received} of {sent} of {width}x{height} rgb8 at {HZ:g} Hz arrived, best effort"
    if received >= 0.9 * sent:
        return Diagnosis("images between processes", words)
    return Diagnosis(
        "images between processes",
        f"{words}: the middleware's buffers are too small (docs/explanation/dds.md)",
        fine=False,
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _import_problem(name: str) -> str:
    """Say why a library cannot be loaded, empty if it can: in a process, which it may end."""
    command = [sys.executable, "-c", f"import {name}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_IMPORT_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it takes longer than {_IMPORT_LIMIT_S:g} s"
    if done.returncode < 0:
        return f"it ends its process with signal {-done.returncode}"
    return one_line(done.stderr.strip().rpartition("\n")[2]) if done.returncode else ""
