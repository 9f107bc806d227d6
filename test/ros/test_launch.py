"""The launch files run by the real launch libraries, where they are installed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("launch_ros.actions", reason="launch and launch_ros are not installed")

from fixtures.ros_graph import CHECKOUT, Graph, wait_until
from fixtures.scored_bags import write_scored_bag
from rcl_interfaces.srv import GetParameters

from anymodal_seg_ros.evaluation.scorecard.scorecard import load_scorecard

pytestmark = pytest.mark.ros

PROGRAM = """
import os, sys
from launch import LaunchDescription, LaunchService
from launch.actions import GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource

path, *arguments = sys.argv[1:]
service = LaunchService(noninteractive=True)
before = {**os.environ}
include = IncludeLaunchDescription(
    PythonLaunchDescriptionSource(path),
    launch_arguments=[tuple(a.split(":=")) for a in arguments],
)


def nothing_is_left(context):
    assert dict(context.launch_configurations) == {}, "arguments leak into what comes later"


# As a bring-up does it: nothing comes in, and nothing is there any more when a process ends.
group = GroupAction([include], forwarding=False)
after = OpaqueFunction(function=nothing_is_left)
service.include_launch_description(LaunchDescription([group, after]))
code = service.run()
assert {**os.environ} == before, "a launch file changed the environment of other processes"
sys.exit(code)
"""


def test_seg_launch_starts_the_node_as_told_and_ends_it_cleanly(
    graph: Graph, namespace: str, tiny_model: Path, tmp_path: Path
) -> None:
    parameters = tmp_path / "robot.yaml"
    sensor = "rig: {sensors: {rgb: {topic: rgb/image, modality: rgb}}}"
    parameters.write_text(
        f"/**:\n  ros__parameters: {{overlay_alpha: 0.25, model: nowhere, {sensor}}}\n"
    )
    arguments = {
        "model": tiny_model,
        "params_file": parameters,
        "namespace": namespace,
        "use_sim_time": "True",
        "log_level": "debug",
    }
    launch = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(CHECKOUT / "launch" / "seg.launch.py")]
        + [f"{name}:={value}" for name, value in arguments.items()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        name = f"{namespace}/segmentation_node"
        wait_until(lambda: graph.state(name) == "active", "the node to be active")
        names = ["model", "overlay_alpha", "use_sim_time"]
        model, alpha, sim_time = graph.call(
            GetParameters, f"{name}/get_parameters", GetParameters.Request(names=names)
        ).values
        assert model.string_value == str(tiny_model), "the argument goes before the file"
        assert alpha.double_value == 0.25
        assert sim_time.bool_value
    finally:
        launch.send_signal(signal.SIGINT)
        output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 0
    assert "process has finished cleanly" in output


def run(file: str, **arguments: object) -> subprocess.Popen[str]:
    """Start a launch file as ``ros2 launch`` does."""
    given = [f"{name}:={value}" for name, value in arguments.items()]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(CHECKOUT / "launch" / file), *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    ("file", "arguments", "words"),
    [
        ("seg.launch.py", {}, "no sensors are named"),
        ("seg.launch.py", {"params_file": "nope.yaml"}, "does not exist"),
        ("seg.launch.py", {"rig": "realsense_d453"}, "did you mean realsense_d435"),
        ("seg.launch.py", {"demo": "maybe"}, "demo:=maybe"),
        ("seg.launch.py", {"rig": "zed", "python": "/no/python"}, "there is no such program"),
        ("faults.launch.py", {}, "timeline is missing"),
        ("sim.launch.py", {"faults": "nowhere.yaml"}, "does not exist"),
        ("replay.launch.py", {}, "bag is missing"),
        ("replay.launch.py", {"bag": "nowhere"}, "there is no bag at"),
    ],
)
def test_what_is_missing_is_said_in_a_line_and_nothing_is_started(
    file: str, arguments: dict[str, str], words: str, ros_domain: int
) -> None:
    launch = run(file, **arguments)
    output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 1
    assert words in output.splitlines()[-1]
    assert "process started" not in output


def test_a_misspelt_argument_is_told_with_the_right_one(ros_domain: int) -> None:
    output, _ = run("seg.launch.py", rigg="zed").communicate(timeout=60)
    assert "rigg:=zed is not used: did you mean rig?" in output


def test_a_sensor_that_is_not_simulated_is_told_before_the_street_is_rendered(
    ros_domain: int,
) -> None:
    launch = run("sim.launch.py", sensors="rgb,radar")
    output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 1
    assert "--sensors names ['radar']: expected of rgb," in output


def test_a_node_that_died_is_the_error_of_the_launch(
    graph: Graph, namespace: str, tiny_model: Path
) -> None:
    arguments = {"demo": "True", "model": tiny_model, "namespace": namespace, "name": "front_seg"}
    launch = run("seg.launch.py", **arguments)
    try:
        name = f"{namespace}/front_seg"
        wait_until(lambda: graph.state(name) == "active", "the node to be active")
        (pid,) = (int(word) for word in _children(launch.pid))
        os.kill(pid, signal.SIGKILL)
    finally:
        output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 1, output
    assert "front_seg died with exit code -9" in output


def test_a_node_that_needs_time_to_stop_is_not_killed(
    graph: Graph, namespace: str, tiny_model: Path
) -> None:
    """As when a slow disk takes a recording that the black box has promised."""
    launch = run("seg.launch.py", demo="True", model=tiny_model, namespace=namespace)
    pid = None
    try:
        name = f"{namespace}/segmentation_node"
        wait_until(lambda: graph.state(name) == "active", "the node to be active")
        (pid,) = (int(word) for word in _children(launch.pid))
        os.kill(pid, signal.SIGSTOP)
        launch.send_signal(signal.SIGINT)
        time.sleep(11.0)  # launch's own patience, five seconds twice
        assert pid in map(int, _children(launch.pid))
    finally:
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        output, _ = launch.communicate(timeout=60)
    assert "process has finished cleanly" in output


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize("argument", ["params_file", "rig"])
def test_faults_launch_puts_the_injector_between_the_drivers_and_the_node(
    argument: str, graph: Graph, namespace: str, tiny_model: Path, tmp_path: Path
) -> None:
    parameters, timeline = tmp_path / "robot.yaml", tmp_path / "faults.yaml"
    parameters.write_text(
        "/**: {ros__parameters: {rig: {sensors: {rgb: {topic: rgb/image, modality: rgb}}}}}\n"
    )
    timeline.write_text("faults: [{sensor: rgb, kind: stuck}]")
    arguments = {
        "timeline": timeline,
        "model": tiny_model,
        argument: parameters,
        "namespace": namespace,
    }
    launch = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(CHECKOUT / "launch" / "faults.launch.py")]
        + [f"{name}:={value}" for name, value in arguments.items()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until(lambda: graph.state(f"{namespace}/segmentation_node") == "active", "the node")
        for topic, listener in (
            ("rgb/image", "fault_injector"),
            ("faulty/rgb/image", "segmentation_node"),
        ):

            def listeners(topic: str = topic) -> list[str]:
                found = graph.node.get_subscriptions_info_by_topic(f"{namespace}/{topic}")
                return [end.node_name for end in found]

            # A subscription is known before the name of its node.
            names = wait_until(
                lambda heard=listeners: [n for n in heard() if "UNKNOWN" not in n], topic
            )
            assert names == [listener]
    finally:
        launch.send_signal(signal.SIGINT)
        output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 0, output


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("least", "code"), [(0.0, 0), (0.99, 1)])
def test_replay_launch_ends_with_the_bag_and_the_verdict(
    least: float, code: int, namespace: str, tiny_model: Path, tmp_path: Path, ros_domain: int
) -> None:
    bag = write_scored_bag(tmp_path, tiny_model, 20)
    rig, gate = bag / "rig.yaml", tmp_path / "gate.yaml"
    rig.write_text(rig.read_text().replace("topic: ", "topic: /"))
    gate.write_text(f"version: 1\nchecks: [{{figure: miou, min: {least}}}]\n")
    launch = run(
        "replay.launch.py",
        bag=bag,
        namespace=namespace,
        require=gate,
        out=tmp_path / "card",
        player="own",
        rate="0.5",
    )
    output, _ = launch.communicate(timeout=200)
    assert launch.returncode == code, output
    assert f"verdict: {'failed' if code else 'passed'}" in output
    card = load_scorecard(tmp_path / "card")
    assert card.value("masks") >= 18
    assert (tmp_path / "card" / "report.html").is_file()


@pytest.mark.timeout(120)
def test_a_replay_that_is_stopped_is_no_success(
    graph: Graph, tiny_model: Path, tmp_path: Path
) -> None:
    # In the bag's own namespace: in another one it ends by itself.
    bag = write_scored_bag(tmp_path, tiny_model, 100)
    launch = run("replay.launch.py", bag=bag, out=tmp_path / "card", player="own")
    wait_until(lambda: graph.state("/segmentation_node") == "active", "the node to be active")
    launch.send_signal(signal.SIGINT)
    output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 1, output


XML = """<launch>
  <set_parameter name="use_sim_time" value="true"/>
  <include file="{path}">
    <arg name="demo" value="true"/>
    <arg name="model" value="{model}"/>
    <arg name="namespace" value="{namespace}"/>
  </include>
</launch>
"""
YAML = """launch:
- include:
    file: "{path}"
    arg:
    - {{name: demo, value: "true"}}
    - {{name: model, value: "{model}"}}
    - {{name: namespace, value: "{namespace}"}}
    - {{name: use_sim_time, value: "True"}}
"""


@pytest.mark.parametrize(("kind", "text"), [("xml", XML), ("yaml", YAML)])
def test_it_can_be_included_from_xml_and_yaml(
    kind: str, text: str, graph: Graph, namespace: str, tiny_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip(f"launch_{kind}", reason=f"launch_{kind} is not installed")
    path = CHECKOUT / "launch" / "seg.launch.py"
    outer = tmp_path / f"outer.launch.{kind}"
    outer.write_text(text.format(path=path, model=tiny_model, namespace=namespace))
    program = PROGRAM.replace("PythonLaunchDescriptionSource", "AnyLaunchDescriptionSource")
    launch = subprocess.Popen(
        [sys.executable, "-c", program, str(outer)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        name = f"{namespace}/segmentation_node"
        wait_until(lambda: graph.state(name) == "active", "the node to be active")
        (sim_time,) = graph.call(
            GetParameters, f"{name}/get_parameters", GetParameters.Request(names=["use_sim_time"])
        ).values
        assert sim_time.bool_value, "of a SetParameter around it, or an argument"
    finally:
        launch.send_signal(signal.SIGINT)
        output, _ = launch.communicate(timeout=60)
    assert launch.returncode == 0, output
