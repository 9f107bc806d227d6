"""The black box: the seconds before a sensor failed, written down by a thread of its own.

Messages are kept as they came, by reference, within limits of age, number and bytes. When a sensor
goes down, what is kept then is handed to the writer; callbacks and masks wait for nothing. One
failure at a time: what fails while another is being written, or within the seconds that the last
recording has covered, is told but not recorded again.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from anymodal_seg_ros.config import BlackBoxConfig
from anymodal_seg_ros.foreign_text import one_line
from anymodal_seg_ros.frames import SensorState, SensorStatus
from anymodal_seg_ros.nodes import stop_limits
from anymodal_seg_ros.nodes.recording.record_folder import Circumstances, Kept, make_room
from anymodal_seg_ros.nodes.recording.recordings import Recordings


class _SensorFailure(NamedTuple):
    sensor: str
    state: str
    kept: list[Kept]
    circumstances: Circumstances


class BlackBox:
    """Keeps the newest messages of all topics, and writes them down when a sensor goes down.

    ``note`` and ``look`` are called in the executor's thread.
    """

    def __init__(
        self,
        config: BlackBoxConfig,
        folder: Path,
        circumstances: Callable[[], Circumstances],
        tell: Callable[[str], None],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Begin to keep messages.

        Args:
            config: limits.
            folder: recordings are written into it, each in a folder of its own.
            circumstances: asked for what else belongs to the moment of a failure.
            tell: called with a line for people, from the writer's thread too.
            now_ns: the clock of the messages' ``time_ns``.
        """
        self._config, self._circumstances, self._tell = config, circumstances, tell
        self._recordings = Recordings(folder, config.keep)
        self._now_ns = now_ns
        self._kept: deque[Kept] = deque()
        self._latched: dict[tuple[str, ...], Kept] = {}
        self._bytes = 0
        self._down: set[str] = set()
        self._entered: dict[str, dict[str, int]] = {}
        self._recorded_ns: int | None = None
        self._failures: queue.Queue[_SensorFailure | None] = queue.Queue(maxsize=1)
        # A daemon: a disk that hangs must not keep the process.
        self._thread = threading.Thread(target=self._write_all, name="black box", daemon=True)
        self._thread.start()

    @property
    def size(self) -> tuple[int, int]:
        """How many messages are kept, and how many bytes they take."""
        return len(self._kept), self._bytes

    def note(self, kept: Kept, *, latched: bool = False) -> None:
        """Keep a message, and let go what is too old, too many or too large.

        Args:
            kept: the message.
            latched: whether it holds until the next of its series, as a calibration: the newest
                that has been let go is kept all the same.
        """
        if latched:
            series = kept.series
            self._latched[series] = kept
            if len(series) > 1:
                make_room(self._latched, lambda one: one.size)
            return
        if self._kept and (back_ns := self._kept[-1].time_ns - kept.time_ns) > 0:
            # The clock was set back, by a time server or a bag that starts anew: what came before
            # is told on the new one, as if it had just come. Else seconds before a failure would
            # be lost or doubled, and what fails at the same time of each loop be recorded once.
            self._kept = deque(replace(one, time_ns=one.time_ns - back_ns) for one in self._kept)
            if self._recorded_ns is not None:
                self._recorded_ns -= back_ns
        self._kept.append(kept)
        self._bytes += kept.size
        config = self._config
        oldest_ns = kept.time_ns - round(config.before_s * 1e9)
        while self._kept and (
            self._kept[0].time_ns < oldest_ns
            or self._bytes > config.max_mb * 1_000_000
            or len(self._kept) > config.max_messages
        ):
            self._bytes -= self._kept.popleft().size

    def look(self, sensors: Iterable[SensorStatus]) -> None:
        """See whether a sensor has gone down since the last look, and record what is kept then."""
        for status in sensors:
            before = self._entered.get(status.sensor, {})
            fell_into = [
                state.value
                for state in SensorState
                if state.down and status.entered.get(state.value, 0) > before.get(state.value, 0)
            ]
            self._entered[status.sensor] = dict(status.entered)
            was_down = status.sensor in self._down
            self._down.discard(status.sensor)
            if status.state.down:
                self._down.add(status.sensor)
            # A sensor that never sent anything has no seconds before.
            if fell_into and status.received and not was_down:
                self._record(status.sensor, fell_into[0])

    def stop(self) -> None:
        """End the thread, after what is being written, as far as the disk goes along.

        May be called twice. What a disk that hangs has not taken is told, and given up.
        """
        self._kept.clear()
        self._latched.clear()
        self._bytes = 0
        if not self._thread.is_alive():
            return
        end_s = time.monotonic() + stop_limits.RECORDING_S
        with contextlib.suppress(queue.Full):
            self._failures.put(None, timeout=stop_limits.RECORDING_S)
        self._thread.join(max(0.0, end_s - time.monotonic()))
        if self._thread.is_alive():
            self._tell(
                f"black box: a recording did not end within {stop_limits.RECORDING_S:g} s and is "
                "given up: look at the disk of the folder of recordings"
            )

    def _record(self, sensor: str, state: str) -> None:
        what = f"{sensor} became {state}"
        now_ns, last_ns = self._now_ns(), self._recorded_ns
        if last_ns is not None and 0 <= now_ns - last_ns < self._config.before_s * 1e9:
            ago_s = (now_ns - last_ns) / 1e9
            self._tell(f"black box: {what}: not recorded, the last recording is {ago_s:.1f} s old")
            return
        if not self._kept:
            return
        start_ns = self._kept[0].time_ns
        latched = [replace(one, time_ns=start_ns) for one in self._latched.values()]
        failure = _SensorFailure(sensor, state, [*latched, *self._kept], self._circumstances())
        try:
            self._failures.put_nowait(failure)
            self._recorded_ns = now_ns
        except queue.Full:
            self._tell(f"black box: {what}: not recorded, another is being written")

    def _write_all(self) -> None:
        while (failure := self._failures.get()) is not None:
            try:
                told = self._write(failure)
            except Exception as error:
                told = f"black box: {failure.sensor}: nothing is recorded: {error}"
            self._tell(one_line(told))  # the name of a folder may be no text at all

    def _write(self, failure: _SensorFailure) -> str:
        name = f"{failure.sensor}_{failure.state}"
        path = self._recordings.write(name, failure.kept, failure.circumstances)
        times = [one.time_ns for one in failure.kept]
        return (
            f"black box: {failure.sensor} became {failure.state}: "
            f"the {(max(times) - min(times)) / 1e9:.1f} s before are in {path}"
        )
