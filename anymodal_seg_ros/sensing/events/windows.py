"""From the messages of one event camera to windows of events that end at stamps of frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anymodal_seg_ros.config import EventConfig, seconds_to_ns
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.decoding.decode import frame_of
from anymodal_seg_ros.sensing.events.arrays import parse_event_array, read_event_array
from anymodal_seg_ros.sensing.events.clock import (
    ClockVerdict,
    PacketOrder,
    SensorClock,
    SequenceCount,
)
from anymodal_seg_ros.sensing.events.messages import (
    PacketDecoder,
    PacketFormat,
    create_decoder,
    packet_format,
    read_event_cloud,
    read_packet,
)
from anymodal_seg_ros.sensing.events.odd_times import in_one_time, of_one_time
from anymodal_seg_ros.sensing.events.store import EventStore, PixelGrid
from anymodal_seg_ros.sensing.events.values import (
    LATEST_NS,
    DecodedEvents,
    Events,
    EventWindow,
    Packet,
    StampedEvents,
)
from anymodal_seg_ros.sensing.events.word_streams import CHUNK_BYTES

_MOST_ASKED = 16
"""Windows that are waited for at most; of more, the oldest are given up."""

_PAUSE_PERIODS = 4
"""No driver gathers events for so long where anything moves."""

_LONGEST_APART_NS = 500_000_000
"""Of a camera that sends a frame so seldom, or more so, the next one is not waited for."""

_MOST_PENDING = 256
"""Packets that wait to be decoded at most, however small they are."""


@dataclass(slots=True)
class EventCounts:
    """What has come of the messages of one camera so far.

    Attributes:
        messages: that were taken.
        lost_packets: that were sent and never came, by their sequence numbers.
        gaps: how often some were lost, one or many.
        begun_anew: how often size, encoding or count of the messages began anew.
        undecodable: packets that could not be decoded.
        events: that were decoded, those outside the sensor included.
        odd_times: events at a time that cannot be believed, which are not among them.
        outside: events that lay outside the sensor.
        windows: that were handed out.
        incomplete: windows among them of which events are missing.
        shown: events that were in them; twice, if in two of them.
    """

    messages: int = 0
    lost_packets: int = 0
    gaps: int = 0
    begun_anew: int = 0
    undecodable: int = 0
    events: int = 0
    odd_times: int = 0
    outside: int = 0
    windows: int = 0
    incomplete: int = 0
    shown: int = 0


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
        asked_ns: end of the window that was asked for last, a header stamp; None before the first.
        asked_every_ns: how far those of frames are apart; 0 while nobody has asked.
        size_is_configured: whether the parameters tell the sensor's size, as its messages do not.
        counts: of messages and events, and of what was wrong with them.
    """

    def __init__(self, config: EventConfig, jump_ns: int) -> None:
        """Set up for a camera of which nothing is known yet."""
        self._config = config
        self._jump_ns = jump_ns
        self.store = EventStore(config.max_events, jump_ns)
        self.counts = EventCounts()
        self._sequence = SequenceCount()
        self.reset()

    def reset(self) -> None:
        """Forget everything but the counts: what comes next is a new beginning."""
        self.grid: PixelGrid | None = None
        self.frame_id = ""
        self.latest_stamp_ns: int | None = None
        self.asked_ns: int | None = None
        self.asked_every_ns = 0
        self.size_is_configured = False
        self._format: PacketFormat | None = None
        self._decoder: PacketDecoder | None = None
        self._sequence.forget()
        self._clock: SensorClock | None = None
        self._pending: list[Packet] = []
        self._pending_bytes = 0
        self.store.forget()

    @property
    def offset_ns(self) -> int | None:
        """Header time minus sensor time; None while it is not known."""
        if self._clock is not None:
            return self._clock.offset_ns
        return 0 if self.store.until_ns is not None else None

    @property
    def events_carry_header_time(self) -> bool:
        """Whether every event has a time of its own, which must be on the clock of the headers."""
        return self._clock is None and self.grid is not None

    @property
    def newest_ns(self) -> int | None:
        """Header time that the camera has reached by what its messages say; None before them."""
        return self.store.until_ns if self.events_carry_header_time else self.latest_stamp_ns

    @property
    def behind_s(self) -> float | None:
        """How far the events end before the newest header stamp; None while that is not known."""
        until_ns, offset_ns = self.store.until_ns, self.offset_ns
        if until_ns is None or offset_ns is None or self.latest_stamp_ns is None:
            return None
        return (self.latest_stamp_ns - until_ns - offset_ns) / 1e9

    def push(self, message: Any) -> None:
        """Take a message.

        Args:
            message: an EventPacket, an EventArray, a PointCloud2 of events, or an EventArray as the
                serialised bytes that a raw subscription gets.

        Raises:
            DecodeError: it cannot be used; nothing of it was taken.
        """
        if isinstance(message, (bytes, bytearray, memoryview)):
            self._push_stamped(parse_event_array(message))
        elif hasattr(message, "encoding") and hasattr(message, "events"):
            self._push_packet(message)
        elif hasattr(message, "point_step") and hasattr(message, "fields"):
            size = self._config.height, self._config.width
            self._push_stamped(read_event_cloud(message, *size))
            self.size_is_configured = True
        elif hasattr(message, "events") and hasattr(message, "height"):
            self._push_stamped(read_event_array(message))
        else:
            raise DecodeError(
                f"message is a {quote(type(message).__name__)}: expected an EventPacket, an "
                "EventArray or a PointCloud2; look at the sensor's topic and type",
                "type",
            )
        self.counts.messages += 1

    def interrupt(self) -> None:
        """Note that messages were dropped before they came here: decoding begins anew."""
        self.flush()
        if self._decoder is not None:
            self._decoder.reset()
        self._sequence.forget()
        self.store.interrupt()

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
        frame_id = frame_of(message.header)
        if form != self._format:
            self._begin(form)
        order = self._sequence.judge(number)
        if order is PacketOrder.REPEATED:
            raise DecodeError(f"seq is {number} once more: expected the next packet", "sequence")
        if order is PacketOrder.LATE:
            words = f"seq is {number}, which later packets have overtaken: expected the next packet"
            raise DecodeError(words, "sequence")
        if order is PacketOrder.RESTARTED:
            self._begin(form)
            self._sequence.judge(number)
        elif order is PacketOrder.GAP and self._decoder is not None:
            self.counts.gaps += 1
            self.flush()
            self._decoder.reset()
            self.store.interrupt()
        self.counts.lost_packets = self._sequence.lost
        self.frame_id, self.latest_stamp_ns = frame_id, packet.stamp_ns
        self._pending.append(packet)
        self._pending_bytes += packet.data.size
        if self._pending_bytes >= CHUNK_BYTES or len(self._pending) >= _MOST_PENDING:
            self.flush()

    def _begin(self, form: PacketFormat) -> None:
        """Begin anew with packets of a format."""
        decoder = create_decoder(form)
        self.counts.begun_anew += self.grid is not None
        self.reset()
        self._format, self._decoder = form, decoder
        self._clock = SensorClock(self._jump_ns)
        self.grid = PixelGrid(form.height, form.width, self._config.binning)

    def _take(self, decoded: DecodedEvents) -> None:
        """Keep what was decoded, if its time can be believed."""
        if self._clock is None or self.grid is None:
            return
        if decoded.broken:
            self.counts.undecodable += 1
            self.store.interrupt()
        if decoded.until_ns is None:
            return
        if decoded.until_ns >= LATEST_NS and self._format is not None:
            self.counts.odd_times += len(decoded.events)
            self._begin(self._format)
            return
        sent, decoded = len(decoded.events), of_one_time(decoded)
        self.counts.odd_times += sent - len(decoded.events)
        verdicts = {self._clock.observe(a.sensor_ns, a.stamp_ns) for a in decoded.anchors}
        if verdicts - {ClockVerdict.FITS}:
            # Some of it belongs to another time, and it does not say which.
            self.counts.odd_times += len(decoded.events)
            self.store.interrupt()
            if ClockVerdict.JUMPED in verdicts:
                self.store.forget()
            return
        assert decoded.until_ns is not None  # one time has not become none
        since_ns = decoded.anchors[0].sensor_ns if decoded.anchors else decoded.until_ns
        self._keep(decoded.events, self.grid, since_ns, decoded.until_ns)

    def _push_stamped(self, stamped: StampedEvents) -> None:
        """Keep events that carry header time themselves."""
        grid = PixelGrid(stamped.height, stamped.width, self._config.binning)
        if self._clock is not None or grid != self.grid:
            self.counts.begun_anew += self.grid is not None
            self.reset()
            self.grid = grid
        self.frame_id, self.latest_stamp_ns = stamped.frame_id, stamped.stamp_ns
        events = in_one_time(stamped.events)
        self.counts.odd_times += len(stamped.events) - len(events)
        times = events.time_ns
        since_ns = int(times.min()) if times.size else stamped.stamp_ns
        until_ns = int(times.max()) if times.size else stamped.stamp_ns
        self._keep(events, grid, since_ns, until_ns)

    def _keep(self, events: Events, grid: PixelGrid, since_ns: int, until_ns: int) -> None:
        self.store.append(events, grid, since_ns, until_ns)
        self.counts.events += len(events)
        self.counts.outside = self.store.outside


class EventAccumulator:
    """Cuts the stream of an event camera into windows.

    A window is asked for with :meth:`request` when a frame of another camera has come, and handed
    out by :meth:`take` as soon as the camera's events have reached its end. When nobody has asked
    for two periods, its own or those of who asks, because the event camera is the only one alive,
    it makes a window per period of its own accord. Sooner, and the frame that comes next would ask
    for a window that ends before the last one.

    Reads no clock: all times are header stamps. Not safe for threads: the caller's lock is.

    Attributes:
        stream: of the camera.
        length_ns: of a window.
    """

    def __init__(self, config: EventConfig, period_ns: int, jump_ns: int) -> None:
        """Set up for a camera of which nothing is known yet.

        Args:
            config: length of the windows and size of their images.
            period_ns: from window to window while nobody asks.
            jump_ns: time that is off by more than this begins anew.
        """
        self.length_ns = seconds_to_ns(config.window_s)
        self._period_ns = period_ns
        self.stream = EventStream(config, jump_ns)
        self._asked: list[int] = []
        self._own_ns: int | None = None
        self._apart_ns: tuple[int, ...] = ()
        """How far the last windows that others asked for were apart."""
        self._begin()

    def reset(self) -> None:
        """Forget all events and requests, as when the caller's time begins anew."""
        self.stream.reset()
        self._begin()

    def push(self, message: Any) -> None:
        """Take a message of the camera; see :meth:`EventStream.push`.

        Raises:
            DecodeError: it cannot be used; nothing of it was taken.
        """
        before_ns = self.stream.latest_stamp_ns
        self.stream.push(message)
        if self._epoch != self.stream.store.epoch:
            self._begin()
        latest_ns = self.stream.latest_stamp_ns
        if latest_ns is None:
            return
        if self._own_ns is None:
            self._own_ns = latest_ns + 2 * self._period_ns
        if before_ns is not None and latest_ns - before_ns > _PAUSE_PERIODS * self._period_ns:
            # What has waited through a pause comes too late for its frame.
            self._asked = [end for end in self._asked if end > latest_ns - self._period_ns]

    def request(self, end_ns: int) -> None:
        """Ask for the window that ends at a header stamp, in the clock of this camera's stamps."""
        before_ns, self.stream.asked_ns = self.stream.asked_ns, end_ns
        if before_ns is not None and end_ns > before_ns:
            self._apart_ns = (*self._apart_ns[-1:], end_ns - before_ns)
        self._ask(end_ns)
        if self.stream.latest_stamp_ns is not None:
            self.stream.asked_every_ns = min((*self._apart_ns, _LONGEST_APART_NS))
            waits_ns = max(self._period_ns, self.stream.asked_every_ns)
            self._own_ns = self.stream.latest_stamp_ns + 2 * waits_ns

    def take(self, *, silent: bool = False) -> list[EventWindow]:
        """Hand out the windows whose events have come, in order of their ends.

        Windows that end before the first packet are given up.

        Args:
            silent: nothing has come for a while, and nothing will, as there is nothing to tell: the
                newest window is what it is, and those before it are of no use any more.
        """
        self._ask_for_own()
        if not self._asked:
            return []
        self.stream.flush()
        if self._epoch != self.stream.store.epoch:
            self._begin()
        store, offset_ns = self.stream.store, self.stream.offset_ns
        if store.begin_ns is None or store.until_ns is None or offset_ns is None:
            return []
        begin_ns, until_ns = store.begin_ns + offset_ns, store.until_ns + offset_ns
        ready = sorted(end for end in self._asked if end <= until_ns)
        waiting = [end for end in self._asked if end > until_ns]
        if silent and waiting:
            ready, waiting = [*ready, max(waiting)], []
        self._asked = waiting
        windows = [self._cut(end, offset_ns) for end in ready if end > begin_ns]
        counts = self.stream.counts
        counts.windows += len(windows)
        counts.incomplete += sum(not window.complete for window in windows)
        counts.shown += sum(window.time_ns.size for window in windows)
        return windows

    def _begin(self) -> None:
        self._epoch = self.stream.store.epoch
        self._asked = []
        self._apart_ns = ()
        self._own_ns = None

    def _ask(self, end_ns: int) -> None:
        if end_ns not in self._asked:
            self._asked = [*self._asked[1 - _MOST_ASKED :], end_ns]

    def _ask_for_own(self) -> None:
        """Ask for a window of the camera's own if it is due."""
        latest_ns = self.stream.latest_stamp_ns
        if latest_ns is None or self._own_ns is None or latest_ns < self._own_ns:
            return
        end_ns = latest_ns - (latest_ns - self._own_ns) % self._period_ns
        self._ask(end_ns)
        self._own_ns = end_ns + self._period_ns

    def _cut(self, end_ns: int, offset_ns: int) -> EventWindow:
        grid = self.stream.grid
        assert grid is not None  # there are events
        start_ns = end_ns - self.length_ns
        cut = self.stream.store.cut(start_ns - offset_ns, end_ns - offset_ns)
        return EventWindow(
            start_ns=start_ns,
            end_ns=end_ns,
            frame_id=self.stream.frame_id,
            height=grid.height,
            width=grid.width,
            time_ns=cut.time_ns + offset_ns,
            cells=cut.cells.copy(),
            complete=cut.complete,
        )
