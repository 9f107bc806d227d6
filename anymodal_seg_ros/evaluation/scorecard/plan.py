"""From what is asked for to jobs: bags get names, every bag its cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.scorecard.cases import FAULTS, HEALTHY, Case, Sweep, path_name
from anymodal_seg_ros.evaluation.scorecard.contents import RUNS
from anymodal_seg_ros.evaluation.scorecard.replays.job import Job, Subject, inputs_of
from anymodal_seg_ros.faults.timeline import FaultTimeline


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried with one bag.

    Attributes:
        subject: the bag.
        timelines: of faults, each tried beside the healthy replay, by name; the name of the only
            one may be empty.
        sweep: of faults and subsets; None for none.
    """

    subject: Subject
    timelines: Mapping[str, FaultTimeline] = field(default_factory=dict)
    sweep: Sweep | None = None


def jobs_of(trials: Sequence[Trial], out: Path) -> tuple[list[Job], dict[str, str]]:
    """Lay out all jobs.

    Args:
        trials: with names of their own each, see :func:`names_of`.
        out: folder of the scorecard.

    Returns:
        The jobs, and why bags have none, by their names.
    """
    jobs: list[Job] = []
    failures: dict[str, str] = {}
    for trial in trials:
        subject = trial.subject
        try:
            with Bag(subject.bag) as bag:
                length_s = (bag.end_ns - bag.start_ns) / 1e9
            inputs = inputs_of(subject)
        except (AnymodalError, OSError) as error:
            failures[subject.name] = str(error)
            continue
        cases = [Case(HEALTHY)]
        for name, timeline in trial.timelines.items():
            cases.append(Case(f"{FAULTS}-{name}" if name else FAULTS, timeline))
        if trial.sweep is not None:
            cases += trial.sweep.cases(subject.config.rig, length_s)
        folder = out / RUNS / subject.name
        jobs += [Job(subject, case, folder / case.name, inputs) for case in cases]
    return jobs, failures


def names_of(bags: Iterable[Path]) -> list[str]:
    """Name bags by their files, fit for a path; the same name twice gets a number."""
    return unique(
        path_name(bag.resolve().stem if bag.is_file() else bag.resolve().name) for bag in bags
    )


def unique(names: Iterable[str]) -> list[str]:
    """Number the names that come more than once."""
    found: list[str] = []
    for name in names:
        number, own = 1, name
        while own in found:
            number += 1
            own = f"{name}-{number}"
        found.append(own)
    return found
