"""TensorRT in the node: built while another engine makes masks, cancelled when it is not wanted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fixtures.fake_gpu import FAKES
from fixtures.ros_graph import CHECKOUT, Collector, Graph, RosProcess, StartNode, wait_until
from sensor_msgs.msg import Image

from anymodal_seg_ros.nodes.segmentation_node import NAME

pytestmark = pytest.mark.ros

Start = Callable[..., RosProcess]


@pytest.fixture()
def start(start_node: StartNode, tiny_halves: Path, tmp_path: Path) -> Start:
    """Start a node on a machine with a fake GPU that behaves in some way."""

    def start(**how: Any) -> RosProcess:
        return start_node(
            model=tiny_halves, engine="tensorrt", env=environment(tmp_path / "cache", **how)
        )

    return start


def environment(cache: Path, **how: Any) -> dict[str, str]:
    path = os.pathsep.join(str(folder) for folder in (FAKES, CHECKOUT, CHECKOUT / "test"))
    said = json.dumps(how)
    return {"PYTHONPATH": path, "FAKE_TENSORRT": said, "XDG_CACHE_HOME": str(cache)}


@pytest.fixture()
def camera(namespace: str, tmp_path: Path, ros_domain: int) -> Iterator[RosProcess]:
    arguments = [f"{namespace}/rgb/image", "rgb8", "30.0", "rgb_frame"]
    process = RosProcess("fixtures.fake_sensor", arguments, tmp_path / "camera")
    yield process
    process.kill()


def status_of(seen: Collector, namespace: str, what: str) -> Any:
    """Return the newest status of the node's engine or pipeline, with its values."""
    name = f"{namespace.strip('/')}/{NAME}: {what}"
    found = [s for array in list(seen.messages) for s in array.status if s.name == name]
    if not found:
        return None
    return found[-1].message, {pair.key: pair.value for pair in found[-1].values}


def test_masks_go_on_while_it_is_built_and_when_it_takes_over(
    start: Start, camera: RosProcess, graph: Graph, namespace: str
) -> None:
    node = start(steps=20, step_s=0.05)
    with (
        graph.collect(DiagnosticArray, "/diagnostics") as seen,
        graph.collect(Image, f"{namespace}/{NAME}/mask") as masks,
    ):

        def engine() -> Any:
            return status_of(seen, namespace, "engine") or ("", {})

        wait_until(lambda: " % " in engine()[0].replace("%,", "% "), "how far the build is")
        message, values = engine()
        assert " serves while TensorRT is being built: " in message
        assert values["verified"] == "TensorRT is not yet verified on hardware"
        assert not values["engine"].startswith("tensorrt")
        wait_until(lambda: masks.messages, "masks of the engine that serves meanwhile")
        wait_until(lambda: engine()[1].get("engine", "").startswith("tensorrt 10"), "the takeover")
        before = len(masks.messages)
        wait_until(lambda: len(masks.messages) > before + 10, "masks of TensorRT")
        _, pipeline = status_of(seen, namespace, "pipeline")
        assert pipeline["failures"] == "0", pipeline["last_failure"]
        wait_until(
            lambda: status_of(seen, namespace, "pipeline")[1]["engine"].startswith("tensorrt"),
            "the pipeline's own word",
        )
    assert "takes over from" in node.stdout


def test_a_build_ends_with_deactivate_and_with_a_signal(
    start: Start, graph: Graph, namespace: str
) -> None:
    node, name = start(build="hangs"), f"{namespace}/{NAME}"
    wait_until(lambda: builders(node), "the process of the build")
    wait_until(lambda: graph.state(name) == "active", "the active state")
    assert graph.change(name, "deactivate")
    wait_until(lambda: not builders(node), "its end")
    assert graph.change(name, "activate")
    wait_until(lambda: builders(node), "another one")
    (builder,) = builders(node)
    node.send(signal.SIGINT)
    assert node.wait() == 0
    assert node.stderr == ""
    wait_until(lambda: not Path(f"/proc/{builder}").exists(), "the end of the build, too")


def test_build_only_builds_and_ends(tiny_halves: Path, tmp_path: Path, ros_domain: int) -> None:
    command = [sys.executable, "-m", "anymodal_seg_ros.nodes.segmentation_node", "--build-only"]
    command += ["--ros-args", "-p", f"model:={tiny_halves}", "-p", "demo:=true"]
    command += ["-p", "engine:=tensorrt"]
    for how, code, says in (
        ({"build": "fails"}, 1, "Could not find any implementation"),
        ({}, 0, "takes over from"),
    ):
        env = {**os.environ, **environment(tmp_path / "cache", **how)}
        done = subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True)
        assert done.returncode == code, done.stdout
        assert says in done.stdout and "not yet verified on hardware" in done.stdout
    assert list((tmp_path / "cache").rglob("fuse-*.plan"))


def builders(node: RosProcess) -> list[int]:
    """Return the processes of the node that build."""
    listing = Path(f"/proc/{node.process.pid}/task")
    children = [child for task in listing.glob("*/children") for child in task.read_text().split()]
    return [int(child) for child in children]
