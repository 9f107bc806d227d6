"""Images on real topics in, masks out, while sensors die and come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fixtures.fake_sensor import HEIGHT, WIDTH
from fixtures.ros_graph import BEST_EFFORT, Graph, RosProcess, StartNode, values
from sensor_msgs.msg import Image

from anymodal_seg_ros.inference.model import DEFAULT_MODEL
from anymodal_seg_ros.nodes.messages import to_ns

pytestmark = pytest.mark.ros

SENSORS = {
    "rgb": ("rgb8", 30.0),
    "events": ("8UC3", 30.0),
    "depth": ("32FC1", 15.0),
    "thermal": ("mono16", 10.0),
}


class Rig:
    """Fake sensors, each in a process of its own."""

    def __init__(self, namespace: str, folder: Path) -> None:
        self._namespace, self._folder = namespace, folder
        self.running: dict[str, RosProcess] = {}

    def start(self, *names: str) -> None:
        for name in names:
            encoding, hz = SENSORS[name]
            args = [f"{self._namespace}/{name}/image", encoding, str(hz), f"{name}_frame"]
            folder = self._folder / f"sensor_{name}"
            self.running[name] = RosProcess("fixtures.fake_sensor", args, folder)

    def kill(self, *names: str) -> None:
        for name in names:
            self.running.pop(name).kill()


@pytest.fixture()
def rig(ros_domain: int, namespace: str, tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(namespace, tmp_path)
    yield rig
    for sensor in rig.running.values():
        sensor.stop()


def used(array: DiagnosticArray) -> set[str]:
    return set(values(array, "mask")["sensors"].split(","))


def test_masks_carry_the_header_of_the_reference_and_the_evidence_carries_the_same(
    graph: Graph, start_node: StartNode, namespace: str, rig: Rig
) -> None:
    start_node()
    rig.start(*SENSORS)
    name = f"{namespace}/segmentation_node"
    with (
        graph.collect(Image, f"{namespace}/rgb/image", BEST_EFFORT) as rgb,
        graph.collect(Image, f"{name}/mask", BEST_EFFORT) as masks,
        graph.collect(DiagnosticArray, f"{name}/modality_status") as evidence,
    ):
        rgb.next(what="an image of rgb")
        complete = evidence.next(
            lambda a: used(a) == set(SENSORS) and values(a, "mask")["reference"] == "rgb",
            "a mask of rgb from all four sensors",
        )
        begin_ns = to_ns(complete.header.stamp)

        # On a busy machine an image may come so late that another sensor stands in for one frame.
        def of_rgb(all_: list[Image]) -> list[Image]:
            told = {
                to_ns(a.header.stamp)
                for a in evidence.messages
                if values(a, "mask")["reference"] == "rgb" and to_ns(a.header.stamp) >= begin_ns
            }
            return [m for m in all_ if to_ns(m.header.stamp) in told]

        masks.wait(lambda all_: len(of_rgb(all_)) >= 20, "20 masks of rgb")
    rgb_stamps = {to_ns(m.header.stamp) for m in rgb.messages}
    steady = of_rgb(masks.messages)
    for mask in steady:
        assert (mask.height, mask.width, mask.step) == (HEIGHT, WIDTH, WIDTH)
        assert mask.encoding == "mono8" and mask.header.frame_id == "rgb_frame"
    stamps = [to_ns(m.header.stamp) for m in steady]
    # This process too may be too busy to get every image.
    assert len(set(stamps) & rgb_stamps) >= 0.8 * len(stamps)
    assert stamps == sorted(set(stamps)), "one mask for each reference frame, in order"
    told = [to_ns(e.header.stamp) for e in evidence.messages]  # from when it was subscribed
    assert set(told) >= {stamp for stamp in stamps if told[0] <= stamp <= told[-1]}
    topics = {status.name: status.hardware_id for status in complete.status}
    assert topics["rgb"] == f"{namespace}/rgb/image"
    mask_values = values(complete, "mask")
    assert mask_values["reference"] == "rgb"
    assert 0.0 < float(mask_values["network_ms"]) < float(mask_values["latency_ms"])
    rgb_values = values(complete, "rgb")
    # A busy machine may see rgb slower than it is.
    assert rgb_values["state"] in ("OK", "SLOW") and rgb_values["used"] == "true"
    assert float(rgb_values["age_ms"]) >= 0.0
    assert len(np.unique(np.frombuffer(steady[-1].data, np.uint8))) > 1


def test_a_killed_sensor_leaves_and_masks_go_on(
    graph: Graph, start_node: StartNode, namespace: str, rig: Rig
) -> None:
    start_node()
    rig.start(*SENSORS)
    name = f"{namespace}/segmentation_node"
    with (
        graph.collect(Image, f"{name}/mask") as masks,
        graph.collect(DiagnosticArray, f"{name}/modality_status") as evidence,
    ):

        def wait_for(sensors: set[str]) -> DiagnosticArray:
            return evidence.next(lambda a: used(a) == sensors, f"a mask from {sensors}")

        wait_for(set(SENSORS))
        rig.kill("thermal")
        without = wait_for({"rgb", "events", "depth"})
        assert values(without, "thermal")["used"] == "false"
        assert values(without, "thermal")["reason"]
        rig.kill("rgb")
        headless = wait_for({"events", "depth"})
        assert values(headless, "mask")["reference"] == "events"
        assert headless.header.frame_id == "rgb_frame", "the first camera's, dead or alive"
        rig.kill("events")
        wait_for({"depth"})
        rig.start("rgb", "events", "thermal")
        # A set that the stand-in opened may close with rgb in it; the next ones are rgb's own.
        evidence.next(
            lambda a: used(a) == set(SENSORS) and values(a, "mask")["reference"] == "rgb",
            "a mask from all four with rgb as the reference",
        )
    stamps = np.array([to_ns(m.header.stamp) for m in masks.messages])
    assert (np.diff(stamps) > 0).all()
    assert np.diff(stamps).max() < 2e9, "masks paused while sensors were alive"


def test_pictures_are_made_when_somebody_looks(
    graph: Graph, start_node: StartNode, namespace: str, rig: Rig
) -> None:
    start_node()
    rig.start("thermal")
    name = f"{namespace}/segmentation_node"
    for topic in ("mask_color", "overlay"):
        with graph.collect(Image, f"{name}/{topic}") as pictures:
            picture = pictures.next()
        assert (picture.encoding, picture.step) == ("rgb8", 3 * WIDTH)
        assert picture.header.frame_id == "thermal_frame"
        assert np.frombuffer(picture.data, np.uint8).any()


def test_the_node_says_how_sure_it_is_if_asked(
    graph: Graph, start_node: StartNode, namespace: str, rig: Rig
) -> None:
    start_node(engine="onnxruntime", confidence=True, model=DEFAULT_MODEL)
    rig.start("thermal")
    with graph.collect(Image, f"{namespace}/segmentation_node/confidence") as pictures:
        picture = pictures.next()
    assert (picture.encoding, picture.step) == ("mono8", WIDTH)
    assert picture.header.frame_id == "thermal_frame"
    assert np.frombuffer(picture.data, np.uint8).any()


def test_diagnostics_tell_the_living_from_the_dead(
    graph: Graph, start_node: StartNode, namespace: str, rig: Rig
) -> None:
    start_node(rig__startup_grace_s=0.5, diagnostics_hz=10.0)
    rig.start("rgb", "depth")
    node = f"{namespace[1:]}/segmentation_node: "

    def health(array: DiagnosticArray) -> dict[str, tuple[int, str]]:
        return {s.name.removeprefix(node): (ord(s.level), s.message) for s in array.status}

    with graph.collect(DiagnosticArray, "/diagnostics") as diagnostics:
        # A busy machine may skip a frame now and then, of which the pipeline warns: that passes.
        array = diagnostics.next(
            lambda a: (
                int(values(a, f"{node}sensor rgb")["received"]) > 30
                and health(a)["sensor rgb"] == (0, "OK")
                and health(a)["pipeline"][0] == 0
            ),
            "rgb and the pipeline to be OK",
        )
        said = health(array)
        level, message = said["sensor thermal"]
        assert level == 2
        assert message.startswith("FAILED: no message so far; nobody publishes ")
        assert f"{namespace}/thermal/image" in message
        pipeline = values(array, f"{node}pipeline")
        assert pipeline["model"] == "tiny 0.0.1"
        assert pipeline["engine"].endswith("cpu"), "the one that engine: auto has chosen"
        assert float(pipeline["callback_max_ms"]) > 0.0
        # After a pause of the machine a queue is delivered at once: that passes.
        diagnostics.next(
            lambda a: 15.0 < float(values(a, f"{node}sensor rgb")["rate_hz"] or 0) < 60.0,
            "a rate near the 30 Hz of rgb",
        )
        rig.kill("rgb", "depth")
        # If their ends are seen late, it is an error before that masks have ceased.
        diagnostics.next(
            lambda a: health(a)["pipeline"] == (2, "no sensor is alive: no masks"),
            "the pipeline to say that no sensor is alive",
        )
