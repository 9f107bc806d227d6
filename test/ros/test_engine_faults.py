"""An engine that hangs, raises or returns nonsense is told, and ends the process with an error."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fixtures.ros_graph import Collector, Graph, RosProcess, wait_until
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

pytestmark = pytest.mark.ros

Start = Callable[[str, float], RosProcess]


@pytest.fixture()
def start(
    graph: Graph, ros_domain: int, namespace: str, tiny_model: Path, tmp_path: Path
) -> Iterator[Start]:
    """Start a camera, and a node whose engine goes wrong."""
    running: list[RosProcess] = []

    def start(fault: str, timeout_s: float) -> RosProcess:
        camera = [f"{namespace}/rgb/image", "rgb8", "30.0", "rgb_frame"]
        running.append(RosProcess("fixtures.fake_sensor", camera, tmp_path / "camera"))
        args = [fault, "--ros-args", "-r", f"__ns:={namespace}", "-p", f"model:={tiny_model}"]
        for key, value in {"topic": "rgb/image", "modality": "rgb"}.items():
            args += ["-p", f"rig.sensors.rgb.{key}:={value}"]
        args += ["-p", f"inference_timeout_s:={timeout_s}"]
        node = RosProcess("fixtures.faulty_engine", args, tmp_path / "node")
        running.append(node)
        return node

    yield start
    for process in running:
        if process.process.poll() is None:
            process.kill()


def pipeline_of(seen: Collector, namespace: str) -> list[tuple[int, str]]:
    name = f"{namespace.strip('/')}/segmentation_node: pipeline"
    return [
        (status.level[0], status.message)
        for array in list(seen.messages)
        for status in array.status
        if status.name == name
    ]


def resident_mb(process: RosProcess) -> float:
    statm = Path(f"/proc/{process.process.pid}/statm").read_text().split()
    return int(statm[1]) * 4096 / 1e6


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("hang", "the engine does not answer: fusing has taken"),
        ("raise", "inference fails: RuntimeError: CUDA error"),
        ("nonsense", "inference fails: EngineError: the engine returned a mask of float32 (3, 3)"),
    ],
)
def test_it_is_told_and_ends_the_process_with_an_error(
    fault: str, says: str, start: Start, graph: Graph, namespace: str
) -> None:
    node = start(fault, 4.0)
    with graph.collect(DiagnosticArray, "/diagnostics") as seen:
        wait_until(
            lambda: any(says in m for level, m in pipeline_of(seen, namespace) if level == 2),
            f"'{says}' in the diagnostics, which say {pipeline_of(seen, namespace)[-3:]}",
        )
        before = resident_mb(node)
        wait_until(lambda: node.process.poll() is not None, "the end of the process")
    assert node.process.returncode == 1, "launch can start it anew"
    assert "inference_timeout_s is 4 s" in node.stdout
    assert before < 600


def test_a_node_whose_engine_hangs_can_be_stopped(
    start: Start, graph: Graph, namespace: str
) -> None:
    node = start("hang", 0.0)
    with graph.collect(DiagnosticArray, "/diagnostics") as seen:
        wait_until(
            lambda: any("does not answer" in m for _, m in pipeline_of(seen, namespace)),
            "word of the engine that hangs",
        )
        before = resident_mb(node)
        count = len(seen.messages)
        wait_until(lambda: len(seen.messages) > count + 6, "some seconds of diagnostics")
        assert resident_mb(node) < before + 30, "memory does not grow while it hangs"
    node.send(signal.SIGINT)
    assert node.wait() == 1


@pytest.fixture()
def says(tmp_path: Path) -> Path:
    """The file that the engine obeys."""
    path = tmp_path / "engine"
    path.write_text("")
    return path


def stall(says: Path, graph: Graph, namespace: str) -> None:
    with (
        graph.collect(Image, f"{namespace}/segmentation_node/mask") as masks,
        graph.collect(DiagnosticArray, "/diagnostics") as seen,
    ):
        masks.wait(lambda found: len(found) > 3, "masks")
        says.write_text("stall")
        wait_until(
            lambda: any("does not answer" in m for _, m in pipeline_of(seen, namespace)),
            "word of the engine that hangs",
        )


def test_a_node_that_is_reset_while_its_engine_hangs_ends_with_an_error(
    start: Start, says: Path, graph: Graph, namespace: str
) -> None:
    """Masks could not begin anew, and nobody would watch."""
    node = start(str(says), 60.0)
    stall(says, graph, namespace)
    answer = graph.call(Trigger, f"{namespace}/segmentation_node/reset", Trigger.Request())
    assert not answer.success
    assert "the engine hangs" in answer.message
    assert node.wait() == 1
    assert "the engine hangs" in node.stdout


def test_an_engine_that_answers_late_goes_on_and_is_watched_as_before(
    start: Start, says: Path, graph: Graph, namespace: str
) -> None:
    node = start(str(says), 4.0)
    name = f"{namespace}/segmentation_node"
    stall(says, graph, namespace)
    assert graph.change(name, "deactivate")
    assert "has not answered for 3 s" in node.stdout + node.stderr
    says.write_text("")
    assert graph.change(name, "activate")
    stall(says, graph, namespace)
    assert node.wait() == 1
    assert "the engine hangs: " in node.stdout
