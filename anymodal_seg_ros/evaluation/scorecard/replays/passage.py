"""The messages that pass into a replay: how many, how far they are, and when none came."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from anymodal_seg_ros.evaluation.replay import Arrival
from anymodal_seg_ros.evaluation.scorecard.replays.bag_part import BagPart

Progress = Callable[[float], None]
"""Told the share of a job that is done, 0..1."""

_PAUSE_NS = 5 * 10**9
_FEW = 5
"""Messages that may have one log time by chance."""


class Passage:
    """Counts messages on their way and says how far they are.

    Attributes:
        messages: that have passed.
    """

    def __init__(self, progress: Progress, bag: BagPart) -> None:
        """Begin with none.

        Args:
            progress: told how far they are.
            bag: that they come from.
        """
        self.messages = 0
        self._progress, self._bag = progress, bag
        self._last_ns = 0
        self._longest = (0, 0)  # how long no message came, and when the next one did

    def count(self, recorded: Iterable[Arrival]) -> Iterator[Arrival]:
        """Pass messages on."""
        for arrival in recorded:
            self.messages += 1
            if self.messages > 1:
                self._longest = max(self._longest, (arrival[1] - self._last_ns, arrival[1]))
            self._last_ns = arrival[1]
            if self.messages % 20 == 0:
                self._progress(self._bag.share(arrival[1]))
            yield arrival

    def notes(self) -> Iterator[str]:
        """Say what is remarkable about the times of the messages, all sensors' together."""
        length_ns, end_ns = self._longest
        if length_ns > _PAUSE_NS:
            end_s = (end_ns - self._bag.start_ns) / 1e9
            yield (
                f"no sensor sent anything from {end_s - length_ns / 1e9:.1f} to {end_s:.1f} s: the "
                "recorder was paused, or its clock was set; masks of that time count as lost"
            )
        if self.messages > _FEW and length_ns == 0:
            yield (
                f"all {self.messages} messages have one log time: nothing that has to do with time "
                "can be told of them"
            )
