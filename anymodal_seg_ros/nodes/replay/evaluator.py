"""Listens to a running segmentation node while a bag is played to it, and scores what comes.

The node, the player and this are processes of their own, so what is scored is what leaves the node
over DDS: :mod:`anymodal_seg_ros.evaluation.scorecard.replays.live` joins it by stamp.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.evaluation.arrivals import (
    absolute_topic,
    cameras_by_topic,
    check_messages,
    check_topics,
    sensors_by_topic,
)
from anymodal_seg_ros.evaluation.scorecard.labels.ground_truth import (
    label_of,
    label_topics,
)
from anymodal_seg_ros.evaluation.scorecard.labels.label_map import load_label_map
from anymodal_seg_ros.evaluation.scorecard.replays.bag_part import BagPart
from anymodal_seg_ros.evaluation.scorecard.replays.job import (
    AUTO,
    NONE,
    Job,
    Subject,
    run_of,
    settings_of,
)
from anymodal_seg_ros.evaluation.scorecard.replays.live import LiveRun
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import finish, new_run
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.nodes.messages import to_ns
from anymodal_seg_ros.nodes.process.shutdown import spinning
from anymodal_seg_ros.sensing.decoding.decode import decode_image

NAME = "evaluator"

PLAYERS = ("auto", "ros2", "own")
"""What plays the bag: ``ros2 bag play``, ``anymodal-seg play``, or the first that is there."""

_DEPTH = 200
_QUIET_S = 1.0
"""Without a new mask for so long after the last message, there will be none."""
_POLL_S = 0.05
_SIGN_OF_LIFE_S = 10.0
"""In so long a node says at least once on ``/diagnostics`` how it is, whatever its sensors do."""


_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What is raised of words that are no numbers, of sensors that there are none, and the like."""


class LiveError(AnymodalError):
    """The node does not listen, or the bag could not be played."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How a bag is played to a node.

    Attributes:
        rate: bag seconds per second; other than 1 only for nodes with ``use_sim_time``.
        player: one of :data:`PLAYERS`.
        wait_s: how long the node may take to come up; a model may have to be built.
    """

    rate: float = 1.0
    player: str = "auto"
    wait_s: float = 120.0


class Evaluator(Node):
    """Hands everything that a node publishes to a :class:`LiveRun`."""

    def __init__(self, node: str, run: LiveRun, labels: Mapping[str, str]) -> None:
        """Subscribe.

        Args:
            node: full name of the segmentation node.
            run: takes what comes.
            labels: topics of labels by sensor.
        """
        super().__init__(NAME)
        self._run, self._node = run, node.lstrip("/")
        self._clock_ns = 0
        self.words = 0
        """How often the node has said how it is."""
        self.trouble: AnymodalError | None = None
        """Why what came cannot be used; the run is worth nothing then."""
        reliable = QoSProfile(depth=_DEPTH)
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        status = f"{node}/modality_status"
        heard: list[tuple[str, Any, Callable[[Any], None], QoSProfile]] = [
            ("/clock", Clock, self._on_clock, newest),
            (f"{node}/mask", Image, self._on_mask, reliable),
            (status, DiagnosticArray, self._on_evidence, reliable),
            ("/diagnostics", DiagnosticArray, self._on_health, reliable),
        ]
        for sensor, topic in labels.items():
            heard.append((topic, Image, partial(self._on_label, sensor, topic), reliable))
        for topic, kind, take, qos in heard:
            self.create_subscription(kind, topic, refusing(topic, take, self._tell), qos)

    def _tell(self, trouble: AnymodalError) -> None:
        """Remember what is wrong; what came first is the cause of the rest."""
        self.trouble = self.trouble or trouble

    def _on_clock(self, message: Any) -> None:
        self._clock_ns = to_ns(message.clock)

    def _on_mask(self, message: Any) -> None:
        pixels = np.array(decode_image(message).pixels, np.uint8)
        stamp, frame = to_ns(message.header.stamp), str(message.header.frame_id)
        self._run.take_mask(stamp, pixels, frame, self._clock_ns)

    def _on_evidence(self, message: Any) -> None:
        evidence = {status.name: _values(status) for status in message.status}
        self._run.take_evidence(to_ns(message.header.stamp), evidence)

    def _on_health(self, message: Any) -> None:
        for status in message.status:
            owner, _, name = status.name.partition(": ")
            if owner == self._node:
                self.words += 1
                self._run.take_health(name, _values(status))

    def _on_label(self, sensor: str, topic: str, message: Any) -> None:
        self._run.take_label(sensor, *label_of(message, topic))


def refusing(
    topic: str, take: Callable[[Any], None], tell: Callable[[AnymodalError], None]
) -> Callable[[Any], None]:
    """Return what takes messages, and tells of one that cannot be what it is taken for.

    Anybody can publish on the node's topics, and speak in its name on ``/diagnostics``.
    """

    def safely(message: Any) -> None:
        try:
            take(message)
        except AnymodalError as error:
            tell(error)
        except _UNREADABLE as error:
            tell(
                LiveError(
                    f"{topic} holds what no segmentation node says ({type(error).__name__}: "
                    f"{quote(error)}): does something else publish there, or speak in its name?"
                )
            )

    return safely


def _values(status: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def evaluate_live(
    job: Job, options: LiveOptions, stop: threading.Event, tell: Callable[[str], None]
) -> Path:
    """Play a bag to a running node, and write the folder of the run. rclpy must be initialised.

    Args:
        job: its subject says which node listens; its case is not looked at but for its name.
        options: how it is played.
        stop: ends it when set; no run is left then.
        tell: is told what goes on.

    Returns:
        The folder.

    Raises:
        LiveError: there is no node, it does not listen, or the bag could not be played.
        AnymodalError: the bag, its labels or the model cannot be used.
    """
    subject, rig = job.subject, job.subject.config.rig
    manifest = load_model(subject.config.model).manifest
    node_name = absolute_topic("~", subject.namespace, subject.node)
    with BagPart(subject.bag, None) as bag, new_run(job.folder) as partial:
        sensors = sensors_by_topic(rig, subject.namespace, subject.node)
        notes = check_topics(bag, sensors, rig.disabled)
        check_messages(bag, sensors)
        labels = _labels(subject, bag, sensors)
        label_map = load_label_map(subject.truth.label_map, manifest) if labels else None
        run = LiveRun(partial, rig, len(manifest.classes), bag.start_ns, label_map)
        heard = [topic for topic in sensors if topic in bag.topics]
        cameras = cameras_by_topic(rig, subject.namespace, subject.node)
        played = [*heard, *(t for t in cameras if t in bag.topics), *labels.values()]
        # A node does not subscribe to what is disabled.
        awaited = [topic for topic in heard if sensors[topic] not in rig.disabled]
        started = time.monotonic()
        node = Evaluator(node_name, run, labels)
        try:
            with spinning(node, stop):
                _wait_for_node(node, node_name, awaited, options.wait_s, stop)
                tell(f"{node_name} listens; playing {subject.bag}")
                _play(subject.bag, played, options, stop)
                _settle(run, stop)
                ask_for_life(node, node_name, stop)
                stopped = stop.is_set()
        finally:
            node.destroy_node()
        if stopped:
            raise LiveError("stopped before the bag was over")
        if node.trouble is not None:
            raise node.trouble
        run.finish()
        described = run_of(
            job,
            bag,
            manifest,
            ground_truth=f"topics {', '.join(labels.values())}" if labels else "",
            messages=run.messages,
            masks=run.masks,
            superseded=run.superseded,
            rejected=run.rejected,
            wall_s=time.monotonic() - started,
            settings=settings_of(manifest, "the node's own", f"live, {node_name} on DDS"),
            notes=(*notes, *bag.notes, *(label_map.notes if label_map else ())),
        )
        finish(partial, job.folder, described)
    return job.folder


def ask_for_life(node: Evaluator, name: str, stop: threading.Event) -> None:
    """Wait for a word of the node after the bag's end.

    Of a node that died on the way, the masks before its death would stand for the bag.

    Raises:
        LiveError: none comes.
    """
    before, end = node.words, time.monotonic() + _SIGN_OF_LIFE_S
    while node.words == before and not stop.wait(_POLL_S):
        if time.monotonic() > end:
            raise LiveError(
                f"{name} said nothing on /diagnostics in the {_SIGN_OF_LIFE_S:g} s after the bag's "
                "end: it died or was shut down on the way; its log says why"
            )


def _labels(subject: Subject, bag: BagPart, sensors: Mapping[str, str]) -> dict[str, str]:
    source = subject.truth.source
    if source == NONE:
        return {}
    if source != AUTO and Path(source).is_dir():
        raise ConfigError(f"labels are the folder {source}: live they must be topics of the bag")
    return label_topics(bag, sensors, "" if source == AUTO else source)


def _wait_for_node(
    node: Node, name: str, topics: Collection[str], wait_s: float, stop: threading.Event
) -> None:
    """Wait until somebody publishes masks and listens to these topics of the bag.

    Raises:
        LiveError: in vain.
    """
    end = time.monotonic() + wait_s
    while not stop.wait(_POLL_S):
        silent = [topic for topic in topics if not node.count_subscribers(topic)]
        if not silent and node.count_publishers(f"{name}/mask"):
            return
        if time.monotonic() > end:
            raise LiveError(
                f"{name} does not listen to {', '.join(silent) or 'anything'} after {wait_s:g} s: "
                "is it running, active, in this ROS_DOMAIN_ID, and with the same parameters?"
            )


def _play(bag: Path, topics: Collection[str], options: LiveOptions, stop: threading.Event) -> None:
    """Play the bag in a process of its own until its end, or until ``stop`` is set.

    Raises:
        LiveError: the player failed.
    """
    command = player_command(bag, topics, options)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as player:
        while player.poll() is None:
            if stop.wait(_POLL_S):
                player.terminate()
                player.wait()
                return
        said = b"" if player.stderr is None else player.stderr.read()
    if player.returncode:
        words = said.decode(errors="replace").strip()[-300:]
        raise LiveError(f"{' '.join(command[:3])} ended with {player.returncode}: {words}")


def player_command(bag: Path, topics: Collection[str], options: LiveOptions) -> list[str]:
    """Return the command that plays a bag with its clock.

    Raises:
        LiveError: the wanted player is not installed.
    """
    rate = f"{options.rate:g}"
    if options.player != "own" and _has_ros2_bag():
        play = ["ros2", "bag", "play", str(bag), "--clock", "100", "--rate", rate]
        return [*play, "--disable-keyboard-controls", "--topics", *topics]
    if options.player == "ros2":
        raise LiveError("there is no 'ros2 bag': install ros2bag, or take the player 'own'")
    own = [sys.executable, "-m", "anymodal_seg_ros.cli.main", "play", str(bag), "--clock"]
    return [*own, "--rate", rate, "--topics", ",".join(topics)]


def _has_ros2_bag() -> bool:
    if shutil.which("ros2") is None:
        return False
    return subprocess.run(["ros2", "bag", "play", "--help"], capture_output=True).returncode == 0


def _settle(run: LiveRun, stop: threading.Event) -> None:
    """Wait until no more masks come."""
    seen, since = run.seen, time.monotonic()
    while not stop.wait(_POLL_S) and time.monotonic() - since < _QUIET_S:
        if run.seen != seen:
            seen, since = run.seen, time.monotonic()
