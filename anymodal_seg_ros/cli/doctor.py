"""``anymodal-seg doctor``: is this machine fit to make masks?"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from anymodal_seg_ros.cli.plain_console import PlainConsole
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.inference.machine import machine
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.resources import models_dir

_LIBRARIES = ("numpy", "onnxruntime", "openvino", "tensorrt", "torch", "rosbags")
_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")
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
@click.pass_context
def command(context: click.Context, no_images: bool) -> None:
    """Look at this machine: ROS, middleware, libraries, engines, models, images between processes.

    The exit code is 0 if everything is fine, 1 if something needs to be mended.
    """
    console, fine = PlainConsole(), True
    for finding in _everything(no_images):
        mark = "ok  " if finding.fine else "MEND"
        style = None if finding.fine else "red"
        words = f"{mark} {finding.subject}: {finding.words}"
        console.print(words, style=style, soft_wrap=True)
        fine = fine and finding.fine
    if not fine:
        context.exit(1)


def _everything(no_images: bool) -> Iterator[Diagnosis]:
    yield Diagnosis("machine", _machine(machine()))
    yield from libraries()
    yield from models()
    if importlib.util.find_spec("rclpy") is None:
        yield Diagnosis(
            "ROS 2",
            "rclpy cannot be imported: source an installation, or pip install "
            "'anymodal_seg_ros[ros]'; bags can be segmented without it",
            fine=False,
        )
        return
    yield from middleware()
    if not no_images:
        yield images()


def _machine(about: Mapping[str, Any]) -> str:
    """Say what the machine is, a Jetson with its board, release and power mode."""
    words = [f"{about['system']}, Python {about['python']}"]
    words += [f"{name} {about[name]}" for name in ("board", "l4t", "power_mode") if name in about]
    return ", ".join(words)


def libraries() -> Iterator[Diagnosis]:
    """Look at the libraries that are installed, and at those that get into each other's way."""
    found = {name: version for name in _LIBRARIES if (version := _version(name))}
    yield Diagnosis("libraries", ", ".join(f"{name} {version}" for name, version in found.items()))
    engines = [name for name in ("onnxruntime", "openvino", "tensorrt", "torch") if name in found]
    yield Diagnosis(
        "engines",
        ", ".join(engines) or "none: python -m pip install onnxruntime",
        fine=bool(engines),
    )
    opencvs = [f"{name} {version}" for name in _OPENCV if (version := _version(name))]
    if len(opencvs) > 1:
        yield Diagnosis(
            "OpenCV", f"{' and '.join(opencvs)} overwrite each other: keep one", fine=False
        )
    if importlib.util.find_spec("cv_bridge") and not _imports("cv_bridge"):
        yield Diagnosis(
            "cv_bridge",
            "it was built for another NumPy and breaks nodes that import it (not this one): "
            "python -m pip install 'numpy<2'",
            fine=False,
        )


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
    from anymodal_seg_ros.nodes.image_probe import middleware_name

    name = middleware_name()
    distribution = os.environ.get("ROS_DISTRO") or f"rclpy {_version('rclpy') or 'unknown'}"
    yield Diagnosis("ROS 2", f"{distribution}, {name}, domain {os.environ.get('ROS_DOMAIN_ID', 0)}")
    profile = next((os.environ[v] for v in _PROFILES if os.environ.get(v)), "")
    if "fastrtps" in name:
        yield Diagnosis(
            "Fast DDS profile",
            profile
            or "none of your own: this package's is used for its own processes; give "
            "it to the drivers too (docs/explanation/dds.md)",
        )


def images() -> Diagnosis:
    """See whether images of a usual size arrive between two processes."""
    from anymodal_seg_ros.nodes.image_probe import SIZE, probe

    try:
        sent, received = probe()
    except AnymodalError as error:
        return Diagnosis("images between processes", str(error), fine=False)
    words = f"{received} of {sent} of {SIZE} arrived, best effort"
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


def _imports(name: str) -> bool:
    try:
        importlib.import_module(name)
    except Exception:
        return False
    return True
