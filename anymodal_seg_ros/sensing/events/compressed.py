"""``libcaer_cmp``, decoded by the library of its authors where that is installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence

import numpy as np

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.events.values import Anchor, Decoded, Events, Packet

_TIME_RANGE = 1 << 32
"""The library gives 32 bits of microseconds since the first event it has seen."""


class LibcaerCompressedDecoder:
    """Hands packets to ``event_camera_py``, which exists only as a ROS package."""

    def __init__(self, height: int, width: int) -> None:
        """Load the library.

        Raises:
            DecodeError: it is not installed.
        """
        self._size = width, height
        try:
            self._library = importlib.import_module("event_camera_py")
        except ImportError as error:
            raise DecodeError(
                "encoding is 'libcaer_cmp', which needs the package event_camera_py: install "
                "ros-$ROS_DISTRO-event-camera-py, or set encoding to 'libcaer' in the driver"
            ) from error
        self.reset()

    def reset(self) -> None:
        """Forget the state, because bytes were lost."""
        self._decoder = self._library.Decoder()

    def decode(self, packets: Sequence[Packet]) -> Iterator[Decoded]:
        """Decode packets one by one; each has its own time base."""
        for packet in packets:
            base_ns = packet.time_base_ns
            try:
                self._decoder.decode_array("libcaer_cmp", *self._size, base_ns, packet.data)
            except RuntimeError:
                self.reset()
                yield Decoded(Events.none(), (), None, broken=True)
                continue
            found = self._decoder.get_cd_events()
            # The packet's time base says which turn of the 32 bits the events belong to.
            since_base = found["t"].astype(np.int64) + (self._decoder.get_start_time() or 0)
            since_base -= base_ns // 1000
            since_base %= _TIME_RANGE
            events = Events(base_ns + 1000 * since_base, found["x"], found["y"], found["p"])
            until_ns = int(events.time_ns[-1]) if found.size else base_ns
            yield Decoded(events, (Anchor(base_ns, packet.stamp_ns),), until_ns)
