"""How the machine fares, for ``/diagnostics``.

Read beside the executor, because sensors on a slow bus take milliseconds to answer.
"""

from __future__ import annotations

import threading
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from anymodal_seg_ros.inference.hardware.telemetry import Telemetry, TelemetryReader

PERIOD_S = 2.0


class MachineWatch:
    """Reads in a thread of its own, from :meth:`start` to :meth:`stop`.

    Args:
        node_name: prefix of the diagnostic's name.
        reader: what is read.
        period_s: how often.
    """

    def __init__(
        self, node_name: str, reader: TelemetryReader | None = None, period_s: float = PERIOD_S
    ) -> None:
        self._node_name, self._period_s = node_name, period_s
        self._reader = reader
        self._stopped = threading.Event()
        self._last: tuple[Telemetry, Telemetry] | None = None
        self._thread = threading.Thread(target=self._run, name="machine watch", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._stopped.set()

    def statuses(self) -> list[Any]:
        """Return what was read last as a DiagnosticStatus; none where the machine tells nothing."""
        if self._last is None or not self._last[1].pairs():
            return []
        return [machine_status(self._node_name, *self._last)]

    def _run(self) -> None:
        reader = self._reader or TelemetryReader()
        now = reader.read()
        while True:
            before, now = now, reader.read()
            self._last = before, now
            if self._stopped.wait(self._period_s):
                return


def machine_status(node: str, before: Telemetry, now: Telemetry) -> Any:
    """Describe the machine; WARN while it is slowed down, or its supply has just been too weak.

    Args:
        node: name of the node, the prefix of every diagnostic's name.
        before: what was read the time before.
        now: what was read last.
    """
    fresh = [
        name for name, count in now.over_current.items() if count > before.over_current.get(name, 0)
    ]
    troubles = []
    if now.throttled:
        troubles.append(f"slowed down by {', '.join(now.throttled)}: cool it better")
    if fresh:
        alarms = ", ".join(fresh)
        troubles.append(f"too high a current ({alarms}): a weaker power mode, or a better supply")
    mode = f"power mode {now.power_mode}" if now.power_mode else "not slowed down"
    return DiagnosticStatus(
        level=DiagnosticStatus.WARN if troubles else DiagnosticStatus.OK,
        name=f"{node}: machine",
        message="; ".join(troubles) or mode,
        values=[KeyValue(key=key, value=value) for key, value in now.pairs().items()],
    )
