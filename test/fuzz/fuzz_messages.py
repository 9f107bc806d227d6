"""Coverage-guided fuzzing of what is no picture: clouds, events, calibrations, YAML.

    pip install atheris
    PYTHONPATH=.:training:test python test/fuzz/fuzz_messages.py -max_total_time=600 CORPUS_FOLDER

As fuzz_decode.py: the hypothesis tests cover the same ground in seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import atheris

with atheris.instrument_imports(include=["anymodal_seg_ros"]):
    from anymodal_seg_ros.config import EventConfig, parse_yaml
    from anymodal_seg_ros.errors import AnymodalError
    from anymodal_seg_ros.sensing.decoding.point_clouds import decode_cloud, positions
    from anymodal_seg_ros.sensing.events.windows import EventAccumulator
    from anymodal_seg_ros.sensing.geometry.camera_info import camera_from_info

ENCODINGS = ("evt3", "evt2", "mono", "libcaer", "libcaer_cmp", "evt9")
NAMES = ("x", "y", "z", "intensity", "t", "", "_", "p")


def cloud(fields: Any) -> None:
    """A table whose description and bytes are both made up."""
    count = fields.ConsumeIntInRange(0, 8)
    described = [
        SimpleNamespace(
            name=NAMES[fields.ConsumeIntInRange(0, len(NAMES) - 1)],
            offset=fields.ConsumeIntInRange(0, 40),
            datatype=fields.ConsumeIntInRange(0, 9),
            count=fields.ConsumeIntInRange(0, 3),
        )
        for _ in range(count)
    ]
    message = SimpleNamespace(
        height=fields.ConsumeIntInRange(0, 4),
        width=fields.ConsumeIntInRange(0, 40),
        fields=described,
        is_bigendian=fields.ConsumeBool(),
        point_step=fields.ConsumeIntInRange(0, 40),
        row_step=fields.ConsumeIntInRange(0, 2000),
        data=fields.ConsumeBytes(1 << 12),
    )
    positions(decode_cloud(message))


def events(fields: Any) -> None:
    """Two packets of one camera."""
    stamp = SimpleNamespace(sec=1_700_000_000, nanosec=0)
    camera = EventAccumulator(EventConfig(), 33_000_000, 10**9)
    encoding = ENCODINGS[fields.ConsumeIntInRange(0, len(ENCODINGS) - 1)]
    for number in range(2):
        camera.push(
            SimpleNamespace(
                header=SimpleNamespace(stamp=stamp, frame_id="camera"),
                height=480,
                width=640,
                seq=number,
                time_base=fields.ConsumeIntInRange(0, 2**62),
                encoding=encoding,
                is_bigendian=fields.ConsumeBool(),
                events=fields.ConsumeBytes(1 << 11),
            )
        )


def calibration(fields: Any) -> None:
    """A CameraInfo of any numbers."""
    floats = [fields.ConsumeFloat() for _ in range(33)]
    message = SimpleNamespace(
        height=fields.ConsumeIntInRange(0, 4000),
        width=fields.ConsumeIntInRange(0, 4000),
        distortion_model=("plumb_bob", "rational_polynomial", "equidistant", "", "fisheye")[
            fields.ConsumeIntInRange(0, 4)
        ],
        d=floats[: fields.ConsumeIntInRange(0, 14)],
        k=floats[:9],
        r=floats[9:18],
        p=floats[18:30],
    )
    camera_from_info(message, fields.ConsumeBool())


def text(fields: Any) -> None:
    """A YAML text."""
    parse_yaml(fields.ConsumeUnicodeNoSurrogates(1 << 10), "text")


TARGETS = (cloud, events, calibration, text)


def one_input(data: bytes) -> None:
    """Try what the fuzzer made up; the first byte chooses what it is."""
    kind, rest = (data[0], data[1:]) if data else (0, b"")
    try:
        TARGETS[kind % len(TARGETS)](atheris.FuzzedDataProvider(rest))
    except AnymodalError as error:
        assert len(str(error)) < 500 and str(error).isprintable()


def main() -> None:
    """Begin with a few texts and hand over to the fuzzer."""
    folders = [Path(word) for word in sys.argv[1:] if Path(word).is_dir()]
    for folder in folders[:1]:
        for number, good in enumerate((b"a: [1, 2]\nb: {c: d}", b"x: &a 1\ny: *a", b"- 1e-3")):
            (folder / f"good-{number}").write_bytes(bytes([3]) + good)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
