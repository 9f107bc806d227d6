"""The pipeline's state as diagnostic messages: per mask (evidence) and per second (health)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from anymodal_seg_ros.frames import CheckResult, Prediction, SensorState, SensorStatus
from anymodal_seg_ros.messages import evidence
from anymodal_seg_ros.messages.evidence import milliseconds
from anymodal_seg_ros.nodes.topics.topic_facts import TopicFacts

_LEVELS = {
    evidence.OK: DiagnosticStatus.OK,
    evidence.WARN: DiagnosticStatus.WARN,
    evidence.ERROR: DiagnosticStatus.ERROR,
}

SILENT_S = 1.5
SILENT_PERIODS = 3
"""Without a mask for so long while sensors are alive, the node fails; the longer of the two."""


@dataclass(frozen=True, slots=True)
class PipelineReport:
    """What happened since the node was activated, and since the last report.

    Attributes:
        engine: what executes the model.
        model: name and version of the model.
        masks: masks made since activation.
        masks_now: of those in the last reporting period.
        masks_per_second: over the last reporting period, or three from mask to mask if those are
            longer.
        blank: masks without labels since activation.
        blank_now: of those in the last reporting period.
        superseded: frame sets dropped for a newer one since activation.
        superseded_now: of those in the last reporting period.
        went_back: how often the stamps of masks have gone back since activation.
        went_back_now: by how much they did in the last reporting period, in words; empty if they
            did not.
        failures: inferences that raised since activation.
        failed_now: whether one of them happened in the last reporting period.
        last_failure: the newest failure in words; empty if there was none.
        wanted: whether masks are to be made at all; not where nobody listens and that is enough.
        stalled: what takes longer than it should at this moment, in words; empty if nothing does.
        silent_s: time since the last mask, or since activation, in s.
        clock_stood_s: for how long a simulated clock has stood still, in s; 0 while it runs.
        clock_trouble: what else is wrong with it, in words; empty if nothing is.
        mask_period_s: time from mask to mask that is to be expected now, in s.
        latency_ms: from the arrival of the reference's message to the mask, the median and the 99th
            percentile of the last masks; None before the first.
        load: share of the time that the worker threads were at work in the last reporting period.
        callback_max_ms: longest image callback in the last reporting period.
    """

    engine: str
    model: str
    masks: int
    masks_now: int
    masks_per_second: float
    blank: int
    blank_now: int
    superseded: int
    superseded_now: int
    went_back: int
    went_back_now: str
    failures: int
    failed_now: bool
    last_failure: str
    wanted: bool
    stalled: str
    silent_s: float
    clock_stood_s: float
    clock_trouble: str
    mask_period_s: float
    latency_ms: tuple[float, float] | None
    load: float
    callback_max_ms: float


def mask_evidence(prediction: Prediction, topics: Mapping[str, str], latency_ns: int) -> list[Any]:
    """Say for every sensor whether it made this mask, and for the mask how it was made.

    Args:
        prediction: the mask and its frame set.
        topics: full names of the sensors' topics.
        latency_ns: from the arrival of the newest message used to the publishing of the mask.

    Returns:
        A DiagnosticStatus per sensor, named like it, and one named ``mask``.
    """
    return [
        DiagnosticStatus(
            level=_LEVELS[status.level],
            name=status.name,
            message=status.message,
            hardware_id=status.hardware_id,
            values=_pairs(status.values),
        )
        for status in evidence.mask_evidence(prediction, topics, latency_ns)
    ]


def sensor_health(
    node: str,
    status: SensorStatus,
    topic: str,
    before: SensorStatus | None,
    expected_hz: float = 0.0,
    facts: TopicFacts | None = None,
) -> DiagnosticStatus:
    """Describe one sensor for ``/diagnostics``.

    Args:
        node: name of the node, the prefix of every diagnostic's name.
        status: the sensor's health.
        topic: its topic, as the hardware id.
        before: the health that was reported last; None if there was none.
        expected_hz: the rate that is configured; 0 if none is to be expected.
        facts: what the graph says of the topic; None if nobody has looked.
    """
    level, message = _LEVELS[evidence.level_of(status.state)], f"{status.state.value}"
    if status.state is SensorState.DISABLED:
        message += " in the configuration"
    elif status.fault:
        level = max(level, DiagnosticStatus.WARN)
        message += f": {status.fault}"
    elif status.age_ns is None:
        message += ": no message so far"
    elif not status.state.alive:
        message += f": last message {status.age_ns / 1e9:.2f} s ago"
    told = "" if facts is None else facts.words
    pairing = evidence.left_out(status) or evidence.paired_late(status)
    warnings = [pairing, told or evidence.too_fast(status, expected_hz)]
    if status.state.alive:
        warnings.append(evidence.out_of_order(status, before))
    rejected_before = 0 if before is None else sum(before.rejected.values())
    if sum(status.rejected.values()) > rejected_before:
        repeated = bool(status.fault) and status.last_error.endswith(status.fault)
        why = "" if repeated else f": {status.last_error}"
        warnings.append(f"messages are rejected{why}")
    for warning in filter(None, warnings):
        level = max(level, DiagnosticStatus.WARN)
        message += f"; {warning}"
    return DiagnosticStatus(
        level=level,
        name=f"{node}: sensor {status.sensor}",
        message=message,
        hardware_id=topic,
        values=_pairs(_values(status, facts)),
    )


def _values(status: SensorStatus, facts: TopicFacts | None) -> dict[str, str]:
    """Return what is known of a sensor, by name."""
    fused = status.fused
    graph: dict[str, str] = {}
    if facts is not None:
        graph = {
            "publishers": str(len(facts.offers)),
            "heard": "reliably" if facts.reliable else "best effort",
            "lost_on_the_way": str(facts.lost),
        }
    return {
        "state": status.state.value,
        "rate_hz": "" if status.rate_hz is None else f"{status.rate_hz:.2f}",
        "age_ms": milliseconds(status.age_ns),
        "fused": f"{fused.used} of {fused.masks}",
        "not_fused_because": fused.reason,
        "encoded": str(fused.encoded),
        "reused": str(fused.reused),
        "skipped": str(fused.skipped),
        "arrived": str(status.arrived),
        "received": str(status.received),
        "taken": str(status.taken),
        "rejected": str(sum(status.rejected.values())),
        **{f"rejected: {reason}": str(n) for reason, n in sorted(status.rejected.items())},
        **{f"dropped: {reason}": str(n) for reason, n in sorted(status.dropped.items())},
        "fault": status.fault,
        # Of two checks of one name, as of tears and of units, one that failed is shown.
        **{
            f"check: {check.name}": _figure(check)
            for check in sorted(status.checks, key=lambda check: not check.passed)
        },
        "transitions": str(status.transitions),
        **{f"entered: {state}": str(n) for state, n in sorted(status.entered.items())},
        "last_error": status.last_error,
        **graph,
    }


def pipeline_health(
    node: str, report: PipelineReport, states: Collection[SensorState], shortfall: str
) -> DiagnosticStatus:
    """Describe the pipeline as a whole for ``/diagnostics``: is it doing what it is for?

    Args:
        node: name of the node, the prefix of every diagnostic's name.
        report: what happened so far.
        states: of the sensors.
        shortfall: why masks would have no labels now, in words; empty if they would have.
    """
    level, message = _judge(report, states, shortfall)
    if report.clock_trouble:  # whatever else is told comes of it
        level, message = max(level, DiagnosticStatus.WARN), f"{report.clock_trouble}; {message}"
    p50, p99 = report.latency_ms or (None, None)
    values = {
        "engine": report.engine,
        "model": report.model,
        "masks": str(report.masks),
        "masks_per_second": f"{report.masks_per_second:.2f}",
        "blank": str(report.blank),
        "superseded": str(report.superseded),
        "went_back": str(report.went_back),
        "latency_p50_ms": "" if p50 is None else f"{p50:.1f}",
        "latency_p99_ms": "" if p99 is None else f"{p99:.1f}",
        "load": f"{report.load:.2f}",
        "failures": str(report.failures),
        "last_failure": report.last_failure,
        "callback_max_ms": f"{report.callback_max_ms:.3f}",
    }
    return DiagnosticStatus(
        level=level, name=f"{node}: pipeline", message=message, values=_pairs(values)
    )


def _judge(
    report: PipelineReport, states: Collection[SensorState], shortfall: str
) -> tuple[Any, str]:
    """Return level and message of the pipeline."""
    rate = f"{report.masks_per_second:.1f} masks per second"
    alive = any(state.alive for state in states)
    if report.stalled:
        return DiagnosticStatus.ERROR, f"the engine does not answer: {report.stalled}"
    if report.failed_now:
        return DiagnosticStatus.ERROR, f"inference fails: {report.last_failure}"
    if not alive:
        if SensorState.LATE in states:
            return DiagnosticStatus.WARN, f"{rate}: every sensor is late"
        return DiagnosticStatus.ERROR, "no sensor is alive: no masks"
    if shortfall:
        return DiagnosticStatus.ERROR, f"masks without labels: {shortfall}"
    if not report.wanted:
        return DiagnosticStatus.OK, "nobody listens: no masks are made (lazy)"
    if report.clock_stood_s >= SILENT_S:
        return (
            DiagnosticStatus.WARN,
            f"{rate}: /clock has stood still for {report.clock_stood_s:.1f} s",
        )
    if report.silent_s >= max(SILENT_S, SILENT_PERIODS * report.mask_period_s):
        return (
            DiagnosticStatus.ERROR,
            f"no mask for {report.silent_s:.1f} s although sensors are alive",
        )
    if report.blank_now:
        return (
            DiagnosticStatus.WARN,
            f"{rate}; {report.blank_now} of the last were without labels",
        )
    if report.went_back_now:
        return DiagnosticStatus.WARN, f"{rate}; {report.went_back_now}"
    if report.superseded_now > max(1.0, 0.1 * report.masks_now):
        return (
            DiagnosticStatus.WARN,
            f"{rate}; {report.superseded_now} reference frames got none since the last report: "
            "the network is slower than the reference; engine: auto, a smaller model or "
            "rig.max_rate_hz help",
        )
    return DiagnosticStatus.OK, rate


def no_clock(node: str) -> DiagnosticStatus:
    """Say that simulated time is awaited: before it runs, nothing can be said of the sensors."""
    return DiagnosticStatus(
        level=DiagnosticStatus.WARN,
        name=f"{node}: pipeline",
        message="use_sim_time is set, but no /clock has come yet",
    )


def resting(node: str) -> DiagnosticStatus:
    """Say that somebody has switched the node off by its service ``~/enable``."""
    return DiagnosticStatus(
        level=DiagnosticStatus.OK,
        name=f"{node}: pipeline",
        message="resting: switched off by the service ~/enable",
    )


def _pairs(values: Mapping[str, str]) -> list[Any]:
    return [KeyValue(key=key, value=value) for key, value in values.items()]


def _figure(check: CheckResult) -> str:
    """Say what a check measured and where it fails, e.g. ``0.02 / 0.5``."""
    verdict = "" if check.passed else " FAILED"
    return f"{check.figure:.4g} / {check.threshold:.4g}{verdict}"
