"""Damage to a part of a picture: what has died, and what was lost at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.frames import CheckResult, Pixels, SensorState
from anymodal_seg_ros.sensing.health.damage.dark_lines import DARK_ABOVE, DarkLinesWatch
from anymodal_seg_ros.sensing.health.damage.dead_lines import DEAD_ABOVE, DeadLinesWatch
from anymodal_seg_ros.sensing.health.damage.hidden_parts import HIDDEN_ABOVE, HiddenPartsWatch
from anymodal_seg_ros.sensing.health.damage.hung_blocks import HUNG_ABOVE, HungBlocksWatch
from anymodal_seg_ros.sensing.health.damage.smear import SmearWatch
from anymodal_seg_ros.sensing.health.damage.stillness import StillnessWatch
from anymodal_seg_ros.sensing.health.damage.sudden_halt import SuddenHaltWatch
from anymodal_seg_ros.sensing.health.damage.sudden_loss import Loss, SuddenLossWatch
from anymodal_seg_ros.sensing.health.damage.switched import SwitchWatch
from anymodal_seg_ros.sensing.health.damage.vanished_depth import VanishedDepthWatch
from anymodal_seg_ros.sensing.health.figures.blocks import (
    Blocks,
    BlockView,
    Flags,
    block_means,
)
from anymodal_seg_ros.sensing.health.figures.edges import edges
from anymodal_seg_ros.sensing.health.figures.image_figures import Grid, one_channel
from anymodal_seg_ros.sensing.health.figures.order import share_of
from anymodal_seg_ros.sensing.health.sensor_health import Fault, damaged

COVERED_ABOVE = 0.12
"""Share of a picture that may be dead; what is less is a wing mirror, or a scratch."""
_BLIND = 0.8
"""Share of a depth image above which hardly anything is seen at all."""
_MOSTLY = 0.5
"""Share of a block that must hang for it to count as damaged."""
_PERIOD_NS = 80_000_000
"""Pictures that follow sooner than this after one that was looked at are passed over."""
_SELDOM_NS = 180_000_000
"""The same of what stays once it is there: a picture that was switched."""
_PATIENCE_NS = 500_000_000
"""How long damage must go on before it is told."""

Found = tuple[CheckResult, Fault | None]


@dataclass(slots=True)
class _Since:
    """Since when something has been so."""

    since_ns: int | None = None

    def lasts(self, so: bool, now_ns: int, patience_ns: int) -> bool:
        """Take note; whether it has been so for long enough."""
        if not so:
            self.since_ns = None
            return False
        if self.since_ns is None:
            self.since_ns = now_ns
        return now_ns - self.since_ns >= patience_ns


class PartsWatch:
    """Watches the blocks of one sensor's pictures. A picture that repeats is not shown to it."""

    def __init__(self, kind: str, covered_above: float, frozen_after_ns: int) -> None:
        """Begin without a picture.

        Args:
            kind: ``pictures``, ``heat`` or ``depth``: of heat, the contrast may change at once.
            covered_above: share of a picture that may be dead.
            frozen_after_ns: how long a whole picture may be dead before the sensor is FROZEN.
        """
        self._depth, self._heat = kind == "depth", kind == "heat"
        self._covered_above = covered_above
        self._frozen_after_ns = frozen_after_ns
        self._view = BlockView(depth=self._depth)
        self._still = StillnessWatch(textured=not self._depth)
        self._halt = SuddenHaltWatch()
        self._hidden = HiddenPartsWatch(frozen_after_ns)
        self._hung = HungBlocksWatch()
        self._vanished = VanishedDepthWatch()
        self._loss = SuddenLossWatch(steady_contrast=not self._heat)
        self._smear = SmearWatch()
        self._switches = SwitchWatch(depth=self._depth)
        self._dark_lines = DarkLinesWatch()
        self._dead_lines = DeadLinesWatch()
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after an outage."""
        self._view.forget()
        self._still.forget()
        self._halt.forget()
        self._hidden.forget()
        self._hung.forget()
        self._vanished.forget()
        self._loss.forget()
        self._smear.forget()
        self._switches.forget()
        self._dark_lines.forget()
        self._dead_lines.forget()
        self._switched = ""
        self._compared_ns: int | None = None
        self._covered, self._whole, self._lost = _Since(), _Since(), _Since()
        self._looked_ns: int | None = None
        self.found: list[Found] = [
            (CheckResult("covered", 0.0, self._covered_above, True), None),
            (CheckResult("lost", 0.0, 0.0, True), None),
        ]
        """The last verdicts."""
        self.bad: Flags | None = None
        """Blocks of the newest picture that are damaged, ``[ROWS, COLUMNS]``; None if none are."""

    def inspect(self, sampled: Grid, now_ns: int) -> list[Found]:
        """Look at a picture; one that comes very soon after another is judged like that."""
        if self._looked_ns is not None and 0 < now_ns - self._looked_ns < _PERIOD_NS:
            return self.found
        blocks = self._view.look(sampled)
        if blocks is None:
            return self.found
        self._looked_ns = now_ns
        still = self._still.look(blocks, self._covered_above)
        share = 0.0 if still is None else still.share
        halted = not self._depth and self._halt.look(blocks, now_ns)
        whole = halted or (still is not None and still.whole)
        covered = not whole and share > self._covered_above
        bad = np.zeros(blocks.means.shape, bool)
        told = [
            self._judge_whole(whole, now_ns),
            self._judge_covered(covered, whole, share, now_ns),
        ]
        if halted:
            bad |= ~blocks.bright
        elif still is not None and (covered or whole):
            bad |= still.dead
        loss = self._look_for_loss(sampled, blocks, now_ns)
        if self._lost.lasts(loss is not None, now_ns, _PATIENCE_NS) and loss is not None:
            bad |= loss.lost
            told.append(self._loss_fault(share_of(loss.lost), loss.left))
        hidden = None if self._depth else self._hidden.look(blocks, now_ns)
        if hidden is not None:
            bad |= hidden
            told.append(_hidden_fault(share_of(hidden)))
        hung = None if self._depth else self._hung.look(sampled, now_ns)
        if hung is not None:
            bad |= block_means(hung.astype(np.float32)) >= _MOSTLY
            told.append(_hung_fault(share_of(hung)))
        dark = dead = 0.0
        if not self._depth:
            dark = self._dark_lines.look(sampled.values, sampled.full_scale)
        dead = self._dead_lines.look(_numbers(sampled.values) if self._depth else sampled.values)
        if dark > DARK_ABOVE:
            told.append(_dark_fault(dark))
        elif dead > DEAD_ABOVE:
            told.append(_dead_fault(dead))
            # Such lines are detail that must not be missed when they have gone.
            self._loss.forget()
            self._smear.forget()
        if self._compared_ns is None or not 0 < now_ns - self._compared_ns < _SELDOM_NS:
            self._compared_ns = now_ns
            self._switched = self._switches.look(sampled, now_ns)
        if self._switched:
            told.append(_switch_fault(self._switched))
            # Nor is what a switched picture shows missed when it is as it was.
            self._hidden.forget()
        faults = [fault for fault in told if fault is not None]
        passed = not (covered or whole or hidden is not None or hung is not None)
        lost = 0.0 if loss is None else share_of(loss.lost)
        kept = not (loss or self._switched or dark > DARK_ABOVE or dead > DEAD_ABOVE)
        self.found = [
            (CheckResult("covered", share, self._covered_above, passed), None),
            (CheckResult("lost", lost, 0.0, kept), None),
        ]
        for place, fault in enumerate(faults[:2]):
            self.found[place] = (self.found[place][0], fault)
        self.bad = bad if bad.any() else None
        return self.found

    def _look_for_loss(self, sampled: Grid, blocks: Blocks, now_ns: int) -> Loss | None:
        """Look for what the picture has shown and does not show any more."""
        if self._depth:
            return self._vanished.look(sampled.metres[0], now_ns)
        plane = one_channel(sampled.pixels)
        seen = edges(plane)
        lost = self._loss.look(blocks, seen, now_ns, _span(sampled) if self._heat else None)
        return lost if seen is None else lost or self._smear.look(plane, seen, now_ns)

    def _judge_whole(self, whole: bool, now_ns: int) -> Fault | None:
        if not self._whole.lasts(whole, now_ns, self._frozen_after_ns):
            return None
        return Fault(
            SensorState.FROZEN,
            "frozen: hardly a pixel has changed by even the sensor's own noise for "
            f"{(now_ns - (self._whole.since_ns or now_ns)) / 1e9:.2f} s, "
            f"{self._frozen_after_ns / 1e9:g} s allowed",
        )

    def _judge_covered(self, covered: bool, whole: bool, share: float, now_ns: int) -> Fault | None:
        # Of a picture of which hardly anything is left, all seems dead now and then.
        lasts = self._covered.lasts(covered or whole, now_ns, _PATIENCE_NS)
        if not covered or not lasts:
            return None
        return damaged(
            f"covered: in {share:.0%} of the picture nothing changes any more, not even by noise: "
            f"expected at most {self._covered_above:.0%}"
        )

    def _loss_fault(self, share: float, left: float) -> Fault:
        what = "has no depth any more" if self._depth else "has lost its detail"
        blind = self._depth and share >= _BLIND
        return Fault(
            SensorState.INVALID if blind else SensorState.DEGRADED,
            f"lost: {share:.0%} of the picture {what}, from one image to the next: "
            f"{left:.0%} of it is left",
            withhold=blind,
        )


def _switch_fault(switched: str) -> Fault:
    return damaged(
        f"switched: from one image to the next the whole picture is {switched}: expected what it "
        "showed; a restart of the sensor makes it the normal"
    )


def _hidden_fault(share: float) -> Fault:
    return damaged(
        f"covered: {share:.0%} of the picture was hidden from one image to the next, and nothing "
        f"moves there any more: expected at most {HIDDEN_ABOVE:.0%}"
    )


def _hung_fault(share: float) -> Fault:
    return damaged(
        f"covered: in blocks, {share:.0%} of the picture stays as it was, pixel by pixel, while "
        f"what lies between them goes by: expected at most {HUNG_ABOVE:.0%}"
    )


def _dark_fault(share: float) -> Fault:
    return damaged(
        f"dark lines: {share:.0%} of the rows or columns show nothing any more, from one image to "
        f"the next: expected at most {DARK_ABOVE:.0%}"
    )


def _dead_fault(share: float) -> Fault:
    return damaged(
        f"dead lines: {share:.0%} of the rows or columns are of one level from edge to edge, from "
        f"one image to the next: expected at most {DEAD_ABOVE:.0%}"
    )


def _numbers(depth: Pixels) -> Pixels:
    """Return distances with 0 where there is none, as of 16 bits."""
    return np.nan_to_num(depth, posinf=0.0, neginf=0.0) if depth.dtype.kind == "f" else depth


def _span(sampled: Grid) -> float:
    """Return how far the brightest pixel of a whole picture lies above its darkest."""
    plane = one_channel(sampled.pixels)
    return float(plane.max()) - float(plane.min())
