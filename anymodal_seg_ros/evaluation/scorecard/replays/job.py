"""One replay of one bag, from what is asked for to the folder of the run."""

from __future__ import annotations

import dataclasses
import functools
import platform
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from anymodal_seg_ros import __version__
from anymodal_seg_ros.config import NODE_NAME, RigConfig, SegConfig, seconds_to_ns
from anymodal_seg_ros.evaluation.arrivals import READABLE
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.naive import PIPELINES, Replayable, make_pipeline
from anymodal_seg_ros.evaluation.replay import (
    arrivals,
    cameras_by_topic,
    check_cameras,
    check_messages,
    check_topics,
    idle_faults,
    latency_model,
    make_injector,
    replay,
    sensors_by_topic,
    unfelt_faults,
    with_faults,
)
from anymodal_seg_ros.evaluation.results import Summary
from anymodal_seg_ros.evaluation.scorecard.cases import (
    HEALTHY,
    Case,
    fault_windows,
    fitting,
    in_order,
)
from anymodal_seg_ros.evaluation.scorecard.labels.ground_truth import (
    FolderLabels,
    GroundTruth,
    NoGroundTruth,
    TopicLabels,
    label_topics,
)
from anymodal_seg_ros.evaluation.scorecard.labels.label_map import LabelMap, load_label_map
from anymodal_seg_ros.evaluation.scorecard.replays.bag_part import BagPart
from anymodal_seg_ros.evaluation.scorecard.replays.ledger import Ledger
from anymodal_seg_ros.evaluation.scorecard.replays.passage import Passage, Progress
from anymodal_seg_ros.evaluation.scorecard.runs.recorder import Recorder
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import (
    FORMAT,
    MASKS,
    WORST,
    InputFile,
    Run,
    bag_hashes,
    file_hash,
    finish,
    folder_hash,
    new_run,
    run_key,
)
from anymodal_seg_ros.evaluation.scorecard.runs.worst import WorstMasks
from anymodal_seg_ros.faults.timeline import FaultTimeline, dump_timeline
from anymodal_seg_ros.inference.engine_protocol import Engine
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.hardware.machine import libraries
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.model import Model, load_model

AUTO, NONE = "auto", "none"
"""Instead of a topic or a folder with labels: look beside the pictures, or do without."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Where labels come from.

    Attributes:
        source: :data:`AUTO`, :data:`NONE`, a topic (``{sensor}`` stands for each sensor), or a
            folder of PNG files.
        label_map: file with the class of every id; None if they are the model's own.
    """

    source: str = AUTO
    label_map: Path | None = None
    agree_with: str = ""
    """Model folder or name: its masks stand in for labels, and ``source`` is where they lie."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A bag, and how it is segmented.

    Attributes:
        bag: path.
        name: in the scorecard, and of its folder.
        condition: e.g. ``night``; empty if nobody said.
        config: model, engine and rig.
        namespace: that the node would be in, and the rig's topics with it.
        node: its name.
        latency: how long the node is busy with a mask: ``none``, ``measured`` or ``fixed:MS``.
        truth: where labels come from.
        recorded_faults: what was wrong already when the bag was recorded.
        pipeline: one of :data:`PIPELINES`.
    """

    bag: Path
    name: str
    config: SegConfig
    condition: str = ""
    namespace: str = "/"
    node: str = NODE_NAME
    latency: str = "none"
    truth: Truth = Truth()
    recorded_faults: FaultTimeline = field(default_factory=FaultTimeline)
    pipeline: str = PIPELINES[0]


@dataclass(frozen=True, slots=True)
class Job:
    """One case of one bag. It can be sent to another process.

    Attributes:
        subject: the bag.
        case: how it is replayed.
        folder: of the run.
        inputs: hashes of the files that everything depends on.
        live: whether a running node makes the masks.
    """

    subject: Subject
    case: Case
    folder: Path
    inputs: tuple[InputFile, ...]
    live: bool = False

    @property
    def key(self) -> str:
        """Names everything that the masks and their figures depend on."""
        return run_key(
            {
                "format": FORMAT,
                "version": __version__,
                "inputs": [(file.sha256, file.bytes) for file in self.inputs],
                "config": dataclasses.asdict(self.subject.config),
                "names": (self.subject.namespace, self.subject.node),
                "latency": self.subject.latency,
                "pipeline": self.subject.pipeline,
                "truth": (self.subject.truth.source, self.subject.truth.agree_with),
                "condition": self.subject.condition,
                "bag": self.subject.name,
                "recorded": dump_timeline(self.subject.recorded_faults),
                "faults": dump_timeline(self.case.timeline),
                "sensors": self.case.sensors,
                "span": self.case.span_s,
                **({"live": True} if self.live else {}),
            }
        )


def inputs_of(subject: Subject) -> tuple[InputFile, ...]:
    """Hash the files that a bag's runs depend on: bag, model, labels.

    Raises:
        RunError: one cannot be read.
        ModelError: there is no such model.
    """
    model = load_model(subject.config.model)
    files = [model.folder / "model.yaml", *(model.file(r) for r in sorted(model.manifest.files))]
    if subject.truth.label_map is not None:
        files.append(subject.truth.label_map)
    labels = Path(subject.truth.source)
    folders = [folder_hash(labels)] if labels.is_dir() else []
    return (*bag_hashes(subject.bag), *map(file_hash, files), *folders)


def run_job(job: Job, progress: Progress = lambda share: None) -> Path:
    """Replay a bag and write the folder of the run.

    Args:
        job: what to do.
        progress: told how far it is.

    Returns:
        The folder.

    Raises:
        AnymodalError: bag, model, labels or parameters cannot be used; no folder is left then.
    """
    with BagPart(job.subject.bag, job.case.span_s) as bag, new_run(job.folder) as partial:
        run = _score(job, bag, _set_up(job, bag), partial, progress)
        finish(partial, job.folder, run)
    progress(1.0)
    return job.folder


@dataclass(frozen=True, slots=True)
class _SetUp:
    """What a replay needs, made of what was asked for.

    Attributes:
        pipeline: of the case's rig.
        sensors: names of the sensors by absolute topic.
        cameras: names of the sensors by the absolute topics of their CameraInfo.
        truth: where labels come from.
        truth_text: the same in words; empty if there are none.
        notes: what the bag has not, one line each.
    """

    pipeline: Replayable
    sensors: dict[str, str]
    cameras: dict[str, list[str]]
    truth: GroundTruth
    truth_text: str
    notes: tuple[str, ...]


def _set_up(job: Job, bag: BagPart) -> _SetUp:
    subject, rig = job.subject, job.case.rig(job.subject.config.rig)
    sensors = sensors_by_topic(rig, subject.namespace, subject.node)
    cameras = cameras_by_topic(rig, subject.namespace, subject.node)
    notes = check_topics(bag, sensors, rig.disabled)
    check_messages(bag, sensors)
    notes += check_cameras(bag, cameras, rig.disabled)
    config = subject.config
    model, engine = _engine(config.model, config.engine, config.threads, config.providers)
    in_time = latency_model(subject.latency) is not None
    pipeline = make_pipeline(subject.pipeline, rig, model, engine, in_time=in_time)
    bag.tell_cameras_before(cameras, pipeline)
    truth, text = _ground_truth(subject, bag, sensors, model.manifest, pipeline.rig)
    return _SetUp(pipeline, sensors, cameras, truth, text, tuple(notes))


def _score(job: Job, bag: BagPart, made: _SetUp, partial: Path, progress: Progress) -> Run:
    """Replay, write a line for every mask, and sum up."""
    started = time.perf_counter()
    subject, case, pipeline = job.subject, job.case, made.pipeline
    rig, manifest = pipeline.rig, pipeline.model.manifest
    recorder = Recorder(len(manifest.classes), bag.start_ns)
    worst, counter = WorstMasks(manifest), Passage(progress, bag)
    recorded = counter.count(arrivals(bag, made.sensors, made.cameras, rig))
    injector = make_injector(case.timeline, rig)
    faulty = with_faults(recorded, injector, bag.start_ns)
    latency = latency_model(subject.latency)
    end_ns = bag.start_ns + seconds_to_ns(bag.span_s[1])
    with Ledger(partial / MASKS, recorder, worst) as ledger:
        for prediction in replay(pipeline, faulty, latency, end_ns):
            ledger.add(prediction, made.truth.label(prediction))
    masks, labelled = ledger.masks, ledger.labelled
    status = pipeline.status(end_ns)
    last = Summary(status=status, expected_hz=rig.promised_hz)
    idle = idle_faults(case.timeline, rig, bag.length_s)
    idle += unfelt_faults(injector, rig, bag.length_s)
    notes = [*made.notes, *bag.notes, *made.truth.notes, *idle]
    if case.name == HEALTHY:
        notes += [*counter.notes(), *(last.troubles() if masks else ())]
    if not masks:
        notes.append(f"no mask was made: {last.why_none() or 'no frame set'}")
    if case.name == HEALTHY and made.truth_text and labelled < masks:
        notes.append(
            f"{labelled or 'none'} of {masks} masks have a label"
            + (": figures that need ground truth rest on them alone" if labelled else "")
            + ". A label has the header stamp of its picture, to the nanosecond"
        )
    return run_of(
        job,
        bag,
        manifest,
        felt=injector.felt,
        ground_truth=made.truth_text,
        transitions=recorder.transitions(status),
        messages=counter.messages,
        masks=masks,
        superseded=pipeline.superseded,
        rejected={entry.sensor: sum(entry.rejected.values()) for entry in status},
        wall_s=time.perf_counter() - started,
        settings=settings_of(manifest, pipeline.engine.name, subject.pipeline),
        worst=worst.write(partial / WORST),
        notes=tuple(notes),
    )


def run_of(
    job: Job,
    bag: BagPart,
    manifest: Manifest,
    felt: Collection[tuple[int, str]] = (),
    **found: Any,
) -> Run:
    """Describe a run: what was asked for, and what came of it.

    Args:
        job: what was asked for.
        bag: what was played.
        manifest: of the model.
        felt: which faults of the case, by their places, did something to which sensor.
        found: the other attributes of the run.
    """
    subject, case = job.subject, job.case
    rig = case.rig(subject.config.rig)
    recorded = subject.recorded_faults
    faults = (*recorded.faults, *case.timeline.faults)
    timeline = FaultTimeline(case.timeline.seed, faults)
    enabled = tuple(name for name, sensor in rig.sensors.items() if sensor.enabled)
    sensors = sensors_by_topic(rig, subject.namespace, subject.node)
    fit = fitting(recorded, {name: rig.sensors[name].modality for name in enabled})
    # Apart: what a timeline takes back with "ok" are its own faults, not what was recorded.
    windows = (
        *fault_windows(recorded, enabled, bag.length_s, fit),
        *fault_windows(case.timeline, enabled, bag.length_s, felt),
    )
    reference, begins_s = first_frame(bag, rig, {name: topic for topic, name in sensors.items()})
    return Run(
        key=job.key,
        bag=subject.name,
        case=case.name,
        condition=subject.condition,
        span_s=bag.span_s,
        sensors=enabled,
        period_s={name: rig.mask_period_ns(name) / 1e9 for name in rig.sensors},
        classes=tuple(spec.name for spec in manifest.classes),
        windows=in_order(windows),
        timeline=dump_timeline(timeline),
        inputs=job.inputs,
        reference=reference,
        begins_s=begins_s,
        **found,
    )


def first_frame(bag: BagPart, rig: RigConfig, topics: Mapping[str, str]) -> tuple[str, float]:
    """Return the sensor that is preferred for the reference, and when its first frame was recorded.

    Args:
        bag: what was played.
        rig: whose sensors take part, in the order of preference.
        topics: absolute topic of each sensor.

    Returns:
        Name, and time in s after the start of the bag; empty and 0 if there is no message at all.
    """
    for name in (name for name, sensor in rig.sensors.items() if sensor.enabled):
        if bag.types(topics[name]) & set(READABLE):
            for message in bag.messages([topics[name]]):
                sensor = rig.sensors[name]
                # A picture of events is there when the first whole window is over.
                window_ns = sensor.period_ns + seconds_to_ns(sensor.events.window_s)
                first_ns = message.log_ns + (window_ns if sensor.sends_events else 0)
                return name, (first_ns - bag.start_ns) / 1e9
    return "", 0.0


@functools.lru_cache(maxsize=2)
def _engine(name: str, kind: str, threads: int, providers: str) -> tuple[Model, Engine]:
    """Load a model once for all cases of this process, with its confidence if it has one."""
    model = load_model(name)
    confidence = "confidence" in model.manifest.outputs
    return model, create_engine(kind, model, threads, confidence, providers)


def _ground_truth(
    subject: Subject, bag: Bag, sensors: dict[str, str], manifest: Manifest, rig: RigConfig
) -> tuple[GroundTruth, str]:
    """Return where labels come from, and in words."""
    source = subject.truth.source
    if source == NONE:
        return NoGroundTruth(), ""
    label_map: LabelMap = load_label_map(subject.truth.label_map, manifest)
    if source != AUTO and Path(source).is_dir():
        where = f"files in {source}"
        if other := subject.truth.agree_with:
            where = f"masks of {other} (agreement, no truth)"
        return FolderLabels(Path(source), label_map, rig), where
    topics = label_topics(bag, sensors, "" if source == AUTO else source)
    if not topics:
        return NoGroundTruth(), ""
    return TopicLabels(bag, topics, label_map, rig), f"topics {', '.join(topics.values())}"


def settings_of(manifest: Manifest, engine: str, pipeline: str) -> dict[str, str]:
    """Return what people want to know of a run: model, engine, pipeline and versions."""
    return {
        "model": f"{manifest.name} {manifest.version}",
        "engine": engine,
        "pipeline": pipeline,
        "anymodal_seg_ros": __version__,
        **libraries(),
        "opencv": str(cv2.__version__),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
