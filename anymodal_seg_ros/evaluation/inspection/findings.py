"""What is remarkable about a bag, under codes that stay what they are.

A code is never given a new meaning; docs/reference/findings.md lists them.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.config import LARGEST_OFFSET_S, LONGEST_DEADLINE_S, SHUTTER_S, NodeConfig
from anymodal_seg_ros.config.other_types import mend_of_type
from anymodal_seg_ros.evaluation.arrivals import CAMERA_INFO, READABLE, sensors_by_topic
from anymodal_seg_ros.evaluation.inspection.survey import NO_STAMP, TRANSFORMS, RecordedTopic
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.decoding.encodings import COLORS
from anymodal_seg_ros.sensing.decoding.modality_guess import (
    EVENT_TYPES,
    guess_modality,
    is_derived,
)


class Severity(enum.Enum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something remarkable.

    Attributes:
        code: names the kind of finding.
        topic: that it is about; empty for the bag.
        text: what was found, and the mend.
    """

    code: str
    topic: str
    text: str

    @property
    def severity(self) -> Severity:
        """How bad it is; every code has one severity."""
        return CODES[self.code][0]


_I, _W, _E = Severity.INFO, Severity.WARNING, Severity.ERROR
CODES: dict[str, tuple[Severity, str]] = {
    "B101": (_E, "No topic carries images, points or events"),
    "B102": (_W, "A sensor's topic has no message"),
    "B103": (_I, "Only one sensor: there is nothing to fall back to"),
    "B104": (_I, "The same topics in several namespaces: two robots?"),
    "B105": (_I, "A topic carries what a sensor saw in a form that cannot be taken"),
    "S201": (_E, "Header stamps are zero or absurd"),
    "S202": (_E, "Header stamps go back"),
    "S203": (_W, "Header stamps repeat"),
    "S204": (_W, "Header stamps and log times are of different clocks"),
    "S205": (_W, "Messages arrive later than those of other sensors"),
    "S206": (_E, "Header stamps of two sensors are of different clocks"),
    "S207": (_E, "Log times stand still: the recorder had no clock"),
    "R301": (_W, "A gap"),
    "R302": (_W, "An irregular rate: healthy messages will be LATE"),
    "R303": (_W, "Nothing was recorded for a while"),
    "R304": (_W, "Messages come in bursts"),
    "O401": (_E, "Two sensors never overlap in time"),
    "O402": (_W, "A sensor covers only a part of the bag"),
    "E501": (_E, "Messages cannot be read"),
    "E502": (_W, "Size or encoding change in mid-stream"),
    "E503": (_W, "Messages of several types on one topic"),
    "E504": (_W, "Messages of several frames on one topic: two publishers?"),
    "C601": (_I, "No CameraInfo beside the images"),
    "C602": (_W, "A CameraInfo without a focal length"),
    "T701": (_I, "No /tf_static: extrinsics must come from elsewhere"),
    "L801": (_I, "Labels: mIoU can be measured"),
    "L802": (_I, "By its name no sensor's topic: labels, a mask, an overlay?"),
    "P901": (_E, "A topic of the parameter file is not in the bag"),
    "P902": (_E, "A topic of the parameter file carries something else"),
    "P903": (_W, "A rate is far from the parameter file's expected_hz"),
}
"""Severity and meaning of every code."""

_GAP_PERIODS, _GAP_S = 5.0, 0.5
_LATE_PERIODS = 1.8
_PAUSE_S = 5.0
_BURST_PERIODS, _BURST_SHARE, _FEWEST_STEPS = 0.1, 0.2, 8
_JITTERY_SHARE = 0.02
_CLOCK_S = 60.0
_LATENCY_S, _SPARE_S = 0.1, 0.02
_COVERED_SHARE = 0.9
_RATE_SHARE = 0.2


def find(topics: Sequence[RecordedTopic], where: NodeConfig | None = None) -> list[Finding]:
    """List what is remarkable, the worst first.

    Args:
        topics: of a bag.
        where: the rig to hold it against, and its node; None if there is none yet.
    """
    sensors = [topic for topic in topics if is_input(topic)]
    found = [*_bag(topics, sensors), *_clock(sensors), *_overlap(sensors), *_latency(sensors)]
    found += _pauses(sensors)
    for topic in sensors:
        found += [*_stamps(topic), *_rate(topic), *_bursts(topic), *_content(topic)]
        found += _calibration(topic, topics)
    if where is not None:
        found += _parameters(topics, where)
    order = (Severity.ERROR, Severity.WARNING, Severity.INFO)
    return sorted(found, key=lambda f: (order.index(f.severity), f.code, f.topic))


def is_input(topic: RecordedTopic) -> bool:
    """Whether a topic carries what a sensor saw, and not labels or masks."""
    return topic.is_sensor and not is_derived(topic.name)


def _bag(topics: Sequence[RecordedTopic], sensors: Sequence[RecordedTopic]) -> Iterator[Finding]:
    if not sensors:
        types = sorted({topic.type for topic in topics})
        expected = f"expected one of {', '.join(READABLE)}"
        mend = next(filter(None, map(mend_of_type, types)), expected)
        yield Finding("B101", "", f"the bag has {', '.join(types) or 'nothing'}: {mend}")
    elif len(sensors) == 1:
        yield Finding("B103", sensors[0].name, "it is the only sensor")
    if alike := namespaces_alike(sensors):
        yield Finding(
            "B104",
            "",
            f"the same topics are in {', '.join(alike)}: if these are robots, take the sensors of "
            "one at a time, for what is in one parameter file is fused",
        )
    for topic in topics if sensors else ():
        if mend := mend_of_type(topic.type):
            yield Finding("B105", topic.name, f"{topic.type}: {mend}")
    for topic in sensors:
        if not topic.log_ns:
            yield Finding("B102", topic.name, "it has no message: was the driver running?")
    if sensors and not any(t.name == "/tf_static" and t.type == TRANSFORMS for t in topics):
        yield Finding("T701", "", "give extrinsics in the parameter file if the cameras are apart")
    for topic in topics:
        if topic.is_sensor and is_derived(topic.name):
            if topic.name.removesuffix("/compressed").endswith("/labels"):
                colors = set(topic.encodings) & COLORS.keys() - {"mono8", "8UC1"}
                how = ", with a --label-map of its colours" if colors else ""
                yield Finding("L801", topic.name, f"anymodal-seg evaluate compares with it{how}")
            else:
                text = f"if it holds class ids, 'evaluate --labels {topic.name}' compares with it"
                yield Finding("L802", topic.name, text)


def _clock(sensors: Sequence[RecordedTopic]) -> Iterator[Finding]:
    times = Counter(log_ns for topic in sensors for log_ns in topic.log_ns)
    if len(times) == 1 and (number := times.total()) > 2:
        yield Finding(
            "S207",
            "",
            f"all {number} messages have the log time {next(iter(times))}: nobody can tell when "
            "they came. Record without use_sim_time, or while /clock is published",
        )


def _pauses(sensors: Sequence[RecordedTopic]) -> Iterator[Finding]:
    times = np.unique(np.array([t for topic in sensors for t in topic.log_ns], np.int64))
    steps = np.diff(times) / 1e9
    if steps.size and steps.max() > _PAUSE_S:
        longest = int(steps.argmax())
        yield Finding(
            "R303",
            "",
            f"no sensor sent anything for {steps[longest]:.1f} s, "
            f"{(times[longest] - times[0]) / 1e9:.1f} s after the first message: the recorder was "
            "paused, or its clock was set; masks of that time count as lost",
        )


def namespaces_alike(sensors: Sequence[RecordedTopic]) -> list[str]:
    """Return the namespaces in which several topics have the names that they have in another."""
    inside: dict[str, set[str]] = {}
    for topic in sensors:
        namespace, _, name = topic.name.strip("/").partition("/")
        inside.setdefault(f"/{namespace}", set()).add(name)
    several = {space: names for space, names in inside.items() if len(names) > 1}
    return sorted(s for s, names in several.items() if list(several.values()).count(names) > 1)


def _stamps(topic: RecordedTopic) -> Iterator[Finding]:
    stamps = np.array(topic.stamps_ns, np.int64)
    absurd = int(np.count_nonzero(stamps == NO_STAMP))
    if absurd and not _begins_at_zero(stamps):
        yield Finding(
            "S201",
            topic.name,
            f"{absurd} of {stamps.size} stamps are zero or no time: "
            "mend the driver, the pipeline refuses them",
        )
    steps = np.diff(stamps[stamps != NO_STAMP])
    if back := int(np.count_nonzero(steps < 0)):
        yield Finding(
            "S202",
            topic.name,
            f"{back} stamps are before the one that came before: two "
            "drivers on one topic, or a bag that was recorded in two runs?",
        )
    if same := int(np.count_nonzero(steps == 0)):
        yield Finding(
            "S203",
            topic.name,
            f"{same} stamps are those of the message before: the pipeline takes the first of them",
        )
    behind = topic.offset_s()
    if behind is not None and abs(behind) > _CLOCK_S:
        yield Finding(
            "S204",
            topic.name,
            f"log time is {behind:.1f} s after the stamp: the bag was "
            "recorded from a replay, or the driver has a clock of its own; harmless if "
            "it is so for all sensors",
        )


def _begins_at_zero(stamps: npt.NDArray[np.int64]) -> bool:
    """Whether these are stamps of a simulation, whose clock begins with the first of them."""
    later = stamps[1:]
    return bool(stamps[0] == 0 and later.size and later.min() > 0 and later.min() < _CLOCK_S * 1e9)


def _latency(sensors: Sequence[RecordedTopic]) -> Iterator[Finding]:
    behind = {topic.name: b for topic in sensors if (b := topic.offset_s()) is not None}
    if len(behind) < 2:
        return
    fastest = min(behind, key=behind.__getitem__)
    for name, value in behind.items():
        later = value - behind[fastest]
        if later > LARGEST_OFFSET_S:
            yield Finding(
                "S206",
                name,
                f"its stamps are {later:.0f} s behind those of {fastest}: the two are never fused; "
                "let both drivers stamp by one clock",
            )
        elif later > _LATENCY_S:
            yield Finding(
                "S205",
                name,
                f"it arrives {1e3 * later:.0f} ms later after its stamp than {fastest}: if its "
                f"stamps are right, raise rig.deadline_max_s to "
                f"{min(later + _SPARE_S, LONGEST_DEADLINE_S):.2f}; if its "
                f"clock is behind, set its offset_s to {later:.2f}",
            )


def _rate(topic: RecordedTopic) -> Iterator[Finding]:
    steps = topic.steps_s()
    if steps.size < 4:
        return
    typical = float(np.median(steps))
    if typical <= 0.0:
        return
    gaps = steps[steps > max(_GAP_PERIODS * typical, _GAP_S)]
    if gaps.size:
        yield Finding(
            "R301",
            topic.name,
            f"{gaps.size} gap{'s' if gaps.size > 1 else ''}, the longest of {gaps.max():.2f} s: "
            f"the sensor will be {'LATE' if _may_be_shutter(topic, gaps.max()) else 'STALE'} in "
            "them",
        )
    if topic.type in EVENT_TYPES:
        return  # packets are what pictures are made of, at a rate of their own
    late = float(np.mean((steps > _LATE_PERIODS * typical) & (steps <= _GAP_S)))
    if late > _JITTERY_SHARE:
        yield Finding(
            "R302",
            topic.name,
            f"{100 * late:.0f} % of the messages come after more than "
            f"{_LATE_PERIODS} periods of {1e3 * typical:.0f} ms: lower expected_hz or "
            "raise late_after_periods",
        )


def _may_be_shutter(topic: RecordedTopic, gap_s: float) -> bool:
    """Whether a gap is one that a thermal camera may have."""
    encoding = next(iter(topic.encodings), "")
    kind = guess_modality(topic.name, topic.type, encoding)
    return kind == "thermal" and gap_s < SHUTTER_S


def _bursts(topic: RecordedTopic) -> Iterator[Finding]:
    """Compare when messages were taken with when they were received."""
    steps, typical = topic.steps_s(), 1.0 / topic.rate_hz if topic.rate_hz else 0.0
    if (
        topic.type in EVENT_TYPES
        or topic.offset_s() is None
        or steps.size < _FEWEST_STEPS
        or not typical
    ):
        return
    logged = np.sort(np.array(topic.log_ns, np.int64))
    received = np.asarray(np.diff(logged) / 1e9, np.float64)
    at_once = float(np.mean(received < _BURST_PERIODS * typical))
    silence = float(received.max())
    if at_once > _BURST_SHARE and silence > _LATE_PERIODS * max(typical, float(steps.max())):
        yield Finding(
            "R304",
            topic.name,
            f"{100 * at_once:.0f} % of the messages were received together with the one before, "
            f"after up to {silence:.2f} s without any, but their stamps are {1e3 * typical:.0f} ms "
            "apart: a network, a bridge or the recorder held them back; the sensor will be LATE or "
            "STALE",
        )


def _content(topic: RecordedTopic) -> Iterator[Finding]:
    for kind, number in topic.other_types.items():
        yield Finding(
            "E503",
            topic.name,
            f"{number} messages are {kind}, the other {len(topic.log_ns)} {topic.type}: "
            "a node hears those of one type only; let each publisher have a topic of its own",
        )
    if len(topic.frames) > 1:
        often = topic.frames.most_common(4)
        shown = ", ".join(f"{quote(key, 40) or 'no name'} ({number})" for key, number in often)
        yield Finding(
            "E504",
            topic.name,
            f"{len(topic.frames)} frames: {shown}; if these are two cameras, they are taken for "
            "one: let each publisher have a topic of its own",
        )
    for reason, number in topic.errors.items():
        yield Finding("E501", topic.name, f"{number} of {len(topic.log_ns)}: {reason}")
    sizes = Counter({f"{w}x{h}": number for (w, h), number in topic.sizes.items()})
    for what, found in (("encodings", topic.encodings), ("sizes", sizes)):
        if len(found) > 1:
            shown = ", ".join(f"{key} ({number})" for key, number in found.most_common())
            yield Finding("E502", topic.name, f"several {what}: {shown}")


def _calibration(topic: RecordedTopic, topics: Sequence[RecordedTopic]) -> Iterator[Finding]:
    if not topic.encodings:
        return  # points and events have none of their own
    info = camera_info_of(topic, topics)
    if info is None:
        yield Finding(
            "C601",
            topic.name,
            "its picture is taken to be the reference's, resized, "
            "unless the parameter file says more",
        )
    elif info.calibrated is False:
        yield Finding("C602", info.name, "its focal length is 0: the camera was never calibrated")


def _overlap(sensors: Sequence[RecordedTopic]) -> Iterator[Finding]:
    spans = {t.name: (min(t.log_ns), max(t.log_ns)) for t in sensors if len(t.log_ns) > 1}
    periods_ns = {t.name: 1e9 / t.rate_hz if t.rate_hz else 0.0 for t in sensors}
    if not spans:
        return
    names = list(spans)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            a, b = spans[first], spans[second]
            if a[1] < b[0] or b[1] < a[0]:
                yield Finding(
                    "O401",
                    first,
                    f"it is never there at the same time as {second}: they can never be fused",
                )
    whole = max(b for _, b in spans.values()) - min(a for a, _ in spans.values())
    for name, (start, end) in spans.items():
        covered = (end - start + periods_ns[name]) / whole if whole > 0 else 1.0
        if covered < _COVERED_SHARE:
            yield Finding("O402", name, f"it covers {100 * covered:.0f} % of the time")


def _parameters(topics: Sequence[RecordedTopic], where: NodeConfig) -> Iterator[Finding]:
    rig = where.config.rig
    by_name = {topic.name: topic for topic in topics}
    for name, sensor in sensors_by_topic(rig, where.namespace, where.node).items():
        topic, config = by_name.get(name), rig.sensors[sensor]
        if topic is None:
            yield Finding("P901", name, f"the sensor {sensor} will be missing: mend its topic")
        elif not topic.is_sensor:
            yield Finding("P902", name, f"it is {topic.type or 'of several types'}")
        elif (rate := topic.rate_hz) is not None and (
            not config.sends_events
            and abs(rate - config.expected_hz) > _RATE_SHARE * config.expected_hz
        ):
            yield Finding(
                "P903",
                name,
                f"{rate:.3g} Hz, but expected_hz of {sensor} is {config.expected_hz:g}",
            )


def camera_info_of(topic: RecordedTopic, topics: Sequence[RecordedTopic]) -> RecordedTopic | None:
    """Return the CameraInfo that belongs to a topic of images; None if there is none."""
    parent = topic.name.rsplit("/", 1)[0]
    if topic.name.rsplit("/", 1)[-1] in ("compressed", "compressedDepth"):
        parent = parent.rsplit("/", 1)[0]
    wanted = f"{parent}/camera_info"
    return next((t for t in topics if t.name == wanted and t.type == CAMERA_INFO), None)
