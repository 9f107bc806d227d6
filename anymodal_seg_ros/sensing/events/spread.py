"""What earlier words said, spread over the event words that it holds for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.events.values import Indices


def stretches(begins: npt.NDArray[Any], total: int) -> Indices:
    """Cut ``total`` things at some places: how many there are in each piece.

    Args:
        begins: where all pieces but the first begin, ascending.
        total: the end of the last piece.
    """
    bounds = np.empty(begins.size + 2, np.intp)
    bounds[0], bounds[-1] = 0, total
    bounds[1:-1] = begins
    return bounds[1:] - bounds[:-1]


class Spread:
    """Gives every event word the value that was valid when it came.

    The usual way, a running maximum over word positions, costs six times as much as counting the
    events between two changes and repeating the value that often.

    Attributes:
        event_at: positions of the event words.
    """

    def __init__(self, is_event: npt.NDArray[np.bool_]) -> None:
        """Count the event words of a chunk."""
        self.event_at: Indices = is_event.nonzero()[0]
        self._events_until = np.cumsum(is_event, dtype=np.int32)

    def __call__(self, at: Indices, values: npt.NDArray[Any], before: int) -> npt.NDArray[Any]:
        """Spread a value over the event words.

        Args:
            at: positions of the words that change it.
            values: what they change it to.
            before: its value until the first of them.

        Returns:
            One value per event word, in the dtype of ``values``.
        """
        steps = np.empty(at.size + 1, values.dtype)
        steps[0] = before
        steps[1:] = values
        return np.repeat(steps, stretches(self._events_until[at], self.event_at.size))

    def events_before(self, at: Indices) -> Indices:
        """Count the event words before each of some positions that are no event words."""
        return self._events_until[at].astype(np.intp)
