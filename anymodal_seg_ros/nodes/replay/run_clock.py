"""How long a run has lasted, by a clock that may be simulated and may begin anew."""

from __future__ import annotations


class RunClock:
    """Time since a run began; stands still where its clock goes back a little.

    Two that publish ``/clock``, or a simulator that corrects itself, set it back by some
    milliseconds, and the run goes on. A bag that loops, or a simulation that is reset, sets it back
    by more than ``jump_ns``: that is another run, here as in the segmentation node.

    Args:
        jump_ns: a clock that goes back by more than this has begun anew.
    """

    def __init__(self, jump_ns: int) -> None:
        self._jump_ns = jump_ns
        self._start_ns: int | None = None
        self._latest_ns = 0

    def begun_anew(self, now_ns: int) -> bool:
        """Whether the clock shows another run than the one under way."""
        return self._start_ns is not None and now_ns < self._latest_ns - self._jump_ns

    def begin(self) -> None:
        """Let a run begin with the next look at the clock."""
        self._start_ns = None

    def elapsed_ns(self, now_ns: int) -> int:
        """Return how long the run has lasted; it never goes back."""
        if self._start_ns is None:
            self._start_ns = self._latest_ns = now_ns
        self._latest_ns = max(self._latest_ns, now_ns)
        return self._latest_ns - self._start_ns
