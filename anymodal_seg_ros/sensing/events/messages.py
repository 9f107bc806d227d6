"""Messages of event cameras: told apart, checked before a byte is decoded, and read.

An ``event_camera_msgs/EventPacket`` holds bytes that a decoder has to follow from packet to packet.
A ``sensor_msgs/PointCloud2`` holds one point per event. ``EventArray`` has a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.sensing.decoding.decode import frame_of, stamp_ns
from anymodal_seg_ros.sensing.decoding.payload import as_bytes
from anymodal_seg_ros.sensing.decoding.point_clouds import Cloud, decode_cloud, listed
from anymodal_seg_ros.sensing.events.arrays import check_sensor_size
from anymodal_seg_ros.sensing.events.evt import Evt2Decoder, Evt3Decoder
from anymodal_seg_ros.sensing.events.packet_encodings import (
    WORD_BYTES,
    LibcaerCompressedDecoder,
    LibcaerDecoder,
    MonoDecoder,
)
from anymodal_seg_ros.sensing.events.values import (
    LATEST_NS,
    DecodedEvents,
    Events,
    Packet,
    StampedEvents,
)


class PacketDecoder(Protocol):
    """What turns the payloads of one camera into events."""

    def reset(self) -> None:
        """Forget what earlier packets said, because some were lost."""

    def decode(self, packets: Sequence[Packet]) -> Iterator[DecodedEvents]:
        """Decode consecutive packets, in pieces of bounded size."""


_DECODERS: dict[str, Callable[[bool], PacketDecoder]] = {
    "evt3": Evt3Decoder,
    "evt2": Evt2Decoder,
    "mono": MonoDecoder,
    "libcaer": LibcaerDecoder,
    "libcaer_cmp": LibcaerCompressedDecoder,
}
ENCODINGS = tuple(_DECODERS)
"""Every encoding of packets that is understood."""

_FIELDS = {
    "x": ("x",),
    "y": ("y",),
    "time": ("t", "ts", "time", "timestamp"),
    "polarity": ("p", "pol", "polarity"),
}
"""What a point of a cloud of events says, by the names that senders have for it."""

_FARTHEST_S = 60.0
"""How far the times of a cloud may lie from its stamp: no sender collects events for longer."""

_FAR_S = 1.0
"""How far from the stamp times may lie that count from it, if they span much less than that."""

_OBJECT_BYTES = 200
"""An event as a Python object, with its time."""

_UNITS_S = {"milliseconds": 1e-3, "microseconds": 1e-6, "nanoseconds": 1e-9, "seconds": 1.0}
_POINTS_LOOKED_AT = 256


def is_event_message(message: Any) -> bool:
    """Tell messages of events from rendered images, which an event sensor's topic may carry too."""
    return not hasattr(message, "step") and not hasattr(message, "format")


def payload_bytes(message: Any) -> int:
    """Return about how much memory a message holds, for bounds of queues; never raises."""
    if isinstance(message, (bytes, bytearray, memoryview)):
        return len(message)
    held = getattr(message, "data", getattr(message, "events", ()))
    count = len(held) if hasattr(held, "__len__") else 0
    return _text_bytes(message) + (count * _OBJECT_BYTES if isinstance(held, list) else count)


def _text_bytes(message: Any) -> int:
    """Return how long the names in a message are, which may be as long as any payload."""
    fields = getattr(message, "fields", ())
    named = fields if isinstance(fields, (list, tuple)) else ()
    texts = (
        getattr(getattr(message, "header", None), "frame_id", ""),
        getattr(message, "encoding", ""),
        *(getattr(field, "name", "") for field in named),
    )
    return sum(len(text) for text in texts if isinstance(text, str))


@dataclass(frozen=True, slots=True)
class PacketFormat:
    """What has to stay the same from packet to packet."""

    encoding: str
    big_endian: bool
    height: int
    width: int


def packet_format(message: Any) -> PacketFormat:
    """Read and check how a packet is encoded.

    Raises:
        DecodeError: the encoding is unknown or the size absurd.
    """
    encoding = str(message.encoding)
    if encoding not in ENCODINGS:
        raise DecodeError(
            f"encoding is '{quote(encoding)}': expected one of {', '.join(ENCODINGS)}", "encoding"
        )
    height, width = check_sensor_size(int(message.height), int(message.width))
    return PacketFormat(encoding, bool(message.is_bigendian), height, width)


def read_packet(message: Any) -> Packet:
    """View the payload of a packet. Nothing is copied.

    Raises:
        DecodeError: the stamp cannot be, or the payload is no bytes or no whole number of words.
    """
    stamp = stamp_ns(message.header)
    data = as_bytes(message.events, "events")
    word = WORD_BYTES.get(message.encoding, 1)
    if data.size % word:
        raise DecodeError(
            f"events are {data.size} bytes: expected a multiple of {word}, as {message.encoding} "
            "needs",
            "data",
        )
    time_base = int(message.time_base)
    if not 0 <= time_base < LATEST_NS:
        raise DecodeError(f"time_base is {time_base}: expected 0 to {LATEST_NS - 1} ns", "time")
    return Packet(data, time_base, stamp)


def create_decoder(form: PacketFormat) -> PacketDecoder:
    """Create the decoder for a format."""
    return _DECODERS[form.encoding](form.big_endian)


def read_event_cloud(message: Any, height: int, width: int) -> StampedEvents:
    """Read the events of a cloud. Points with values that are not finite are left out.

    The message does not say what its times mean, so that is fixed here: floating point times are
    seconds, integer times are nanoseconds; and a time less than half of the header stamp counts
    from the stamp, any other one is absolute.

    Args:
        message: anything with the fields of a PointCloud2.
        height: rows of the sensor.
        width: columns of the sensor.

    Raises:
        DecodeError: a field is missing, sizes contradict one another, the times are in another
            unit, no point is an event, or the sensor has no size.
    """
    if not (height and width):
        raise DecodeError(
            f"size is {width}x{height}: a PointCloud2 does not say how large the sensor is, "
            "set events.height and events.width",
            "size",
        )
    check_sensor_size(height, width)
    stamp = stamp_ns(message.header)
    frame_id = frame_of(message.header)
    cloud = decode_cloud(message)
    columns = {name: _column(cloud, name) for name in _FIELDS}
    times = columns["time"]
    if not times.size:
        return StampedEvents(Events.none(), stamp, frame_id, height, width)
    sound = np.isfinite(times)
    for name in ("x", "y"):
        sound &= (columns[name] >= 0) & (columns[name] < 1 << 16)
    looked_at = times[sound][:: max(times.size // _POINTS_LOOKED_AT, 1)]
    if not looked_at.size:
        raise DecodeError(
            f"data hold {times.size} points, but no event: expected finite times, and x and y "
            "from 0 to 65535",
            "events",
        )
    _check_unit(looked_at, stamp)
    scale = 1e9 if times.dtype.kind == "f" else 1.0
    since = float(np.median(looked_at)) * scale < stamp / 2
    if since:
        _check_since(looked_at * (scale / 1e9))
    # One time that is far off is no event; nor need it fit 64 bits of nanoseconds.
    with np.errstate(over="ignore", invalid="ignore"):
        off_ns = times.astype(np.float64) * scale - (0 if since else stamp)
        sound &= np.abs(off_ns) < _FARTHEST_S * 1e9
    columns = {name: column[sound] for name, column in columns.items()}
    times = columns["time"]
    time_ns = np.rint(times.astype(np.float64) * scale) if scale > 1.0 else times
    time_ns = time_ns.astype(np.int64)
    if since:
        time_ns += stamp
    x, y = columns["x"].astype(np.uint16), columns["y"].astype(np.uint16)
    return StampedEvents(
        Events(time_ns, x, y, columns["polarity"] > 0), stamp, frame_id, height, width
    )


def _column(cloud: Cloud, name: str) -> npt.NDArray[Any]:
    """Copy one field of every point, ``[N]``, in native byte order."""
    names, spellings = cloud.dtype.names or (), _FIELDS[name]
    found = next((spelling for spelling in spellings if spelling in names), None)
    if found is None or cloud[found].ndim != cloud.ndim:
        raise DecodeError(
            f"fields are {listed(names)}: expected {name} as a number, under the name "
            f"{' or '.join(spellings)}",
            "fields",
        )
    values = cloud[found]
    return np.asarray(values.astype(values.dtype.newbyteorder("=")).reshape(-1))


def _check_unit(times: npt.NDArray[Any], stamp: int) -> None:
    """Refuse times that are no seconds or nanoseconds near the stamp, and name their unit.

    Args:
        times: some of the finite times, as sent.
        stamp: of the header, in nanoseconds.
    """
    is_float = times.dtype.kind == "f"
    unit, middle = ("seconds" if is_float else "nanoseconds"), float(np.median(times))
    if times.dtype.itemsize == 4 and is_float and middle > stamp / 2e9 > 1e5:
        raise DecodeError(
            f"fields.t holds {middle:g} as float32, which tells absolute times only to "
            f"{float(np.spacing(np.float32(middle))):g} s: expected float64, or times since the "
            "header's stamp",
            "time",
        )
    if _near(middle * _UNITS_S[unit], stamp):
        return
    fits = [name for name, scale in _UNITS_S.items() if _near(middle * scale, stamp)]
    looks = f"it looks like {' or '.join(fits)}" if fits else "it fits in no other unit either"
    raise DecodeError(
        f"fields.t holds {middle:g}, which in {unit} is far from the header's stamp of "
        f"{stamp / 1e9:.3f} s: {looks}; expected floating point seconds or integer nanoseconds, "
        "absolute or since the stamp",
        "time",
    )


def _check_since(seconds: npt.NDArray[Any]) -> None:
    """Refuse times since the stamp that are all far from it and near to one another.

    A header is stamped with the first or the last of its events, or a little later: what counts
    from somewhere else is a counter of the camera's, such as 32 bits of microseconds that wrap.

    Args:
        seconds: some of the times, in seconds since the stamp.
    """
    first, middle, last = (float(value) for value in np.percentile(seconds, (5, 50, 95)))
    if abs(middle) > _FAR_S and last - first < abs(middle) / 10:
        raise DecodeError(
            f"fields.t counts {first:.6g} to {last:.6g} s since the header's stamp, as no message "
            "of events does: it looks like a counter of the camera's own; expected floating point "
            "seconds or integer nanoseconds, absolute or since the stamp",
            "time",
        )


def _near(time_s: float, stamp: int) -> bool:
    """Whether a time is near a stamp, or counts from it."""
    return abs(time_s) < _FARTHEST_S or abs(time_s - stamp / 1e9) < _FARTHEST_S
