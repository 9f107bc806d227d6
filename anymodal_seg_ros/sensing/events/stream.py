"""What one event camera sends: messages of any kind in, events in order of time out."""

from __future__ import annotations

from collections import Counter
from typing import Any

from anymodal_seg_ros.config import EventConfig
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.events.arrays import parse_event_array, read_event_array
from anymodal_seg_ros.sensing.events.chunks import CHUNK_BYTES
from anymodal_seg_ros.sensing.events.clouds import read_event_cloud
from anymodal_seg_ros.sensing.events.grid import Grid
from anymodal_seg_ros.sensing.events.packets import (
    Decoder,
    Format,
    create_decoder,
    packet_format,
    read_packet,
)
from anymodal_seg_ros.sensing.events.sensor_clock import SensorClock, Verdict
from anymodal_seg_ros.sensing.events.sequence import Order, SequenceCount
from anymodal_seg_ros.sensing.events.store import EventStore
from anymodal_seg_ros.sensing.events.values import LATEST_NS, Decoded, Packet, StampedEvents

_MOST_PENDING = 256
"""Packets that wait to be decoded at most, however small they are."""


class EventStream:
    """Follows the messages of one camera and keeps its recent events.

    Packets are only collected at first: many decoded together cost far less than one by one, since
    a packet of a millisecond holds little. They wait for :meth:`flush`, or until there is enough of
    them to fill a chunk.

    Attributes:
        store: the events, in sensor time.
        grid: of the camera; None before the first message.
        frame_id: of the newest message.
        latest_stamp_ns: of the newest message; None before the first.
        counts: of messages and events, and of what was wrong with them.
    """

    def __init__(self, config: EventConfig, jump_ns: int) -> None:
        """Set up for a camera of which nothing is known yet."""
        self._config = config
        self._jump_ns = jump_ns
        self.store = EventStore(config.max_events, jump_ns)
        self.counts: Counter[str] = Counter()
        self._sequence = SequenceCount()
        self.reset()

    def reset(self) -> None:
        """Forget everything but the counts: what comes next is a new beginning."""
        self.grid: Grid | None = None
        self.frame_id = ""
        self.latest_stamp_ns: int | None = None
        self._format: Format | None = None
        self._decoder: Decoder | None = None
        self._sequence.forget()
        self._clock: SensorClock | None = None
        self._pending: list[Packet] = []
        self._pending_bytes = 0
        self.store.forget()

    @property
    def lost_packets(self) -> int:
        """Packets that were sent and never came."""
        return self._sequence.lost

    @property
    def offset_ns(self) -> int | None:
        """Header time minus sensor time; None while it is not known."""
        if self._clock is not None:
            return self._clock.offset_ns
        return 0 if self.store.until_ns is not None else None

    def push(self, message: Any) -> None:
        """Take a message.

        Args:
            message: an EventPacket, an EventArray, a PointCloud2 of events, or an EventArray as
                serialised bytes.

        Raises:
            DecodeError: it cannot be used; nothing of it was taken.
        """
        if isinstance(message, (bytes, bytearray, memoryview)):
            self._push_stamped(parse_event_array(message))
        elif hasattr(message, "encoding"):
            self._push_packet(message)
        elif hasattr(message, "point_step"):
            size = self._config.height, self._config.width
            self._push_stamped(read_event_cloud(message, *size))
        else:
            self._push_stamped(read_event_array(message))
        self.counts["messages"] += 1

    def flush(self) -> None:
        """Decode the packets that wait."""
        packets, self._pending, self._pending_bytes = self._pending, [], 0
        decoder = self._decoder
        if not packets or decoder is None:
            return
        for decoded in decoder.decode(packets):
            self._take(decoded)
            if decoder is not self._decoder:  # it was given up
                return

    def _push_packet(self, message: Any) -> None:
        form, packet, number = packet_format(message), read_packet(message), int(message.seq)
        if form != self._format:
            self._begin(form)
        order = self._sequence.judge(number)
        if order is Order.REPEATED:
            raise DecodeError(f"seq is {number} once more: expected the next packet")
        if order is Order.RESTARTED:
            self._begin(form)
            self._sequence.judge(number)
        elif order is Order.GAP and self._decoder is not None:
            self.flush()
            self._decoder.reset()
            self.store.interrupt()
        self.frame_id, self.latest_stamp_ns = str(message.header.frame_id), packet.stamp_ns
        self._pending.append(packet)
        self._pending_bytes += packet.data.size
        if self._pending_bytes >= CHUNK_BYTES or len(self._pending) >= _MOST_PENDING:
            self.flush()

    def _begin(self, form: Format) -> None:
        """Begin anew with packets of a format."""
        decoder = create_decoder(form)
        self.reset()
        self._format, self._decoder = form, decoder
        self._clock = SensorClock(self._jump_ns)
        self.grid = Grid(form.height, form.width, self._config.binning)

    def _take(self, decoded: Decoded) -> None:
        """Keep what was decoded, if its time can be believed."""
        if self._clock is None or self.grid is None:
            return
        if decoded.broken:
            self.counts["packets that cannot be decoded"] += 1
            self.store.interrupt()
        if decoded.until_ns is None:
            return
        if decoded.until_ns >= LATEST_NS and self._format is not None:
            self.counts["events at an odd time"] += len(decoded.events)
            self._begin(self._format)
            return
        verdicts = {self._clock.observe(a.sensor_ns, a.stamp_ns) for a in decoded.anchors}
        if verdicts - {Verdict.FITS}:
            # Some of it belongs to another time, and it does not say which.
            self.counts["events at an odd time"] += len(decoded.events)
            self.store.interrupt()
            if Verdict.JUMPED in verdicts:
                self.store.forget()
            return
        since_ns = decoded.anchors[0].sensor_ns if decoded.anchors else decoded.until_ns
        self.counts["events"] += len(decoded.events)
        self.store.append(decoded.events, self.grid, since_ns, decoded.until_ns)

    def _push_stamped(self, stamped: StampedEvents) -> None:
        """Keep events that carry header time themselves."""
        grid = Grid(stamped.height, stamped.width, self._config.binning)
        if self._clock is not None or grid != self.grid:
            self.reset()
            self.grid = grid
        self.frame_id, self.latest_stamp_ns = stamped.frame_id, stamped.stamp_ns
        times = stamped.events.time_ns
        since_ns = int(times.min()) if times.size else stamped.stamp_ns
        until_ns = int(times.max()) if times.size else stamped.stamp_ns
        self.counts["events"] += times.size
        self.store.append(stamped.events, grid, since_ns, until_ns)
