"""A replay as a bag: what went in and what came out, for Foxglove, RViz and Rerun."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from anymodal_seg_ros.evaluation.bag_writer import LATCHED, ImageBagWriter
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.evaluation.naive import Replayable, make_pipeline
from anymodal_seg_ros.evaluation.replay import (
    arrivals,
    cameras_by_topic,
    check_topics,
    latency_model,
    make_injector,
    replay,
    sensors_by_topic,
    with_faults,
)
from anymodal_seg_ros.evaluation.scorecard.cases import Case
from anymodal_seg_ros.evaluation.scorecard.replays.job import Subject
from anymodal_seg_ros.frames import Image, Prediction
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.masks.legend import annotated_overlay
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.messages import values
from anymodal_seg_ros.messages.definitions import LABEL_INFO, VISION_CLASS
from anymodal_seg_ros.messages.evidence import Status, level_of, mask_evidence, milliseconds
from anymodal_seg_ros.messages.rosbags import make
from anymodal_seg_ros.messages.values import Message

DIAGNOSTICS, DIAGNOSTICS_NS = "/diagnostics", 1_000_000_000
"""Topic of the sensors' health, and how often it is written, as by the live node."""

NODE = "/segmentation_node"
"""Under which the results stand, as those of the live node do."""

RESULTS = frozenset(
    f"{NODE}/{name}" for name in ("label_info", "mask", "overlay", "modality_status")
)
"""Topics that are written; what was recorded on them is of another run, and is left out."""

_DIAGNOSTICS: Final = "diagnostic_msgs/msg/DiagnosticArray"


def write_result_bag(subject: Subject, case: Case, path: Path) -> int:
    """Replay a bag and write its messages with the masks, overlays and states beside them.

    The messages are those that were recorded, without the faults of the case; of a ROS 1 bag, of
    types that neither the bag defines nor this package knows, and on :data:`RESULTS`, there are
    none. Masks have the
    stamp of their reference, and the log time at which they were due.

    Args:
        subject: the bag and how it is segmented.
        case: which faults it is replayed with.
        path: folder of the new bag, or a file ``*.mcap``; nothing that is there is replaced.

    Returns:
        The number of masks.

    Raises:
        AnymodalError: the bag or the model cannot be used, or ``path`` is taken.
    """
    if path.suffix == ".mcap":
        return _write_file(subject, case, path)
    rig = case.rig(subject.config.rig)
    latency = latency_model(subject.latency)
    config = subject.config
    model = load_model(config.model)
    engine = create_engine(config.engine, model, config.threads, providers=config.providers)
    in_time = latency is not None
    pipeline = make_pipeline(subject.pipeline, rig, model, engine, in_time=in_time)
    masks, told_ns = 0, None
    with Bag(subject.bag) as bag, ImageBagWriter(path) as out:
        sensors = sensors_by_topic(rig, subject.namespace, subject.node)
        cameras = cameras_by_topic(rig, subject.namespace, subject.node)
        check_topics(bag, sensors)
        for message in bag.messages(bag.topics.keys() - RESULTS):
            out.copy(message, bag)
        _write_names(out, model.manifest, bag.start_ns)
        injector = make_injector(case.timeline, rig)
        faulty = with_faults(arrivals(bag, sensors, cameras, rig), injector, bag.start_ns)
        for prediction in replay(pipeline, faulty, latency, bag.end_ns):
            _write(out, prediction, pipeline, subject.config.overlay_alpha)
            now_ns = prediction.frame_set.completed_ns
            if told_ns is None or now_ns >= told_ns + DIAGNOSTICS_NS:
                _write_health(out, prediction, now_ns)
                told_ns = now_ns
            masks += 1
    return masks


def _write_file(subject: Subject, case: Case, path: Path) -> int:
    """Write a bag and keep its one file, which is all that viewers want."""
    if path.exists():
        raise BagError(f"{path} exists already: choose another name")
    folder = path.with_name(f".{path.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        masks = write_result_bag(subject, case, folder)
        (file,) = folder.glob("*.mcap")
        file.rename(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return masks


def _write_names(out: ImageBagWriter, manifest: Manifest, start_ns: int) -> None:
    """Write the names of the class ids before everything else, latched as by the live node."""
    named = [
        Message(VISION_CLASS, {"class_id": number, "class_name": spec.name})
        for number, spec in enumerate(manifest.classes)
    ]
    head = values.header(start_ns, "")
    info = Message(LABEL_INFO, {"header": head, "class_map": named, "threshold": 0.0})
    out.append(f"{NODE}/label_info", LABEL_INFO, make(info), start_ns, LATCHED)


def _write(out: ImageBagWriter, prediction: Prediction, pipeline: Replayable, alpha: float) -> None:
    frames = prediction.frame_set
    sample, log_ns = frames.reference_sample, frames.completed_ns
    picture = annotated_overlay(prediction, pipeline.model.manifest, alpha)
    for name, image in (
        ("mask", Image(prediction.mask, "mono8")),
        ("overlay", Image(picture, "rgb8")),
    ):
        out.write(f"{NODE}/{name}", image, sample.stamp_ns, log_ns, sample.frame_id)
    head = values.header(sample.stamp_ns, sample.frame_id)
    topics = {name: sensor.topic for name, sensor in pipeline.rig.sensors.items()}
    statuses = [_status(status) for status in mask_evidence(prediction, topics)]
    array = Message(_DIAGNOSTICS, {"header": head, "status": statuses})
    out.append(f"{NODE}/modality_status", _DIAGNOSTICS, make(array), log_ns)


def _write_health(out: ImageBagWriter, prediction: Prediction, now_ns: int) -> None:
    """Write what ``/diagnostics`` says of the sensors; the names are those of the live node."""
    statuses = []
    for status in prediction.status:
        facts = {
            "state": status.state.value,
            "rate_hz": "" if status.rate_hz is None else f"{status.rate_hz:.2f}",
            "age_ms": milliseconds(status.age_ns),
            "received": str(status.received),
            "rejected": str(sum(status.rejected.values())),
            "fault": status.fault,
            "last_error": status.last_error,
        }
        name = f"{NODE.lstrip('/')}: sensor {status.sensor}"
        words = f"{status.state.value}: {status.fault}" if status.fault else status.state.value
        statuses.append(_status(Status(level_of(status.state), name, words, values=facts)))
    array = Message(_DIAGNOSTICS, {"header": values.header(now_ns, ""), "status": statuses})
    out.append(DIAGNOSTICS, _DIAGNOSTICS, make(array), now_ns)


def _status(status: Status) -> Message:
    fields = {
        "level": status.level,
        "name": status.name,
        "message": status.message,
        "hardware_id": status.hardware_id,
        "values": [
            Message("diagnostic_msgs/msg/KeyValue", {"key": key, "value": value})
            for key, value in status.values.items()
        ],
    }
    return Message("diagnostic_msgs/msg/DiagnosticStatus", fields)
