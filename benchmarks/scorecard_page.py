"""The page of ``scorecard.py``: what was found, beside the naive pipeline, and what is not met."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from anymodal_seg_ros.evaluation.scorecard.cases import HEALTHY
from anymodal_seg_ros.evaluation.scorecard.figures.fault_figures import (
    FALSE_ALARMS,
    FaultOutcome,
    false_alarms,
    masks_lost,
)
from anymodal_seg_ros.evaluation.scorecard.figures.figures import measure
from anymodal_seg_ros.evaluation.scorecard.figures.measures import outcomes
from anymodal_seg_ros.evaluation.scorecard.figures.selection import Selection
from anymodal_seg_ros.evaluation.scorecard.report.tables import by_subset, comparable
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run

HARM = 0.02
"""mIoU: a fault that costs less is no harm, withheld or not."""
PERIODS = 2
"""Of the reference, within which a faulty sensor must be out of the masks."""

_HEAD = """\
# Scorecard of the bundled models

What becomes of the masks when a simulated sensor fails, beside what the usual way makes of the same
messages. **Written by a program**, which goes on where it was stopped:

    PYTHONPATH=. python benchmarks/scorecard.py --data FOLDER --write docs/reference/scorecard.md

Drives of {seconds:g} s of the aligned rig (RGB at 30 Hz, thermal 10, depth 15, events 30) through
scenes of RigBench's test split, one in each weather. Faults are tried on the drive in the {swept},
one moment each, {fault_s:g} s long, image faults at full strength. So it can show that something
does not work; it cannot show that nothing ever fails. A picture of another world is found by what
the other sensors say, which takes up to 3 s ([lying sensors](../reliability/lying.md)): a fault of
{fault_s:g} s may be over by then. All figures: [definitions](figures.md).

**naive** is `evaluate --pipeline naive`: the rule of message_filters' ApproximateTimeSynchronizer
(queue 10, slop 0.1 s), zeros for what is missing or cannot be decoded, no watchdog; same network,
engine and preprocessing. Its masks come at the rate of the slowest sensor, and none while one is
silent. Those it makes are of the instants at which all sensors took a picture; ours are of every
picture of the reference, two thirds of them beside an older one of a slower sensor. So its mIoU is
that of fewer and easier masks.

![The report](../images/scorecard.png)
"""


@dataclass(frozen=True, slots=True)
class Card:
    """What one pipeline has done with one model."""

    model: str
    pipeline: str
    runs: tuple[Run, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def drives(self) -> list[Run]:
        """Healthy replays of simulated drives."""
        found = [run for run in self.runs if run.case == HEALTHY and run.condition != "real"]
        return sorted(found, key=lambda run: run.condition)

    @property
    def recordings(self) -> list[Run]:
        """Replays of real recordings."""
        return [run for run in self.runs if run.case == HEALTHY and run.condition == "real"]

    def faults(self) -> dict[tuple[str, str], FaultOutcome]:
        """What every fault did, by kind and sensor."""
        found = [o for _, o in outcomes(self.runs, Selection(case="all"))]
        sensors = [name for run in self.drives for name in run.sensors]
        found.sort(key=lambda o: sensors.index(o.window.sensor))
        return {(o.window.label, o.window.sensor): o for o in found}


Cards = Mapping[tuple[str, str], Card]
"""By model and pipeline."""


def page(cards: Cards, swept: str, seconds: float, fault_s: float) -> str:
    """Return the page in Markdown."""
    parts = [_HEAD.format(swept=swept, seconds=seconds, fault_s=fault_s)]
    for model in dict.fromkeys(model for model, _ in cards):
        own, naive = cards.get((model, "anymodal")), cards.get((model, "naive"))
        if own is not None:
            parts += section(own, naive or Card(model, "naive", ()))
    return "\n".join(parts)


def section(own: Card, naive: Card) -> Iterator[str]:
    """Yield what is known of one model."""
    engine = next((run.settings["engine"] for run in own.runs), "")
    yield f"## {own.model}, {engine}\n"
    yield table(("must", "found", "naive"), promises(own, naive))
    faults, other = own.faults(), naive.faults()
    if faults:
        yield from sentences(faults)
        yield from fault_tables(faults, other)
    yield "### Subsets, without faults\n"
    yield f"{of_drive(own)}mIoU in %. naive: zeros for the sensors that are not there.\n"
    yield table(("sensors", "mIoU", "naive"), subset_rows(own, naive))
    yield "### Healthy sensors in every weather\n"
    heads = ("weather", "mIoU", "masks", "masks lost", "false alarms", "naive mIoU", "naive masks")
    yield table(heads, weather_rows(own, naive))
    if own.recordings:
        yield "### Real recordings\n"
        yield (
            "Without labels, so only what needs none. The models have seen simulated pictures "
            "alone.\n"
        )
        heads = ("recording", "s", "masks", "masks lost", "false alarms", "mean use", "naive masks")
        yield table(heads, recording_rows(own, naive))
    for reason in own.unreadable:
        yield f"* Could not be evaluated: {one_line(reason)}"
    for reason in naive.unreadable:
        yield f"* Could not be evaluated by the naive pipeline: {one_line(reason)}"
    if own.unreadable or naive.unreadable:
        yield ""


def promises(own: Card, naive: Card) -> Iterator[Sequence[str]]:
    """Yield what must be, and what is."""
    yield "no mask lost while a sensor lives", lost_words(own), lost_words(naive)
    yield (
        f"reaction under {PERIODS} periods of the reference ({limit_s(own) * 1e3:.0f} ms)",
        reaction_words(own),
        reaction_words(naive),
    )
    yield "no false alarm in healthy drives of all weathers", alarm_words(own), alarm_words(naive)
    yield "back after the fault", recovery_words(own), recovery_words(naive)


def limit_s(card: Card) -> float:
    """Return how long a reaction may take."""
    run = next(run for run in card.runs if run.condition != "real")
    return PERIODS * run.period_s[run.sensors[0]]


def lost_words(card: Card) -> str:
    found = list(card.faults().values())
    if not found:
        return "not measured"
    losing = [o for o in found if o.lost]
    text = f"{len(found) - len(losing)} of {len(found)} faults without a lost mask"
    return text + (f"; {sum(o.lost for o in losing)} lost in the others" if losing else "")


def reaction_words(card: Card) -> str:
    found = list(card.faults().values())
    if not found:
        return "not measured"
    harmful = [o for o in found if harms(o)]
    known = [o for o in found if withheld(o)]
    fast = [o for o in known if o.reaction_s is not None and o.reaction_s <= limit_s(card)]
    return (
        f"withheld in {len(known)} of {len(found)} faults, in time in {len(fast)}; of the rest "
        f"{len(harmful)} cost {100 * HARM:g} points of mIoU or more"
    )


def alarm_words(card: Card) -> str:
    if not card.drives:
        return "not measured"
    seconds = sum(run.seconds for run in card.drives)
    alarms = sum(false_alarms(run) for run in card.drives)
    blamed = sum(o.blamed for o in card.faults().values())
    return (
        f"{alarms} in {seconds:.0f} s of {len(card.drives)} drives; {blamed} of others while a "
        "sensor had a fault"
    )


def recovery_words(card: Card) -> str:
    found = [o.recovery_s for o in card.faults().values() if o.recovery_s is not None]
    if not found:
        return "nothing was noticed"
    back = sorted(value for value in found if math.isfinite(value))
    if not back:
        return f"never, {len(found)} faults"
    text = (
        f"{len(back)} of {len(found)}, median {back[len(back) // 2]:.2f} s, worst {back[-1]:.2f} s"
    )
    return text


def withheld(outcome: FaultOutcome) -> bool:
    return outcome.reaction_s is not None and math.isfinite(outcome.reaction_s)


def harms(outcome: FaultOutcome) -> bool:
    """Whether a fault was neither withheld nor harmless."""
    return not withheld(outcome) and (outcome.lost_during or 0.0) >= HARM


def sentences(faults: Mapping[tuple[str, str], FaultOutcome]) -> Iterator[str]:
    """Say what is not met."""
    harmful = sorted(
        (o for o in faults.values() if harms(o)), key=lambda o: -(o.lost_during or 0.0)
    )
    losing = [o for o in faults.values() if o.lost]
    named = ", ".join(f"`{o.window.label}` on {o.window.sensor}" for o in losing)
    worst = ", ".join(
        f"`{o.window.label}` on {o.window.sensor} (−{100 * (o.lost_during or 0.0):.1f})"
        for o in harmful
    )
    yield (
        f"**Not met.** Fused all the same, at a cost: {worst or 'none'}. Masks lost: "
        f"{named or 'none'}.\n"
    )


def fault_tables(
    faults: Mapping[tuple[str, str], FaultOutcome], other: Mapping[tuple[str, str], FaultOutcome]
) -> Iterator[str]:
    """Yield a table for every sensor, with a row for every kind of fault."""
    yield "### Faults\n"
    yield (
        "withheld after: from the beginning of the fault to the first mask without the sensor. "
        "mIoU: change while it lasted, in points. masks: made while it lasted.\n"
    )
    for sensor in dict.fromkeys(sensor for _, sensor in faults):
        heads = (sensor, "withheld after", "as", "mIoU", "masks", "naive mIoU", "naive masks")
        rows = [
            (
                f"`{label}`",
                f"{o.reaction_s:.2f} s" if withheld(o) else "–",
                " ".join(o.detected_as) or "–",
                points(o),
                str(o.masks),
                points(other.get((label, sensor))),
                str(other[label, sensor].masks) if (label, sensor) in other else "–",
            )
            for (label, name), o in faults.items()
            if name == sensor
        ]
        yield table(heads, rows)


def points(outcome: FaultOutcome | None) -> str:
    """Return the change of mIoU in points."""
    if outcome is None or outcome.lost_during is None:
        return "–"
    value = -100 * outcome.lost_during
    return f"{'+' if value >= 0 else '−'}{abs(value):.1f}"


def of_drive(card: Card) -> str:
    """Say of which drives the subsets are, if not of all."""
    drives = {run.condition for run in comparable(card.runs) if run.condition != "real"}
    every = {run.condition for run in card.drives}
    return f"Of the drive in the {', '.join(sorted(drives))}. " if drives != every else ""


def subset_rows(own: Card, naive: Card) -> Iterator[Sequence[str]]:
    others = comparable(naive.runs)
    for row in by_subset([run for run in own.runs if run.condition != "real"]):
        theirs = measure("miou", others, row.where).value if others else None
        yield row.where.subset, percent(row.value.value), percent(theirs)


def weather_rows(own: Card, naive: Card) -> Iterator[Sequence[str]]:
    theirs = {run.condition: run for run in naive.drives}
    for run in own.drives:
        beside = theirs.get(run.condition)
        yield (
            run.condition,
            miou_of(run),
            str(run.masks),
            str(masks_lost(run, *run.span_s)),
            alarms_of(run),
            "–" if beside is None else miou_of(beside),
            "–" if beside is None else str(beside.masks),
        )


def recording_rows(own: Card, naive: Card) -> Iterator[Sequence[str]]:
    theirs = {run.bag: run for run in naive.recordings}
    for run in own.recordings:
        use = [
            f"{name} {100 * sum(name in r.sensors for r in run.records) / max(1, run.masks):.0f} %"
            for name in run.sensors
        ]
        yield (
            run.bag.removeprefix("recording-"),
            f"{run.seconds:.1f}",
            str(run.masks),
            str(masks_lost(run, *run.span_s)),
            alarms_of(run),
            ", ".join(use),
            str(theirs[run.bag].masks) if run.bag in theirs else "–",
        )


def alarms_of(run: Run) -> str:
    """Count false alarms, and say which."""
    number = false_alarms(run)
    which = dict.fromkeys(
        f"{t.sensor} {t.state}" for t in run.every_transition() if t.state in FALSE_ALARMS
    )
    return f"{number}: {', '.join(which)}" if number else "0"


def miou_of(run: Run) -> str:
    return percent(measure("miou", [run], Selection(case="all")).value)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def one_line(text: str) -> str:
    """Return a reason without the place where a file lies on this machine."""
    return " ".join(
        word.rsplit("/", 1)[-1] if word.startswith("/") else word for word in text.split()
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"
