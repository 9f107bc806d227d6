"""An engine that can be replaced while it serves, by a better one or because it only fails.

What a sensor was encoded to belongs to the engine that encoded it, and sensors are fused that were
encoded at different times. So for a while after a replacement both engines encode, until everything
that is fused comes from the new one; no mask is lost, and none is made of a mixture.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.frames import Features, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.engine_protocol import Engine, can_split
from anymodal_seg_ros.inference.verification.contract import is_finite

MOST_FAILURES = 3
"""Failures in a row after which another engine is asked for."""

HANDOVER_S = 2.0
"""How long both engines encode at least. Sensors slower than twice a second are waited for longer,
as long as frames are fused from what only the old engine has encoded."""

T = TypeVar("T")


class _Pair(NamedTuple):
    """Who serves, and who still encodes beside it until everything comes from the new one."""

    serving: Engine
    leaving: Engine | None = None
    since: float = 0.0


class ServingEngine:
    """Hands everything on to the engine that serves at the moment. Safe for threads.

    Args:
        engine: that serves first.
        spare: makes another engine when the one that serves has failed :data:`MOST_FAILURES`
            times in a row; called in the thread of that failure. None: it goes on failing, until
            whoever watches ends the process.
        tell: called with a line of text when the engine has changed.
        clock: in seconds.
    """

    def __init__(
        self,
        engine: Engine,
        spare: Callable[[], Engine] | None = None,
        tell: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.splits = can_split(engine)
        self._pair = _Pair(engine)
        self._spare, self._tell, self._clock = spare, tell, clock
        self._lock = threading.Lock()
        self._failures = 0
        self.replaced = ""
        """Why the first choice does not serve any more, in words; empty while it does."""
        self.replacing = False
        """Whether another engine is being made, which takes as long as it takes."""

    @property
    def name(self) -> str:
        """Engine and device that serve at the moment."""
        return self._pair.serving.name

    @property
    def serving(self) -> Engine:
        """The engine that serves at the moment."""
        return self._pair.serving

    def replace(self, engine: Engine, spare: Callable[[], Engine] | None = None) -> None:
        """Let another engine of the same model take over.

        Args:
            engine: that serves from now on.
            spare: makes yet another one where that fails; see :class:`ServingEngine`.

        Raises:
            EngineError: one of them is in halves and the other one is not.
        """
        if can_split(engine) != self.splits:
            raise EngineError(f"{engine.name} cannot take over from {self.name}: other halves")
        with self._lock:
            before, self._failures, self._spare = self._pair.serving, 0, spare
            leaving = before if self.splits else None
            self._pair = _Pair(engine, leaving, self._clock())
        self._tell(f"{engine.name} takes over from {before.name}")

    def run(self, batch: ModalityBatch) -> Segmentation:
        """Segment one frame."""
        pair = self._pair
        return self._segmented(pair.serving, partial(_run, pair.serving, batch))

    def encode(self, batch: ModalityBatch) -> tuple[Features, ...]:
        """Encode some sensors; by both engines while one takes over from the other."""
        pair = self._pair
        engines = [pair.serving]
        made = [self._watched(pair.serving, partial(_encoded, pair.serving, batch))]
        if pair.leaving is not None:
            try:
                made.append(_encoded(pair.leaving, batch))
                engines.append(pair.leaving)
            except Exception:  # it is leaving anyway, and the other one is well
                self._let_go(pair)
        return tuple(
            Features(
                row[0].modality_id,
                tuple(zip(engines, row, strict=True)),
                sum(features.nbytes for features in row),
            )
            for row in zip(*made, strict=True)
        )

    def fuse(self, features: Sequence[Features]) -> Segmentation:
        """Segment one frame, by the newest engine that has encoded all of its sensors.

        Raises:
            EngineError: none has, because an engine failed between two sensors; the next frame is
                better.
        """
        pair = self._pair
        for engine in (pair.serving, pair.leaving):
            if engine is None:
                continue
            found = [_of(engine, row) for row in features]
            rows = [row for row in found if row is not None]
            if len(rows) < len(found):
                continue
            if engine is pair.serving:
                self._end_handover(pair)
            return self._segmented(engine, partial(_fused, engine, rows))
        raise EngineError(
            f"a sensor was encoded by an engine that {pair.serving.name} has replaced since: the "
            "frame is lost, the next one is not"
        )

    def _end_handover(self, pair: _Pair) -> None:
        """Let the old engine go when everything comes from the new one, and has for a while."""
        if pair.leaving is not None and self._clock() - pair.since >= HANDOVER_S:
            self._let_go(pair)

    def _let_go(self, pair: _Pair) -> None:
        with self._lock:
            if self._pair is pair:
                self._pair = _Pair(pair.serving)

    def _watched(self, engine: Engine, work: Callable[[], T]) -> T:
        """Do something with an engine, and replace it if it has failed too often."""
        try:
            return work()
        except Exception as error:
            self._failed(engine, error)
            raise

    def _segmented(self, engine: Engine, work: Callable[[], Segmentation]) -> Segmentation:
        """Segment a frame: only that shows that an engine works, not that it can encode."""
        result = self._watched(engine, work)
        if engine is self._pair.serving:
            self._failures = 0
        return result

    def _failed(self, engine: Engine, error: Exception) -> None:
        with self._lock:
            if engine is not self._pair.serving:
                return
            self._failures += 1
            spare = self._spare
            if self._failures < MOST_FAILURES or spare is None:
                return
            self._spare = None  # once: where two have failed, whoever watches ends the process
        self.replacing = True
        try:
            other = spare()
        except Exception as none:  # the libraries' errors have no common base
            self._tell(f"{engine.name} fails ({error}), and no other engine can be made: {none}")
            return
        finally:
            self.replacing = False
        with self._lock:
            self._pair, self._failures = _Pair(other), 0
            self.replaced = f"{engine.name} failed {MOST_FAILURES} times in a row: {error}"
        self._tell(f"{self.replaced}; {other.name} takes over")


def _run(engine: Engine, batch: ModalityBatch) -> Segmentation:
    return _finite(engine.run(batch))


def _encoded(engine: Engine, batch: ModalityBatch) -> tuple[Features, ...]:
    assert can_split(engine)
    return engine.encode(batch)


def _fused(engine: Engine, features: Sequence[Features]) -> Segmentation:
    assert can_split(engine)
    return _finite(engine.fuse(features))


def _finite(result: Segmentation) -> Segmentation:
    """Refuse numbers that are none, as a damaged plan or overflow in half precision makes them."""
    if not is_finite(result):
        raise EngineError("the engine returned logits or contributions that are not finite")
    return result


def _of(engine: Engine, features: Features) -> Features | None:
    """Return what an engine has made of a sensor; None if it has made nothing."""
    made: Features
    for maker, made in features.pyramid:
        if maker is engine:
            return made
    return None
